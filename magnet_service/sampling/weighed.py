"""Weighed rows of a bank: what a draw from them needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from magnet_service.sampling.blocks import BlockSums
from magnet_service.sampling.log_weights import LogWeights
from magnet_service.sampling.resample import rows_at, successive_order

__all__ = ["WeighedRows"]


@dataclass(frozen=True, eq=False)
class WeighedRows:
    """Weights of a bank's rows at one rho and k, none of them stored.

    Attributes:
        logs: the log weights.
        sums: of the weights, by blocks.
    """

    logs: LogWeights
    sums: BlockSums

    def at(self, uniform: Float64[np.ndarray, " answer"]) -> Int64[np.ndarray, " answer"]:
        """Rows by one uniform number each, with replacement: as `rows_at`."""
        return rows_at(self.logs, self.sums, uniform)

    def order(self, seed: int, first: int = 0) -> Int64[np.ndarray, " order"]:
        """Rows in the order of successive sampling: as `successive_order`, and as large as the rows are many."""
        return successive_order(self.logs.all(), seed, first)

    def over_mean(self, indices: Int64[np.ndarray, " answer"]) -> Float64[np.ndarray, " answer"]:
        """Log of weight over mean weight of some rows, nats."""
        return self.logs.at(indices) - self.sums.log_mean
