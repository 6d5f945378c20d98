"""The base law on the wire."""

from __future__ import annotations

from collections.abc import Sequence

from magnet.v1 import sampling_pb2
from magnet_client.codec.scalars import finite
from magnet_client.errors import InvalidInput
from magnet_client.words import BaseWord

__all__ = ["base_to_wire", "base_word"]


def base_to_wire(
    preset: str | None, base: BaseWord | None, ball_radius: float | None, box: Sequence[float] | None
) -> sampling_pb2.Base | None:
    """Check the arguments that say the base law, and pack them.

    Arguments:
        preset: the preset asked for, if one is: `uniform` brings the uniform base, so that a domain alone is enough.
        base: `prior`, `uniform`, or None for what the preset says, else the prior.
        ball_radius: radius > 0 of the ball that bounds a uniform base; None for the default domain.
        box: (low, high) of the box that bounds it.

    Returns:
        The message, or None where nothing was said.

    Raises:
        InvalidInput: naming the field.

    Accuracy: exact.
    """
    if base not in (None, "prior", "uniform"):
        raise _invalid("base", f"base must be 'prior' or 'uniform'; not {base!r}")
    if ball_radius is not None and box is not None:
        raise _invalid("box", "the domain is either a ball (ball_radius) or a box, and both are given")
    domain = "ball_radius" if ball_radius is not None else "box" if box is not None else None
    if domain is not None and base != "uniform" and not (base is None and preset == "uniform"):
        raise _invalid(domain, f"{domain} bounds a uniform base: write base='uniform' with it")
    if base == "prior":
        return sampling_pb2.Base(prior=sampling_pb2.Base.Prior())
    if ball_radius is not None:
        ball = sampling_pb2.Base.Ball(radius=finite(ball_radius, "ball_radius", 0))
        return sampling_pb2.Base(uniform=sampling_pb2.Base.Uniform(ball=ball))
    if box is not None:
        return sampling_pb2.Base(uniform=sampling_pb2.Base.Uniform(box=_box(box)))
    return sampling_pb2.Base(uniform=sampling_pb2.Base.Uniform()) if base == "uniform" else None


def base_word(base: sampling_pb2.Base) -> BaseWord | None:
    """Return the word of a base law, None where none is set."""
    law = base.WhichOneof("law")
    return law if law is not None else None


def _box(box: Sequence[float]) -> sampling_pb2.Base.Box:
    try:
        low, high = (finite(end, "box") for end in box)
    except (TypeError, ValueError) as error:
        raise _invalid("box", f"box must be (low, high); not {box!r}") from error
    if low >= high:
        raise _invalid("box", f"box must be (low, high) with low < high; not {box!r}")
    return sampling_pb2.Base.Box(low=low, high=high)


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, field=field, reason="INVALID_INPUT")
