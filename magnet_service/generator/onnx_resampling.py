"""ONNX operators that change the resolution of a map or put a border around it: Resize, Upsample, Pad."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from magnet_service.generator.onnx_reading import Reading, Translator
from magnet_service.generator.onnx_sizes import Size, is_batch
from magnet_service.generator.onnx_values import Array, Held, Known, Rows

__all__ = ["RESAMPLING"]

_LINEAR = {1: "upsample_linear1d", 2: "upsample_bilinear2d", 3: "upsample_trilinear3d"}
_ROUNDINGS: Mapping[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@dataclass(frozen=True)
class Target:
    """The resolution wanted, one entry a spatial dimension.

    Attributes:
        sizes: of the result.
        factors: as written; None where sizes are.
        scales: size of the result over that of the value, as coordinates use it.
    """

    sizes: tuple[int, ...]
    factors: tuple[float, ...] | None
    scales: tuple[float, ...]


def translate_resize(reading: Reading) -> Held:
    """Resize (10, 11, 13, 18, 19) and Upsample (7, 9)."""
    node, value = reading.node, reading.rows(0)
    old = node.op == "Upsample" or node.opset < 11
    mode = node.text("mode", "nearest")
    word = "asymmetric" if old else node.text("coordinate_transformation_mode", "half_pixel")
    target = read_target(reading, value, old)
    dims = len(target.sizes)
    if node.integer("antialias", 0) or node.integer("exclude_outside", 0):
        reading.refuse(f"mode {mode!r} with antialias or exclude_outside is not supported; export without them")
    if dims not in (1, 2, 3):
        reading.refuse(f"a row of shape {value.shape} is not channels and 1 to 3 spatial dimensions")
    if target.sizes == value.shape[1:]:
        return value
    if mode == "nearest":
        rounding = "floor" if old else node.text("nearest_mode", "round_prefer_floor")
        return nearest(reading, value, target, word, rounding)
    aligned = word == "align_corners"
    half = word == "half_pixel" or (word == "pytorch_half_pixel" and all(size > 1 for size in target.sizes))
    cubic = mode == "cubic" and dims == 2 and node.number("cubic_coeff_a", -0.75) == -0.75
    if (mode == "linear" or cubic) and (aligned or half):
        method = "upsample_bicubic2d" if cubic else _LINEAR[dims]
        return upsampled(reading, value, method, target, {"align_corners": aligned})
    reading.refuse(
        f"mode {mode[:40]!r} with coordinates {word[:40]!r} is not what torch interpolates with; export again with "
        f"torch.onnx.export(..., opset_version=17)"
    )


def read_target(reading: Reading, value: Rows, old: bool) -> Target:
    """The resolution from scales or sizes, over all axes or over those named."""
    node = reading.node
    factors = node.numbers("scales") if node.op == "Upsample" and node.opset < 9 else None
    sizes: tuple[Size, ...] | None = None
    if factors is None:
        place = 1 if old else 2
        if reading.given(place):
            factors = reading.numbers(place)
        elif not old and reading.given(3):
            sizes = reading.sizes(3)
        else:
            node.damaged("neither scales nor sizes are given")
    axes = node.integers("axes") or tuple(range(value.rank))
    listed = len(factors) if factors is not None else len(sizes or ())
    if len(axes) != listed or node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        reading.refuse(f"its {listed} scales or sizes do not fit {len(axes)} axes")
    extents = dict(enumerate(value.shape, 1))
    wanted: dict[int, int] = dict(extents)
    scales: dict[int, float] = dict.fromkeys(extents, 1.0)
    for index, axis in enumerate(axes):
        place = axis + value.rank if axis < 0 else axis
        factor = 1.0 if factors is None else factors[index]
        size = None if sizes is None else sizes[index]
        if place == 0:
            if factor != 1.0 or not (size is None or is_batch(size) or size == 1):
                reading.refuse("it resizes the batch, and rows must stay independent")
            continue
        if place not in extents or not 0 < factor < 65536 or (size is not None and not isinstance(size, int)):
            node.damaged(f"its scale or size of axis {axis} does not fit a row of shape {value.shape}")
        wanted[place] = math.floor(extents[place] * factor) if size is None else size
        scales[place] = factor if size is None else size / extents[place]
        if wanted[place] < 1:
            node.damaged(f"its axis {axis} would have {wanted[place]} entries")
    if wanted[1] != extents[1]:
        reading.refuse("it resizes the channels, which is not supported")
    spatial = range(2, value.rank)
    return Target(
        tuple(wanted[place] for place in spatial),
        tuple(scales[place] for place in spatial) if sizes is None else None,
        tuple(scales[place] for place in spatial),
    )


def upsampled(
    reading: Reading, value: Rows, method: str, target: Target, more: Mapping[str, bool] | None = None
) -> Held:
    """One of torch's upsamplings by the factors or to the sizes."""
    return reading.emit(
        f"{method}.vec",
        input=value,
        output_size=target.sizes if target.factors is None else None,
        scale_factors=target.factors,
        **(more or {}),
    )


def nearest(reading: Reading, value: Rows, target: Target, word: str, rounding: str) -> Held:
    """Nearest neighbours: torch's own where they are the same, else entries taken by constant indices."""
    if rounding not in _ROUNDINGS:
        reading.node.damaged(f"nearest_mode {rounding[:40]!r} is none of {', '.join(_ROUNDINGS)}")
    wanted, usual, exact = [], [], []
    for extent, size, scale in zip(value.shape[1:], target.sizes, target.scales, strict=True):
        reading.builder.spend(size + extent)
        places, step = np.arange(size, dtype=np.float32), np.float32(scale)  # ties fall as onnxruntime rounds them
        if word == "asymmetric":
            original = places / step
        elif word == "align_corners":
            original = places * np.float32(extent - 1) / np.float32(max(size - 1, 1))
        elif word in ("half_pixel", "pytorch_half_pixel"):
            original = (places + np.float32(0.5)) / step - np.float32(0.5)
            original = original * 0.0 if word == "pytorch_half_pixel" and size == 1 else original
        else:
            reading.refuse(f"coordinates {word[:40]!r} are not supported; export again with torch.onnx.export")
        wanted.append(np.clip(_ROUNDINGS[rounding](original), 0, extent - 1).astype(np.int64))
        given = None if target.factors is None else scale
        usual.append(taken("upsample_nearest1d", extent, size, given))
        exact.append(taken("_upsample_nearest_exact1d", extent, size, given))
    dims = len(target.sizes)
    for method, indices in (("upsample_nearest", usual), ("_upsample_nearest_exact", exact)):
        if (method, dims) != ("_upsample_nearest_exact", 3) and all(map(np.array_equal, wanted, indices)):
            return upsampled(reading, value, f"{method}{dims}d", target)
    result: Held = value
    for place, index in enumerate(wanted, 2):
        result = reading.emit("index_select.default", self=result, dim=place, index=Known(index))
    return result


def taken(method: str, extent: int, size: int, scale: float | None) -> Array:
    """Which entry each entry of the result of one of torch's upsamplings is."""
    places = torch.arange(extent, dtype=torch.float64).reshape(1, 1, -1)
    found = getattr(torch.ops.aten, method).default(places, [size], scale)
    return np.asarray(found.reshape(-1).to(torch.int64).numpy())


def translate_pad(reading: Reading) -> Held:
    """Pad: amounts are attributes before opset 11 and inputs from then on."""
    node, value = reading.node, reading.rows(0)
    mode = node.text("mode", "constant")
    if node.opset < 11:
        pads, fill, axes = node.integers("pads"), node.number("value", 0.0), None
    else:
        pads, fill = reading.integers(1), reading.scalar(2, 0.0)
        axes = reading.integers(3) if reading.given(3) else None
    places = tuple(range(value.rank)) if axes is None else tuple(a + value.rank if a < 0 else a for a in axes)
    if mode not in _PAD_MODES:
        node.damaged(f"mode {mode[:40]!r} is none of {', '.join(_PAD_MODES)}")
    if pads is None or len(pads) != 2 * len(places) or not all(0 <= place < value.rank for place in places):
        node.damaged(f"pads {(pads or ())[:8]} do not fit a value of {value.rank} dimensions")
    begin, end = [0] * value.rank, [0] * value.rank
    for index, place in enumerate(places):
        begin[place], end[place] = pads[index], pads[index + len(places)]
    if begin[0] or end[0]:
        reading.refuse("it pads the batch, and rows must stay independent")
    amounts = [amount for pair in zip(reversed(begin[1:]), reversed(end[1:]), strict=True) for amount in pair]
    while len(amounts) > 2 and amounts[-2:] == [0, 0]:
        amounts = amounts[:-2]
    if not any(amounts):
        return value
    if mode == "constant":
        return reading.emit("constant_pad_nd.default", self=value, pad=tuple(amounts), value=fill)
    # Only whole maps are padded so: a map of fewer spatial dimensions needs all of its pairs.
    full = max(len(amounts), 2 * (value.rank - 2)) if value.rank > 2 else len(amounts)
    amounts += [0] * (full - len(amounts))
    return reading.emit("pad.default", self=value, pad=tuple(amounts), mode=_PAD_MODES[mode])


RESAMPLING: Mapping[str, Translator] = {
    "Pad": translate_pad,
    "Resize": translate_resize,
    "Upsample": translate_resize,
}
