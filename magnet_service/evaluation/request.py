"""What an evaluation is asked for, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold
from magnet_service.generator.condition import Condition
from magnet_service.sampling.counter import check_seed
from magnet_service.sampling.method import Method
from magnet_service.sampling.screening.fitting import LEAST_ROWS

__all__ = ["EvaluationRequest", "Family", "Setting"]

LEAST_COUNT = 100
MOST_COUNT = 10_000
LEAST_BANK = 64


class Family(StrEnum):
    """A way to trade the variety of draws for something else; the last two are no draws of one."""

    POLARITY = "polarity"
    PSI = "psi"
    NORM = "norm"
    REAL = "real"


@dataclass(frozen=True)
class Setting:
    """A point of the grid.

    Attributes:
        family: which knob is turned.
        value: rho, psi, or the share of latents kept; 0 for real images.
    """

    family: Family
    value: float

    @property
    def name(self) -> str:
        """As reports write it: `rho -1`, `psi 0.7`, `norm 0.5`."""
        match self.family:
            case Family.POLARITY:
                return f"rho {self.value:g}"
            case Family.PSI:
                return f"psi {self.value:g}"
            case Family.NORM:
                return f"norm {self.value:g}"
            case Family.REAL:
                return "real images"


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """A grid of draws and how to judge them.

    Attributes:
        rhos: exponents of v_k; 0, the generator as trained, is added where it is missing.
        psis: truncations of the prior, at rho 0, above 0 and below 1.
        keeps: shares of the prior's latents, those of the smallest Jacobian norm, above 0 and below 1.
        count: draws at each point, 100 to 10,000.
        top_k: k of v_k, the same at every rho; 0 for the largest that AUTO takes at both ends of the rhos.
        manifold: where volumes and norms are measured.
        seed: of the draws, 0 to 2^64 - 1.
        neighbours: k of precision, recall, density and coverage.
        bank_rows: rows of the prior's bank to use, built where they are missing; None for all of a bank at hand, and
            20,480 where there is none.
        condition: of a conditional generator.
        method: how draws at rho other than 0 come about; psi and norm are drawn as ever.

    Raises:
        InvalidInput: with the attribute at fault as its field.
    """

    rhos: tuple[float, ...] = (-2.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 2.0)
    psis: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9)
    keeps: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 0.9)
    count: int = 2_000
    top_k: int = 0
    manifold: Manifold = Manifold.OUTPUT
    seed: int = 1
    neighbours: int = 5
    bank_rows: int | None = None
    condition: Condition | None = None
    method: Method = Method.RESAMPLE

    def __post_init__(self) -> None:
        """Refuses what can never be answered."""
        if not all(math.isfinite(rho) for rho in self.rhos):
            raise InvalidInput("--rho: write finite numbers, 0 for the generator as trained", field="rho")
        for values, field in ((self.psis, "psi"), (self.keeps, "keep")):
            if not all(0.0 < value < 1.0 for value in values):
                raise InvalidInput(f"--{field}: write numbers above 0 and below 1; rho 0 stands for 1", field=field)
        if not LEAST_COUNT <= self.count <= MOST_COUNT:
            raise InvalidInput(f"count is {self.count}: write {LEAST_COUNT} to {MOST_COUNT:,}", field="count")
        if self.top_k < 0:
            raise InvalidInput(f"top_k is {self.top_k}: write 1 or more, or 0 for AUTO", field="top_k")
        if self.neighbours < 1:
            raise InvalidInput(f"neighbours is {self.neighbours}: write 1 or more", field="neighbours")
        if self.bank_rows is not None and self.bank_rows < LEAST_BANK:
            raise InvalidInput(f"bank_rows is {self.bank_rows}: write {LEAST_BANK} or more", field="bank_rows")
        if self.method is Method.DIRECT:
            raise InvalidInput("method DIRECT draws at rho 0 alone: write RESAMPLE or another method", field="method")
        if self.method.screens and self.bank_rows is not None and self.bank_rows < LEAST_ROWS:
            raise InvalidInput(
                f"bank_rows is {self.bank_rows}: write {LEAST_ROWS:,} or more, on which the surrogate of method "
                f"{self.method} is fitted, or method RESAMPLE",
                field="bank_rows",
            )
        check_seed(self.seed)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every point of the grid once, rho 0 among them, each family in ascending order."""
        grids = ((Family.POLARITY, {*self.rhos, 0.0}), (Family.PSI, set(self.psis)), (Family.NORM, set(self.keeps)))
        return tuple(Setting(family, value) for family, values in grids for value in sorted(values))
