"""Weights of bank rows under pi(z) ~ q(z) v_k(z)^rho, and the k that a bank supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from magnet_service.errors import InvalidInput
from magnet_service.sampling.banks.rows import BankRows
from magnet_service.sampling.blocks import BlockSums, sums_by_block
from magnet_service.sampling.diagnostics import LEAST_NEED, Result, figures_of, judge
from magnet_service.sampling.kernels.weighing import add_by_rank
from magnet_service.sampling.law import Law
from magnet_service.sampling.log_weights import LogWeights, still
from magnet_service.sampling.weighed import WeighedRows

__all__ = [
    "LOW_RANK_LIMIT",
    "SUPPORT_ESS",
    "Cell",
    "TopK",
    "Weights",
    "choose_top_k",
    "describe",
    "log_weights",
]

LOW_RANK_LIMIT = 0.01
SUPPORT_ESS = 200.0


@dataclass(frozen=True)
class TopK:
    """A choice of k.

    Attributes:
        k: number of singular values.
        supported: whether the bank supports it; False where nothing fits and k is 1 for want of better.
        reason: one sentence.
    """

    k: int
    supported: bool
    reason: str


@dataclass(frozen=True)
class Cell:
    """What a bank is worth at one (rho, k).

    Attributes:
        rho: exponent of v_k.
        k: number of singular values.
        ess: effective sample size.
        khat: Pareto k-hat, None when absent.
        largest_weight: largest normalised weight.
        low_rank_share: share of the base law's rows of rank below k.
        result: verdict for the least need, 100 effective rows.
    """

    rho: float
    k: int
    ess: float
    khat: float | None
    largest_weight: float
    low_rank_share: float
    result: Result


class Weights:
    """Rows of a bank, weighted for a base law: the correction log q - log q_bank is computed once.

    Arguments:
        rows: the rows.
        base: law q wanted.
        bank_law: law that the rows were drawn from.
        largest_k: the largest k at which the rows' volumes are exact enough to be used; all columns where None.
    """

    def __init__(self, rows: BankRows, base: Law, bank_law: Law, largest_k: int | None = None) -> None:
        self.rows = rows
        self.largest_k = rows.columns if largest_k is None else min(largest_k, rows.columns)
        self._laws = base.to_text(), bank_law.to_text()
        self._correction: Float64[np.ndarray, " rows"] | None = None
        if base != bank_law:
            self._correction = rows.derived(
                f"log density of {base.to_text()} over {bank_law.to_text()}",
                lambda latents: base.log_density(latents) - bank_law.log_density(latents),
            )

    def logs(self, rho: float, k: int) -> LogWeights:
        """As the function `log_weights`, each made when it is read."""
        if rho != 0.0 and not 1 <= k <= self.rows.columns:
            raise InvalidInput(f"top_k is {k}: write 1 to {self.rows.columns}, or 0 for AUTO", field="top_k")
        return LogWeights.of(self.rows, self._correction, float(rho), k)

    def log_weights(self, rho: float, k: int) -> Float64[np.ndarray, " rows"]:
        """As the function `log_weights`."""
        return self.logs(rho, k).all()

    def sums(self, rho: float, k: int) -> BlockSums:
        """The weights summed by blocks, their largest kept; raises as the function `log_weights`."""
        logs = self.logs(rho, k)
        return self.rows.remembered(("sums", *self._laws, rho, k), lambda: sums_by_block(logs))

    def ess(self, rho: float, k: int) -> float:
        """ESS of the weights; raises as the function `log_weights`."""
        logs = self.logs(rho, k)
        return self.rows.remembered(("ess", *self._laws, rho, k), lambda: sums_by_block(logs, tail=False).ess)

    def weighed(self, rho: float, k: int) -> WeighedRows:
        """The weights with their sums, to draw from; raises as the function `log_weights`."""
        return WeighedRows(self.logs(rho, k), self.sums(rho, k))

    def low_rank_share(self, k: int) -> float:
        """Share of the base law's rows whose rank is below k, 0 to 1."""
        total = float(self._shares[-1])
        return float(self._shares[min(k, self._shares.size) - 1]) / total if k > 0 and total > 0.0 else 0.0

    @property
    def _shares(self) -> Float64[np.ndarray, " ranks"]:
        return self.rows.remembered(("shares", *self._laws), self._summed_shares)

    def _summed_shares(self) -> Float64[np.ndarray, " ranks"]:
        # How much of the base law has rank 0, at most 1, and so on to all ranks that there are.
        logs = self.logs(0.0, 0)
        found = np.zeros(self.rows.columns + 1)
        add_by_rank(*logs.terms, logs.size, still(self.rows.ranks()), found)
        return np.cumsum(found)

    def choose_top_k(self, rho: float, min_ess: float = 0.0) -> TopK:
        """As the function `choose_top_k`."""
        need = max(SUPPORT_ESS, min_ess)
        for k in range(self.largest_k, 0, -1):
            share = self.low_rank_share(k)
            if share <= LOW_RANK_LIMIT and (ess := self.ess(rho, k)) >= need:
                at = f"at rho {rho:g} ESS {ess:.0f} >= {need:.0f}, rank >= {k} on {1.0 - share:.1%} of the rows"
                kept = k == self.largest_k < self.rows.columns
                exact = f"; above k = {k} the bank's log-volumes are not exact enough" if kept else ""
                return TopK(k, True, f"the largest k that the bank supports: {at}{exact}")
        return TopK(1, False, f"no k has rank on 99 % of the rows and ESS >= {need:.0f} at rho {rho:g}: 1 is the least")


def log_weights(rows: BankRows, base: Law, bank_law: Law, rho: float, k: int) -> Float64[np.ndarray, " rows"]:
    """Unnormalised log weights of bank rows for pi ~ q v_k^rho.

        log w = rho log v_k + log q - log q_bank

    Arguments:
        rows: the rows.
        base: law q.
        bank_law: law that the rows were drawn from; its support must cover that of q.
        rho: exponent of v_k.
        k: number of singular values; not read at rho = 0, where volumes are not read either.

    Returns:
        Nats; -inf for non-finite rows, for rows outside the base's support and, at rho != 0, for rows of rank below k.

    Raises:
        InvalidInput: k out of range; field `top_k`.

    Accuracy:
        The volumes' own plus |rho| times the float32 rounding of log v_k.
    """
    return Weights(rows, base, bank_law).log_weights(rho, k)


def choose_top_k(rows: BankRows, base: Law, bank_law: Law, rho: float, min_ess: float = 0.0) -> TopK:
    """The k that AUTO stands for: the largest with rank >= k on 99 % of the rows and ESS(rho, k) >= max(200, min_ess).

    Arguments:
        rows: the rows, up to the revision in use.
        base: law q; the 99 % are of its rows.
        bank_law: law that the rows were drawn from.
        rho: exponent of v_k.
        min_ess: effective rows wanted.

    Returns:
        k and the reason; where none fits, k = 1, not supported.

    Raises:
        Nothing.

    Accuracy:
        Exact for the figures that it compares.
    """
    return Weights(rows, base, bank_law).choose_top_k(rho, min_ess)


def describe(rows: BankRows, base: Law, bank_law: Law, rhos: Sequence[float], ks: Sequence[int]) -> tuple[Cell, ...]:
    """What a bank is worth over a grid of rho and k.

    Arguments:
        rows: the rows.
        base: law q.
        bank_law: law that the rows were drawn from.
        rhos: exponents, finite.
        ks: numbers of singular values.

    Returns:
        Cells, k running faster than rho.

    Raises:
        InvalidInput: a k out of range or a rho that is not finite; field `top_k` or `rho`.

    Accuracy:
        As `diagnostics`.

    Cost:
        One pass over the rows for each cell.
    """
    weights = Weights(rows, base, bank_law)
    cells = []
    for rho in rhos:
        if not np.isfinite(rho):
            raise InvalidInput(f"rho is {rho}: write a finite number", field="rho")
        for k in ks:
            share = weights.low_rank_share(k)
            figures = figures_of(weights.sums(rho, k), low_rank_share=share)
            verdict = judge(figures, LEAST_NEED)
            cells.append(Cell(rho, k, figures.ess, figures.khat, figures.largest_weight, share, verdict))
    return tuple(cells)
