"""Errors of an arithmetic on the wire."""

from __future__ import annotations

from magnet.v1 import types_pb2
from magnet_client.codec.scalars import precision_word
from magnet_client.results import MeasuredError

__all__ = ["decode_error"]


def decode_error(error: types_pb2.MeasuredError) -> MeasuredError:
    """Unpack the error measured of an arithmetic."""
    return MeasuredError(
        precision=precision_word(error.precision),
        log_volume=tuple(error.log_volume),
        latents=error.latents,
        other_pattern=tuple(error.other_pattern),
        recomputed=error.recomputed,
    )
