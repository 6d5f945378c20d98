"""How exact the log-volumes of a law's rows are, and the arithmetic that is used for them because of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from collections.abc import Generator as Steps
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.errors import Refused
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine
from magnet_service.geometry.accuracy import ERROR_LIMIT, MeasuredError, joined, measure_error
from magnet_service.sampling.law import Law
from magnet_service.sampling.mapping import bound

__all__ = ["DECIDING_K", "PROBE_ROWS", "PROBE_SEED", "Accuracy", "check_top_k", "probe_latents", "probing", "shortfall"]

PROBE_ROWS = 64
PROBE_SEED = 2**64 - 1
"""Seed of the latents at which errors are measured: the last there is, so that few banks hold them too."""

DECIDING_K = 30
"""BFLOAT16 computes a bank only if its error stays at ERROR_LIMIT for every k up to this one."""


@dataclass(frozen=True)
class Accuracy:
    """The arithmetic of a bank's rows.

    Attributes:
        used: in which they are computed.
        reason: why that is another than the one asked for; empty where it is not.
        errors: that of the one asked for, and behind it that of `used` where it is another.
    """

    used: Precision
    reason: str
    errors: tuple[MeasuredError, ...]

    @property
    def error(self) -> MeasuredError:
        """The error of the arithmetic used."""
        return self.errors[-1]

    @property
    def largest_k(self) -> int:
        """The largest k that may be asked for: all columns, in BFLOAT16 those up to which it is exact enough."""
        return self.error.largest_k if self.used is Precision.BFLOAT16 else len(self.error.log_volume)

    def check(self, top_k: int, field: str = "top_k") -> None:
        """Refuses, as `check_top_k`, a k beyond `largest_k`."""
        if self.used is Precision.BFLOAT16:
            check_top_k(self.error, top_k, field)

    def content(self) -> dict[str, Any]:
        """The same as values of JSON; an infinite error is null."""
        return {
            "used": str(self.used),
            "reason": self.reason,
            "errors": [
                {
                    "precision": str(error.precision),
                    "log_volume": [value if math.isfinite(value) else None for value in error.log_volume],
                    "latents": error.latents,
                    "other_pattern": list(error.other_pattern),
                    "recomputed": error.recomputed,
                }
                for error in self.errors
            ],
        }

    @staticmethod
    def of_content(content: Mapping[str, Any]) -> Accuracy:
        """What `content` wrote.

        Arguments:
            content: values of JSON.

        Returns:
            The accuracy.

        Raises:
            KeyError, TypeError, ValueError: anything else.

        Accuracy:
            Exact.
        """
        errors = tuple(
            MeasuredError(
                Precision(error["precision"]),
                tuple(math.inf if value is None else float(value) for value in error["log_volume"]),
                int(error["latents"]),
                tuple(int(row) for row in error["other_pattern"]),
                int(error["recomputed"]),
            )
            for error in content["errors"]
        )
        found = Accuracy(Precision(content["used"]), str(content["reason"]), errors)
        if not errors or found.error.precision is not found.used:
            raise ValueError(f"the last error is not of {found.used}")
        return found


def check_top_k(error: MeasuredError, top_k: int, field: str = "top_k") -> None:
    """Refuses a k at which an arithmetic is off by more than ERROR_LIMIT.

    Arguments:
        error: what was measured.
        top_k: k of log v_k, 1 or more.
        field: of the request, that says it.

    Raises:
        Refused: k is above `error.largest_k`; reason INEXACT.

    Accuracy:
        Exact for the error measured.
    """
    why = shortfall(error, top_k)
    if why:
        largest = error.largest_k
        smaller = f"write top_k {largest} or less, or " if largest else ""
        raise Refused(
            f"{why[0].upper()}{why[1:]}: {smaller}use precision {Precision.FLOAT32}, building a bank in it to draw.",
            field=field,
            reason="INEXACT",
            metadata={
                "top_k": str(top_k),
                "largest_k": str(largest),
                "error": f"{error.at(top_k):.6g}",
                "precision": str(error.precision),
            },
        )


def shortfall(error: MeasuredError, top_k: int) -> str:
    """Why an arithmetic is not exact enough at some k, in words; empty where it is."""
    if top_k <= error.largest_k:
        return ""
    if not error.compared:
        return (
            f"all {error.latents} latents at which {error.precision} was measured lie in another region in float64, so "
            "that its error is unknown"
        )
    # Errors need not grow with k: where that of k itself is small, a smaller one stands in its way.
    k = top_k if error.at(top_k) > ERROR_LIMIT else error.largest_k + 1
    how_far = f"{error.at(k):.2g} nats at {error.compared} latents, more than {ERROR_LIMIT:g}"
    return f"in {error.precision} log v_{k} is off by up to {how_far}"


def probing(
    generator: Generator,
    engine: Engine,
    law: Law,
    manifold: Manifold,
    *,
    step_rows: int = PROBE_ROWS,
    should_stop: Callable[[], bool] | None = None,
) -> Steps[None, None, Accuracy]:
    """Measures the error of an arithmetic and decides whether it is used, yielding so that others can have the device.

    In BFLOAT16 the error of log v_k for k = 1 to min(columns, DECIDING_K) decides: above ERROR_LIMIT, FLOAT32 takes its
    place and is measured too. Every other arithmetic is used whatever its error.

    Arguments:
        generator: the generator.
        engine: with the precision asked for.
        law: law of the latents.
        manifold: where volumes are measured.
        step_rows: latents between two yields.
        should_stop: asked between tiles.

    Yields:
        Nothing, between steps.

    Returns:
        The decision with its errors: a function of generator, law, manifold and engine.

    Raises:
        Cancelled: should_stop turned true.

    Accuracy:
        Exact for the PROBE_ROWS latents measured, an estimate for all others.
    """

    def measuring(precision: Precision) -> Steps[None, None, MeasuredError]:
        parts = []
        for part in probe_latents(bound(law, generator, engine)).split(step_rows):
            one = replace(engine, precision=precision)
            parts.append(measure_error(one, generator, manifold, law.tangent_space, part, should_stop))
            yield
        return joined(parts)

    error = yield from measuring(engine.precision)
    why = shortfall(error, min(len(error.log_volume), DECIDING_K))
    if engine.precision is not Precision.BFLOAT16 or not why:
        return Accuracy(engine.precision, "", (error,))
    return Accuracy(Precision.FLOAT32, why, (error, (yield from measuring(Precision.FLOAT32))))


def probe_latents(law: Law) -> Float[Tensor, "rows latent"]:
    """The latents of a law at which errors are measured: its first PROBE_ROWS under PROBE_SEED."""
    return torch.from_numpy(law.rows(PROBE_SEED, 0, PROBE_ROWS))
