"""Log weights of a bank's rows, each made when it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, Int8, Int16, Int64

from magnet_service.sampling.banks.rows import OK, BankRows
from magnet_service.sampling.kernels.weighing import Numbers, Ranks, Status, Volumes, fill

__all__ = ["LogWeights", "still"]

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class LogWeights:
    """log w = rho log v_k + log q - log q_bank of rows that may lie in mapped files: nothing of their number is made.

    Attributes:
        size: number of rows.
        volumes: log v_k; empty where it is not read.
        rank: rows of a rank below k are left out; empty where volumes are not read.
        status: rows of another than `OK` are left out; empty where there is none.
        correction: log q - log q_bank, nats; empty where that is 0.
        rho: exponent of v_k.
        k: number of singular values.
    """

    size: int
    volumes: Float32[np.ndarray, " volumes"]
    rank: Int16[np.ndarray, " ranks"]
    status: Int8[np.ndarray, " states"]
    correction: Float64[np.ndarray, " corrections"]
    rho: float = 0.0
    k: int = 0

    @staticmethod
    def given(log_weights: Float64[np.ndarray, " rows"]) -> LogWeights:
        """Log weights at hand: nats, -inf for a weight of zero."""
        return LogWeights(log_weights.size, *_NONE, still(log_weights))

    @staticmethod
    def of(rows: BankRows, correction: Float64[np.ndarray, " rows"] | None, rho: float, k: int) -> LogWeights:
        """Those of a bank's rows; at rho = 0 neither volumes nor ranks are read.

        Arguments:
            rows: the rows.
            correction: log q - log q_bank; None for 0.
            rho: exponent of v_k.
            k: number of singular values, 1 to the rows' columns.

        Returns:
            The log weights, none of which is computed yet.

        Raises:
            OutOfSpace, DamagedData: as the rows' columns, which may be read here for the first time.

        Accuracy:
            The volumes' own plus |rho| times the float32 rounding of log v_k.
        """
        no_volumes, no_rank, _ = _NONE
        return LogWeights(
            len(rows),
            still(rows.log_volume(k)) if rho else no_volumes,
            still(rows.ranks()) if rho else no_rank,
            still(rows.states()),
            _NOTHING if correction is None else still(correction),
            rho,
            k,
        )

    @property
    def terms(self) -> tuple[Volumes, Ranks, Status, Numbers, float, int]:
        """What the kernels read."""
        return self.volumes, self.rank, self.status, self.correction, self.rho, self.k

    def span(self, start: int, stop: int) -> Float64[np.ndarray, " span"]:
        """Those of rows start to stop - 1, nats; a log that is not a number is infinite."""
        made: Float64[np.ndarray, " span"] = np.empty(stop - start)
        fill(*self.terms, start, made)
        return made

    def all(self) -> Float64[np.ndarray, " rows"]:
        """Those of all rows: as large as the rows are many."""
        return self.span(0, self.size)

    def at(self, indices: Int64[np.ndarray, " answer"]) -> Float64[np.ndarray, " answer"]:
        """Those of some rows, the same bits as in `all`."""
        logs: Float64[np.ndarray, " answer"] = (
            self.correction[indices] if self.correction.size else np.zeros(indices.shape)
        )
        usable = logs > -np.inf
        if self.status.size:
            usable &= self.status[indices] == OK
        if self.volumes.size:
            usable &= self.rank[indices] >= self.k
            with np.errstate(invalid="ignore"):  # of rows without weight
                logs = logs + self.rho * self.volumes[indices].astype(np.float64)
        return np.where(usable, logs, -np.inf)


def still(array: np.ndarray[Any, np.dtype[Number]]) -> np.ndarray[Any, np.dtype[Number]]:
    """A read-only contiguous view: kernels are compiled for one kind of array, be it in memory or mapped."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


_NOTHING = still(np.empty(0))
_NONE = (still(np.empty(0, np.float32)), still(np.empty(0, np.int16)), still(np.empty(0, np.int8)))
