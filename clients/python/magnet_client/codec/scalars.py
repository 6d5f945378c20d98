"""Words to enums and back; numbers and ids checked before they are sent."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any, TypeVar

from magnet.v1 import sampling_pb2, types_pb2
from magnet_client.errors import InvalidInput
from magnet_client.words import ImagesWord, ManifoldWord, MethodWord, PrecisionWord, PresetWord

__all__ = [
    "IMAGES",
    "MANIFOLDS",
    "METHODS",
    "PRECISIONS",
    "PRESETS",
    "bank_id",
    "finite",
    "images_word",
    "integer",
    "manifold_word",
    "method_word",
    "precision_word",
    "preset_word",
    "word_to_enum",
]

_V = TypeVar("_V")

PRESETS: Mapping[PresetWord, sampling_pb2.Preset.ValueType] = {
    "as_trained": sampling_pb2.PRESET_AS_TRAINED,
    "uniform": sampling_pb2.PRESET_UNIFORM,
    "mode": sampling_pb2.PRESET_MODE,
    "anti_mode": sampling_pb2.PRESET_ANTI_MODE,
}
METHODS: Mapping[MethodWord, sampling_pb2.Method.ValueType] = {
    "resample": sampling_pb2.METHOD_RESAMPLE,
    "screened": sampling_pb2.METHOD_SCREENED,
    "screened_chain": sampling_pb2.METHOD_SCREENED_CHAIN,
    "auto": sampling_pb2.METHOD_AUTO,
}
MANIFOLDS: Mapping[ManifoldWord, types_pb2.Manifold.ValueType] = {
    "output": types_pb2.MANIFOLD_OUTPUT,
    "pre_activation": types_pb2.MANIFOLD_PRE_ACTIVATION,
    "features": types_pb2.MANIFOLD_FEATURES,
}
PRECISIONS: Mapping[PrecisionWord, types_pb2.Precision.ValueType] = {
    "float32": types_pb2.PRECISION_FLOAT32,
    "float64": types_pb2.PRECISION_FLOAT64,
    "bfloat16": types_pb2.PRECISION_BFLOAT16,
}
IMAGES: Mapping[ImagesWord | None, sampling_pb2.Outputs.Images.ValueType] = {
    "uint8": sampling_pb2.Outputs.IMAGES_UINT8,
    "float32": sampling_pb2.Outputs.IMAGES_FLOAT32,
    "png": sampling_pb2.Outputs.IMAGES_PNG,
    None: sampling_pb2.Outputs.IMAGES_NONE,
}
_PRESET_WORDS: dict[int, PresetWord] = {value: word for word, value in PRESETS.items()}
_METHOD_WORDS: dict[int, MethodWord] = {value: word for word, value in METHODS.items()}
_PRECISION_WORDS: dict[int, PrecisionWord] = {value: word for word, value in PRECISIONS.items()}
_MANIFOLD_WORDS: dict[int, ManifoldWord] = {value: word for word, value in MANIFOLDS.items()}
_IMAGES_WORDS: dict[int, ImagesWord | None] = {value: word for word, value in IMAGES.items()}


def word_to_enum(word: object, table: Mapping[Any, _V], field: str) -> _V:
    """Look a word up; InvalidInput that lists the words if it is none of them."""
    if word is None or isinstance(word, str):
        found = table.get(word)
        if found is not None:
            return found
    words = ", ".join(repr(known) for known in table)
    raise InvalidInput(f"{field} must be one of {words}; not {word!r}", field=field, reason="INVALID_INPUT")


def preset_word(value: int) -> PresetWord | None:
    """Return the word of a preset, None where there is none."""
    return _PRESET_WORDS.get(value)


def method_word(value: int) -> MethodWord:
    """Return the word of a method; unspecified reads `resample`."""
    return _METHOD_WORDS.get(value, "resample")


def manifold_word(value: int) -> ManifoldWord:
    """Return the word of a manifold; unspecified reads `output`."""
    return _MANIFOLD_WORDS.get(value, "output")


def precision_word(value: int) -> PrecisionWord:
    """Return the word of a precision; unspecified reads `float32`."""
    return _PRECISION_WORDS.get(value, "float32")


def images_word(value: int) -> ImagesWord | None:
    """Return the word of an image form; unspecified reads `uint8`."""
    return _IMAGES_WORDS.get(value, "uint8")


def integer(value: object, field: str, low: int, high: int = 2**63 - 1) -> int:
    """Return an integer in [low, high]; InvalidInput with the field otherwise (a float or a bool is none)."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # raises TypeError for what is no integer
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not low <= number <= high:
        bounds = f"at least {low}" if high == 2**63 - 1 else f"from {low} to {high}"
        raise InvalidInput(f"{field} must be an integer, {bounds}; not {value!r}", field=field, reason="INVALID_INPUT")
    return number


def finite(value: object, field: str, low: float = -math.inf, high: float = math.inf, *, strict: bool = True) -> float:
    """Return a finite number between low and high (above low if strict); InvalidInput with the field otherwise."""
    try:
        number = float(value)  # type: ignore[arg-type]  # raises TypeError or ValueError for what is no number
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number > high or (number <= low if strict else number < low):
        bounds = "" if low == -math.inf else f" {'above' if strict else 'not below'} {low:g}"
        bounds += "" if high == math.inf else f", at most {high:g}"
        raise InvalidInput(
            f"{field} must be a finite number{bounds}; not {value!r}", field=field, reason="INVALID_INPUT"
        )
    return number


def bank_id(bank: str) -> str:
    """Return a bank's id; InvalidInput if it cannot be one."""
    if not isinstance(bank, str) or len(bank) != 16 or set(bank) - set("0123456789abcdef"):
        raise InvalidInput(
            f"bank is an id of 16 hexadecimal digits, as the list of banks shows them; not {bank!r}",
            field="bank",
            reason="INVALID_INPUT",
        )
    return bank
