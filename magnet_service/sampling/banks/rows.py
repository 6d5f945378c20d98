"""Rows of a bank: latents with the log-volumes of the generator there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int8, Int16

__all__ = ["NON_FINITE", "OK", "Rows", "concatenate"]

OK = 0
NON_FINITE = 1


@dataclass(frozen=True)
class Rows:
    """Rows in the order of the bank.

    Attributes:
        latents: float32, shape [rows, latent].
        log_volumes: prefix sums of log singular values, column k - 1 = log v_k in nats, -inf where rank < k;
            accumulated in float64, kept as float32, shape [rows, columns].
        rank: numerical rank of the Jacobian.
        status: 0, or 1 where the output or its Jacobian is not finite: such rows are left out always.
    """

    latents: Float32[np.ndarray, "rows latent"]
    log_volumes: Float32[np.ndarray, "rows columns"]
    rank: Int16[np.ndarray, " rows"]
    status: Int8[np.ndarray, " rows"]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.latents)

    @property
    def columns(self) -> int:
        """Number of singular values of a row."""
        return int(self.log_volumes.shape[1])

    def first(self, count: int) -> Rows:
        """The first `count` rows, as views."""
        return self.span(0, count)

    def span(self, start: int, stop: int) -> Rows:
        """Rows start to stop - 1, as views."""
        page = slice(start, stop)
        return Rows(self.latents[page], self.log_volumes[page], self.rank[page], self.status[page])


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Rows of several parts, in order; at least one part, all of the same widths."""
    return Rows(
        np.concatenate([part.latents for part in parts]),
        np.concatenate([part.log_volumes for part in parts]),
        np.concatenate([part.rank for part in parts]),
        np.concatenate([part.status for part in parts]),
    )
