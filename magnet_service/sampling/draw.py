"""A draw: the answer's rows, page by page, with what they are worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from magnet_service.errors import InvalidInput
from magnet_service.sampling.banks.rows import BankRows
from magnet_service.sampling.counter import Stream, uniforms
from magnet_service.sampling.diagnostics import Diagnostics, Result
from magnet_service.sampling.law import Law
from magnet_service.sampling.resolved import Resolved
from magnet_service.sampling.weighed import WeighedRows

__all__ = ["DirectDraw", "Draw", "ResampledDraw"]

# Banks of all classes may hold the same latents: Gumbel numbers of their rows are kept apart.
_ROWS_OF_A_CLASS = 2**32


@dataclass(frozen=True, eq=False)
class Draw(ABC):
    """Rows by their absolute number: a page [start, start + count) is the same bytes however it is cut.

    Attributes:
        resolved: the request as answered.
        diagnostics: what the weights are worth.
        result: the verdict.
        advice: plain sentences, empty when all is well.
    """

    resolved: Resolved
    diagnostics: Diagnostics
    result: Result
    advice: str

    @abstractmethod
    def latents(self, start: int, count: int) -> Float32[np.ndarray, "answer latent"]:
        """Latents of answer rows start to start + count - 1."""

    @abstractmethod
    def indices(self, start: int, count: int) -> Int64[np.ndarray, " answer"] | None:
        """Bank rows behind the answer's rows; None where no bank is read."""

    def classes(self, start: int, count: int) -> Int32[np.ndarray, " answer"] | None:
        """Class of each of these rows; None where the generator has no classes."""
        condition = self.resolved.condition
        return None if condition is None or condition.index is None else np.full(count, condition.index, np.int32)

    @abstractmethod
    def log_volumes(self, start: int, count: int) -> Float64[np.ndarray, " answer"] | None:
        """log v_k in nats at the resolved k, from the bank's float32 columns; None where no bank is read."""

    @abstractmethod
    def log_weights(self, start: int, count: int) -> Float64[np.ndarray, " answer"]:
        """Log of weight over mean weight of the bank's rows, nats: 0 for a row drawn as often as any."""


@final
@dataclass(frozen=True, eq=False)
class DirectDraw(Draw):
    """Fresh rows of the base law: row i by (seed, i).

    Attributes:
        law: the base.
    """

    law: Law

    def latents(self, start: int, count: int) -> Float32[np.ndarray, "answer latent"]:
        """As `Draw.latents`."""
        return self.law.rows(self.resolved.seed, start, count)

    def indices(self, start: int, count: int) -> None:
        """None: no bank is read."""
        return None

    def log_volumes(self, start: int, count: int) -> None:
        """None: the caller computes volumes of fresh rows if they are wanted."""
        return None

    def log_weights(self, start: int, count: int) -> Float64[np.ndarray, " answer"]:
        """Zeros: every draw counts the same."""
        return np.zeros(count)


@final
@dataclass(frozen=True, eq=False)
class ResampledDraw(Draw):
    """Rows of a bank, drawn by weight.

    Attributes:
        rows: the bank's first rows, up to the revision used.
        weighed: their weights.
    """

    rows: BankRows
    weighed: WeighedRows

    def latents(self, start: int, count: int) -> Float32[np.ndarray, "answer latent"]:
        """As `Draw.latents`."""
        return self.rows.latents_at(self.indices(start, count))

    def indices(self, start: int, count: int) -> Int64[np.ndarray, " answer"]:
        """As `Draw.indices`; with replacement one inverse-CDF draw a row, without it a page of the successive order."""
        return self._page(start, count)

    def at(self, uniform: Float64[np.ndarray, " answer"]) -> Int64[np.ndarray, " answer"]:
        """Bank rows by one uniform number each, with replacement."""
        return self.weighed.at(uniform)

    def in_order(self, places: Int64[np.ndarray, " answer"]) -> Int64[np.ndarray, " answer"]:
        """Bank rows at places of the successive order; InvalidInput beyond its end."""
        if places.size and places.max() >= self._order.size:
            raise InvalidInput(f"{places.max() + 1} rows without replacement of {self._order.size}", field="count")
        page: Int64[np.ndarray, " answer"] = self._order[places]
        return page

    def log_volumes(self, start: int, count: int) -> Float64[np.ndarray, " answer"]:
        """As `Draw.log_volumes`."""
        return self.log_volumes_of(self.indices(start, count))

    def log_weights(self, start: int, count: int) -> Float64[np.ndarray, " answer"]:
        """As `Draw.log_weights`."""
        return self.log_weights_of(self.indices(start, count))

    def log_volumes_of(self, indices: Int64[np.ndarray, " answer"]) -> Float64[np.ndarray, " answer"]:
        """log v_k of bank rows, nats."""
        chosen: Float32[np.ndarray, " answer"] = self.rows.log_volume(self.resolved.top_k)[indices]
        return chosen.astype(np.float64)

    def log_weights_of(self, indices: Int64[np.ndarray, " answer"]) -> Float64[np.ndarray, " answer"]:
        """Log of weight over mean weight of bank rows, nats."""
        return self.weighed.over_mean(indices)

    @cached_property
    def _page(self) -> Callable[[int, int], Int64[np.ndarray, " answer"]]:
        # Latents, volumes and weights of a page are asked for one after another, all by its rows.
        return lru_cache(maxsize=1)(self._drawn)

    def _drawn(self, start: int, count: int) -> Int64[np.ndarray, " answer"]:
        if self.resolved.replacement:
            drawn = self.at(uniforms(self.resolved.seed, Stream.RESAMPLE, start, count, 1)[:, 0])
        else:
            drawn = self.in_order(np.arange(start, start + count))
        drawn.setflags(write=False)
        return drawn

    @cached_property
    def _order(self) -> Int64[np.ndarray, " answer"]:
        condition = self.resolved.condition
        first = 0 if condition is None or condition.index is None else condition.index * _ROWS_OF_A_CLASS
        return self.weighed.order(self.resolved.seed, first)
