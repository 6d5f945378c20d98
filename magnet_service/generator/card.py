"""A generator's card: what is known about it beside its network, and which values are allowed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from magnet_service.errors import InvalidInput
from magnet_service.generator.condition import ConditionCard

__all__ = ["LAYOUTS", "GeneratorCard", "check_name", "infer_layout"]

LAYOUTS = ("CHW", "HW", "HWC", "vector")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PRIOR = re.compile(rf"([a-z_]+)(?:\(\s*([a-z_]+\s*=\s*{_NUMBER}\s*(?:,\s*[a-z_]+\s*=\s*{_NUMBER}\s*)*)?\))?", re.ASCII)
# No folder in it: a file of elsewhere is never read. The names of the generator's own files are taken.
_FILE = re.compile(r"(?!generator\.)[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.(?:pt2|onnx)", re.ASCII)
_PRIORS = ("normal", "truncated_normal", "uniform", "ball", "sphere")


@dataclass(frozen=True)
class GeneratorCard:
    """What is known about a generator beside its file; checked on construction.

    Attributes:
        name: lower-case letters, digits, `-` and `_`, at most 63 of them.
        description: free text.
        latent_dim: d.
        prior: the law it was trained on, as `normal` or `uniform(low=-1, high=1)`.
        licence: of the weights.
        source: where they come from.
        layout: how one output is laid out: HW, CHW, HWC or vector.
        value_range: smallest and largest value of an output.
        labels: names of the classes of its training set, if it has any.
        training_shares: share of each class in the training set, same order.
        condition: the conditions that it takes; None for an unconditional one.
        latent_node: name of the inner value that is its latent, whose width `latent_dim` is; `prior` is the law of
            the network's own input all the same. Empty for that input itself.
        features: name of the file of its feature network, in the version's folder or the generator's. Empty for none.

    Raises:
        InvalidInput: a field is out of bounds; `field` names it as generator.toml does.
    """

    name: str
    latent_dim: int
    prior: str = "normal"
    description: str = ""
    licence: str = ""
    source: str = ""
    layout: str = "vector"
    value_range: tuple[float, float] = (-1.0, 1.0)
    labels: tuple[str, ...] = ()
    training_shares: tuple[float, ...] = ()
    condition: ConditionCard | None = None
    latent_node: str = ""
    features: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        for text in ("prior", "description", "licence", "source", "latent_node", "features"):
            _require(_is_text(getattr(self, text)), text, "write a string")
        _require(_is_integer(self.latent_dim) and self.latent_dim >= 1, "latent_dim", "write an integer of at least 1")
        match = _PRIOR.fullmatch(self.prior)
        _require(
            match is not None and match.group(1) in _PRIORS,
            "prior",
            "write one of normal, truncated_normal(bound=2), uniform(low=-1, high=1), ball(radius=3) or "
            f"sphere(radius=1), not {self.prior!r}",
        )
        _require(
            not self.features or _FILE.fullmatch(self.features) is not None,
            "features",
            f"write the name of a .pt2 or .onnx file beside generator.toml or in the version's folder, not "
            f"{self.features!r}",
        )
        _require(self.layout in LAYOUTS, "output.layout", f"write one of {', '.join(LAYOUTS)}, not {self.layout!r}")
        _require(
            len(self.value_range) == 2
            and all(_is_number(bound) for bound in self.value_range)
            and self.value_range[0] < self.value_range[1],
            "output.range",
            "write two finite numbers, the smaller first, as [-1.0, 1.0]",
        )
        _require(
            all(_is_text(label) and label for label in self.labels) and len(set(self.labels)) == len(self.labels),
            "labels.names",
            "write distinct, non-empty strings",
        )
        _require(
            len(self.training_shares) in (0, len(self.labels))
            and all(_is_number(share) and share >= 0 for share in self.training_shares)
            and (not self.training_shares or math.isclose(sum(self.training_shares), 1.0, abs_tol=0.01)),
            "labels.training_shares",
            "write one share for each label, none negative, with a sum of 1",
        )

    @property
    def conditions(self) -> ConditionCard | None:
        """The conditions that it takes; where those have no labels, and the training set has as many, with its."""
        given = self.condition
        if given is None or given.labels or len(self.labels) != given.classes:
            return given
        return replace(given, labels=self.labels)

    def check_output(self, output_shape: tuple[int, ...]) -> None:
        """Raise `InvalidInput` (field `output.layout`) where the layout does not fit outputs of that shape."""
        fits = {
            "HW": len(output_shape) == 2 or (len(output_shape) == 3 and output_shape[0] == 1),
            "CHW": len(output_shape) == 3,
            "HWC": len(output_shape) == 3,
            "vector": len(output_shape) == 1,
        }[self.layout]
        _require(fits, "output.layout", f"{self.layout} does not fit outputs of shape {list(output_shape)}")


def check_name(name: str) -> str:
    """Return the name of a generator as it is.

    Arguments:
        name: what a user or a folder gave.

    Returns:
        `name`.

    Raises:
        InvalidInput: anything but 1 to 63 of a-z, 0-9, `-`, `_`, starting with a letter or digit (field `name`).

    Accuracy: exact.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"The name {str(name)[:80]!r} cannot be used: write 1 to 63 of a-z, 0-9, '-' and '_', starting with a "
            f"letter or a digit.",
            field="name",
        )
    return name


def infer_layout(output_shape: tuple[int, ...]) -> str:
    """Return the layout that outputs of a shape suggest: images of one channel, three channels first or last, a vector.

    Arguments:
        output_shape: without the batch.

    Returns:
        HW for [H, W] and [1, H, W], HWC for [H, W, 3 or 4] unless channels may come first too, CHW for other shapes
        of three dimensions, vector for one.

    Raises:
        InvalidInput: more than three dimensions (field `output.layout`).

    Accuracy: a guess; `generator.toml` states it and a user may correct it there.
    """
    match output_shape:
        case (_,):
            return "vector"
        case (_, _) | (1, _, _):
            return "HW"
        case (first, _, last):
            return "HWC" if last in (1, 3, 4) and first not in (3, 4) else "CHW"
    raise InvalidInput(
        f"Outputs of shape {list(output_shape)} are no image: return [channels, height, width], [height, width] or a "
        f"vector.",
        field="output.layout",
    )


def _is_text(value: object) -> bool:
    # A lone surrogate cannot be written as UTF-8.
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _require(condition: bool, field: str, advice: str) -> None:
    if not condition:
        raise InvalidInput(f"{field}: {advice}.", field=field)
