"""Texts of laws: the canonical one that banks store, and the short one that people write."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields

from magnet_service.errors import InvalidInput
from magnet_service.sampling.law import Ball, Box, Law, Normal, NormBoundedNormal, Sphere, TruncatedNormal
from magnet_service.sampling.pushforward import Pushforward

__all__ = ["from_text", "parse_law"]

_CLASSES: tuple[type[Law], ...] = (Normal, TruncatedNormal, NormBoundedNormal, Box, Ball, Sphere)
# People say uniform(low=-1, high=1); the law is called a box beside the ball.
_NAMES: dict[str, type[Law]] = {**{law.name: law for law in _CLASSES}, "uniform": Box}
_FORM = re.compile(r"\s*([a-z_]+)\s*(?:\(([^()]*)\))?\s*")
_PUSHED = re.compile(r"pushforward\(dim=(\d{1,9}),source=(.*)\)")
_EXAMPLES = "normal, truncated_normal(bound=2), uniform(low=-1,high=1), ball(radius=4) or sphere(radius=1)"


def parse_law(text: str, dim: int) -> Law:
    """The law that a short text names, as `generator.toml` and the command line write it.

    Arguments:
        text: `normal`, `normal(scale=2)`, `truncated_normal(bound=2)`, `uniform(low=-1, high=1)` (or `box(...)`),
            `ball(radius=4)`, `sphere(radius=1)`, `norm_bounded_normal(bound=3)`; a `dim` given must be the latents'
            width.
        dim: width of a latent.

    Returns:
        The law.

    Raises:
        InvalidInput: an unknown name, a missing, unknown or unreadable parameter; field `prior`.

    Accuracy:
        Exact.

    Example:
        >>> parse_law("uniform(low=-1, high=1)", dim=2).to_text()
        'box(dim=2,low=-1.0,high=1.0)'
    """
    match = _FORM.fullmatch(text)
    law = _NAMES.get(match.group(1)) if match else None
    if match is None or law is None:
        raise InvalidInput(f"{text!r} names no law: write {_EXAMPLES}", field="prior")
    known = {f.name: f for f in fields(law)}
    given: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in (match.group(2) or "").split(","))):
        key, _, value = (side.strip() for side in part.partition("="))
        if key not in known or key in given:
            raise InvalidInput(f"{part!r} in {text!r}: {law.name} takes {', '.join(known)}, each once", field="prior")
        try:
            given[key] = float(value)
        except ValueError:
            raise InvalidInput(f"{part!r} in {text!r}: write {key}=NUMBER", field="prior") from None
    if given.pop("dim", float(dim)) != dim:
        raise InvalidInput(f"{text!r} is not of dimension {dim}, which the latents have", field="prior")
    missing = [name for name, f in known.items() if f.default is MISSING and name != "dim" and name not in given]
    if missing:
        raise InvalidInput(f"{text!r} lacks {', '.join(missing)}: write {_EXAMPLES}", field="prior")
    return law(dim, **given)


def from_text(text: str) -> Law:
    """The law that its canonical text names: the inverse of `Law.to_text`.

    Arguments:
        text: as `ball(dim=20,radius=4.69041575982343)`, or `pushforward(dim=512,source=normal(dim=64))`.

    Returns:
        The equal law.

    Raises:
        InvalidInput: not a law's text, or no `dim`; field `prior`.

    Accuracy:
        Exact: numbers are written in their shortest form that reads back to the same float64.
    """
    pushed = _PUSHED.fullmatch(text)
    if pushed is not None and not pushed.group(2).startswith(Pushforward.name):
        return Pushforward(int(pushed.group(1)), from_text(pushed.group(2)))
    match = re.search(r"\bdim=(\d{1,9})\b", text)
    if match is None:
        raise InvalidInput(f"{text!r} names no dimension: write it as normal(dim=20)", field="prior")
    return parse_law(text, int(match.group(1)))
