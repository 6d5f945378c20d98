"""Rows of a bank: latents with the log-volumes of the generator there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, Int8, Int16, Int64

from magnet_service.sampling.kernels.weighing import BLOCK_ROWS

__all__ = ["NON_FINITE", "OK", "BankRows", "Rows", "by_blocks", "concatenate", "no_rows"]

OK = 0
NON_FINITE = 1
_REMEMBERED = 64

Found = TypeVar("Found")


class BankRows(ABC):
    """What weights and draws read of a bank's first rows, wherever they lie."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Width of a latent."""

    @property
    @abstractmethod
    def columns(self) -> int:
        """Number of singular values of a row."""

    @abstractmethod
    def ranks(self) -> Int16[np.ndarray, " rows"]:
        """Numerical rank of each row's Jacobian."""

    @abstractmethod
    def states(self) -> Int8[np.ndarray, " rows"]:
        """`OK`, or `NON_FINITE` where the output or its Jacobian is not finite: such rows are left out always."""

    @abstractmethod
    def log_volume(self, k: int) -> Float32[np.ndarray, " rows"]:
        """log v_k of each row in nats, -inf where its rank is below k; k from 1 to `columns`."""

    @abstractmethod
    def latents_at(self, indices: Int64[np.ndarray, " answer"]) -> Float32[np.ndarray, "answer latent"]:
        """Latents of some rows, in the order asked for."""

    @abstractmethod
    def span(self, start: int, stop: int) -> Rows:
        """Rows start to stop - 1, or to the last, in memory."""

    @abstractmethod
    def first(self, count: int) -> BankRows:
        """The first `count` rows."""

    def remembered(self, key: tuple[object, ...], make: Callable[[], Found]) -> Found:
        """What `make` gave when it was last asked for under a key; of the keys used last a few dozen are kept.

        For figures of all rows that are small themselves, as the sums of weights by blocks: the next draw of one law
        does not read its column again.
        """
        if key not in self._memo:
            self._memo[key] = make()
        self._memo.move_to_end(key)
        while len(self._memo) > _REMEMBERED:
            self._memo.popitem(last=False)
        found: Found = self._memo[key]
        return found

    @cached_property
    def _memo(self) -> OrderedDict[tuple[object, ...], Any]:
        return OrderedDict()

    @abstractmethod
    def derived(
        self, key: str, of: Callable[[Float32[np.ndarray, "some latent"]], Float64[np.ndarray, " some"]]
    ) -> Float64[np.ndarray, " rows"]:
        """A number for each row that is a function of its latent alone.

        Arguments:
            key: stands for the function: what was computed under it once may be read again.
            of: the function, of any number of latents.

        Returns:
            The numbers, perhaps mapped from a file.

        Raises:
            OutOfSpace, DamagedData: as the columns of a bank in files.

        Accuracy:
            That of the function.
        """


@dataclass(frozen=True)
class Rows(BankRows):
    """Rows in memory, in the order of the bank.

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
    def dim(self) -> int:
        """As `BankRows.dim`."""
        return int(self.latents.shape[1])

    @property
    def columns(self) -> int:
        """As `BankRows.columns`."""
        return int(self.log_volumes.shape[1])

    def ranks(self) -> Int16[np.ndarray, " rows"]:
        """As `BankRows.ranks`."""
        return self.rank

    def states(self) -> Int8[np.ndarray, " rows"]:
        """As `BankRows.states`."""
        return self.status

    def log_volume(self, k: int) -> Float32[np.ndarray, " rows"]:
        """As `BankRows.log_volume`: a copy, since one column of a matrix is read at a line of the cache a number."""
        return np.ascontiguousarray(self.log_volumes[:, k - 1])

    def latents_at(self, indices: Int64[np.ndarray, " answer"]) -> Float32[np.ndarray, "answer latent"]:
        """As `BankRows.latents_at`."""
        chosen: Float32[np.ndarray, "answer latent"] = self.latents[indices]
        return chosen

    def first(self, count: int) -> Rows:
        """The first `count` rows, as views."""
        return self.span(0, count)

    def span(self, start: int, stop: int) -> Rows:
        """Rows start to stop - 1, as views."""
        page = slice(start, stop)
        return Rows(self.latents[page], self.log_volumes[page], self.rank[page], self.status[page])

    def derived(
        self, key: str, of: Callable[[Float32[np.ndarray, "some latent"]], Float64[np.ndarray, " some"]]
    ) -> Float64[np.ndarray, " rows"]:
        """As `BankRows.derived`; computed at every call."""
        made: Float64[np.ndarray, " rows"] = np.empty(len(self))
        for start, stop in by_blocks(0, len(self)):
            made[start:stop] = of(self.latents[start:stop])
        return made


def by_blocks(first: int, last: int) -> list[tuple[int, int]]:
    """Rows first to last - 1, cut into blocks of at most 10,240.

    Example:
        >>> by_blocks(0, 20_000)
        [(0, 10240), (10240, 20000)]
    """
    return [(start, min(start + BLOCK_ROWS, last)) for start in range(first, last, BLOCK_ROWS)]


def no_rows(dim: int, columns: int) -> Rows:
    """No rows, of latents of a width and of so many singular values."""
    return Rows(
        np.empty((0, dim), np.float32), np.empty((0, columns), np.float32), np.empty(0, np.int16), np.empty(0, np.int8)
    )


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Rows of several parts, in order; at least one part, all of the same widths."""
    return Rows(
        np.concatenate([part.latents for part in parts]),
        np.concatenate([part.log_volumes for part in parts]),
        np.concatenate([part.rank for part in parts]),
        np.concatenate([part.status for part in parts]),
    )
