"""How rows of a draw come about, and what that may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from magnet_service.errors import InvalidInput

__all__ = ["DEFAULT_EVALUATIONS", "MAX_EVALUATIONS", "MAX_FORWARDS", "UNSETTLED", "Effort", "Method"]

DEFAULT_EVALUATIONS = 4_000.0
MAX_EVALUATIONS = 1_000_000
MAX_FORWARDS = 100_000_000


class Method(StrEnum):
    """How rows come about.

    DIRECT draws fresh rows of the base (rho = 0); RESAMPLE rows of a bank; SCREENED and SCREENED_CHAIN find latents by
    a surrogate and correct them exactly; AUTO stands for the one that promises most, in requests only.
    """

    DIRECT = "DIRECT"
    RESAMPLE = "RESAMPLE"
    SCREENED = "SCREENED"
    SCREENED_CHAIN = "SCREENED_CHAIN"
    AUTO = "AUTO"

    @property
    def screens(self) -> bool:
        """Whether it works by a surrogate."""
        return self in (Method.SCREENED, Method.SCREENED_CHAIN)


@dataclass(frozen=True)
class Effort:
    """What a screened draw may compute, as asked for or as settled.

    Attributes:
        evaluations: in exact evaluations, a forward counted as one column of the Jacobian; 0 for 4,000. With `min_ess`
            that is where a draw begins to grow, 16 times as many where it ends.
        exact: exact evaluations, settled; 0 where they are shared out by the surrogate's figures.
        forwards: forward passes, settled; 0 likewise.

    Raises:
        InvalidInput: out of range, or one of exact and forwards alone; field `budget`.
    """

    evaluations: float = 0.0
    exact: int = 0
    forwards: int = 0

    def __post_init__(self) -> None:
        """Refuses what can never be computed."""
        if not (math.isfinite(self.evaluations) and 0.0 <= self.evaluations <= MAX_EVALUATIONS):
            raise InvalidInput(
                f"evaluations is {self.evaluations}: write 0 (for {DEFAULT_EVALUATIONS:,.0f}) to {MAX_EVALUATIONS:,}",
                field="budget.evaluations",
            )
        for name, most in (("exact", MAX_EVALUATIONS), ("forwards", MAX_FORWARDS)):
            if not 0 <= getattr(self, name) <= most:
                raise InvalidInput(f"{name} is {getattr(self, name)}: write 0 to {most:,}", field=f"budget.{name}")
        if (self.exact == 0) != (self.forwards == 0):
            raise InvalidInput(
                "exact and forwards are given together, or both left out for evaluations to be shared out",
                field="budget.exact" if self.exact == 0 else "budget.forwards",
            )

    @property
    def settled(self) -> bool:
        """Whether both numbers are given."""
        return self.exact > 0


UNSETTLED = Effort()
"""Everything left to the server."""
