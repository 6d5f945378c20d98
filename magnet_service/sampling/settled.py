"""What a request that reads volumes comes to, whatever method draws it then."""

from __future__ import annotations

from dataclasses import dataclass

from magnet_service.sampling.banks.rows import BankRows
from magnet_service.sampling.choice import BankChoice
from magnet_service.sampling.law import Law
from magnet_service.sampling.polarity import TopK, Weights
from magnet_service.sampling.presets import RhoChoice

__all__ = ["Settled"]


@dataclass(frozen=True, eq=False)
class Settled:
    """What a request that reads volumes comes to before anything is drawn.

    Attributes:
        law: the base q.
        choice: the bank.
        rows: its rows used.
        weights: these rows, weighted for the base.
        rho, top_k: as `settle`.
        low_rank_share: share of the base's rows of a rank below k.
    """

    law: Law
    choice: BankChoice
    rows: BankRows
    weights: Weights
    rho: RhoChoice
    top_k: TopK
    low_rank_share: float

    @property
    def unsupported(self) -> str:
        """Why AUTO found no k that the bank supports; empty where it did or was not asked."""
        return "" if self.top_k.supported else self.top_k.reason
