"""What a user asks of one generator, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold, Precision
from magnet_service.generator.condition import Condition
from magnet_service.sampling.counter import check_seed
from magnet_service.sampling.domain import truncated, uniform_domain
from magnet_service.sampling.law import Law
from magnet_service.sampling.method import UNSETTLED, Effort, Method
from magnet_service.sampling.presets import Base, Preset, preset_base

__all__ = ["MAX_COUNT", "MAX_OFFSET", "MAX_RHO", "ClassBank", "SampleRequest"]

MAX_COUNT = 1_000_000
MAX_OFFSET = 2**53
MAX_RHO = 1e6


@dataclass(frozen=True)
class ClassBank:
    """The bank that the rows of one class come from.

    Attributes:
        index: of the class.
        bank_id: its bank.
        revision: first rows of it to use.
    """

    index: int
    bank_id: str
    revision: int


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """A request for draws; exactly one of `preset` and `rho` is given.

    Attributes:
        count: answer rows, 1 to 1,000,000; 0 for an endless stream.
        offset: first answer row, 0 to 2^53.
        seed: 0 to 2^64 - 1; chosen and answered when None.
        preset: a named law.
        rho: exponent of v_k, |rho| <= 10^6.
        base: law that the power multiplies; None for the preset's own, and PRIOR beside a rho.
        ball_radius: radius of a ball as the domain of base UNIFORM; 0 for the default one of a normal prior.
        box: (low, high) of every coordinate as the domain of base UNIFORM.
        top_k: singular values counted; 0 for AUTO.
        manifold: where volumes are measured.
        bank_id: bank to resample; chosen and answered when None.
        bank_revision: first rows of it to use; all when None. Of a draw over all classes: of each class's bank.
        replacement: False for successive sampling.
        truncation_psi: prior shrunk to psi z, 0 < psi <= 1.
        truncation_norm: normal prior conditioned on |z| <= this.
        precision: arithmetic of forwards and of the bank.
        min_ess: effective rows that AUTO asks of a k, beyond 200, and that a screened draw grows to.
        endless: a stream without an end.
        condition: the condition of all rows; None for a generator without, and for equal shares of all classes.
        class_banks: for equal shares, the banks of all classes; chosen and answered when empty.
        method: RESAMPLE, SCREENED, SCREENED_CHAIN or AUTO; at rho = 0 rows are drawn directly whatever it is.
        effort: what a screened draw may compute.
        surrogate: digest of the surrogate; the bank's own, fitted where there is none, when None.

    Raises:
        InvalidInput: with the attribute at fault as its field.
    """

    count: int = 0
    offset: int = 0
    seed: int | None = None
    preset: Preset | None = None
    rho: float | None = None
    base: Base | None = None
    ball_radius: float | None = None
    box: tuple[float, float] | None = None
    top_k: int = 0
    manifold: Manifold = Manifold.OUTPUT
    bank_id: str | None = None
    bank_revision: int | None = None
    replacement: bool = True
    truncation_psi: float | None = None
    truncation_norm: float | None = None
    precision: Precision = Precision.FLOAT32
    min_ess: float = 0.0
    endless: bool = False
    condition: Condition | None = None
    class_banks: tuple[ClassBank, ...] = ()
    method: Method = Method.RESAMPLE
    effort: Effort = UNSETTLED
    surrogate: str | None = None

    def __post_init__(self) -> None:
        """Refuses what can never be answered."""
        self._check_method()
        self._check_rows()
        self._check_polarity()
        self._check_base()
        self._check_bank()

    @property
    def chosen_base(self) -> Base:
        """The base, the preset's own where none is stated."""
        if self.base is not None:
            return self.base
        return Base.PRIOR if self.preset is None else preset_base(self.preset)

    @property
    def needs_bank(self) -> bool:
        """Whether volumes are read: not at rho = 0, which draws from the base itself."""
        return self.preset is not Preset.AS_TRAINED and self.rho != 0.0

    @property
    def condition_text(self) -> str:
        """The condition as banks carry it; empty where none is named."""
        return "" if self.condition is None else self.condition.text

    def base_law(self, prior: Law) -> Law:
        """The law q of this request over a generator's prior.

        Arguments:
            prior: the generator's own law.

        Returns:
            The truncated prior, or the uniform law of its domain.

        Raises:
            InvalidInput: a truncation or a domain that does not fit the prior.

        Accuracy:
            Exact.
        """
        law = truncated(prior, psi=self.truncation_psi, norm_bound=self.truncation_norm)
        if self.chosen_base is Base.PRIOR:
            return law
        return uniform_domain(law, ball_radius=self.ball_radius, box=self.box)

    def _check_rows(self) -> None:
        if self.endless:
            if self.count != 0:
                raise InvalidInput(f"count is {self.count} and endless is set: write count = 0", field="count")
            if not self.replacement:
                raise InvalidInput("a stream without an end needs replacement: set it", field="replacement")
        elif not 1 <= self.count <= MAX_COUNT:
            raise InvalidInput(f"count is {self.count}: write 1 to {MAX_COUNT:,}", field="count")
        if not 0 <= self.offset <= MAX_OFFSET:
            raise InvalidInput(f"offset is {self.offset}: write 0 to 2^53", field="offset")
        if self.seed is not None:
            check_seed(self.seed)

    def _check_polarity(self) -> None:
        if (self.preset is None) == (self.rho is None):
            how = "neither a preset nor rho is" if self.preset is None else "both a preset and rho are"
            raise InvalidInput(f"{how} given: write one of preset, rho and det_rho", field="rho")
        if self.rho is not None and not (math.isfinite(self.rho) and abs(self.rho) <= MAX_RHO):
            raise InvalidInput(f"rho is {self.rho}: write a finite number, |rho| <= {MAX_RHO:g}", field="rho")
        if self.top_k < 0:
            raise InvalidInput(f"top_k is {self.top_k}: write 1 or more, or 0 for AUTO", field="top_k")
        if not (math.isfinite(self.min_ess) and self.min_ess >= 0.0):
            raise InvalidInput(f"min_ess is {self.min_ess}: write a finite number, 0 or more", field="min_ess")

    def _check_base(self) -> None:
        if self.preset is not None and self.base not in (None, preset_base(self.preset)):
            needed = preset_base(self.preset)
            raise InvalidInput(f"preset {self.preset} has base {needed}: leave base out or write rho", field="base")
        stated = [name for name in ("ball_radius", "box") if getattr(self, name) is not None]
        if stated and self.chosen_base is not Base.UNIFORM:
            raise InvalidInput(
                f"{stated[0]} is a domain of base UNIFORM: set that base or leave it out", field=stated[0]
            )
        if len(stated) == 2:
            raise InvalidInput("a ball and a box are both given: write one of them", field="box")
        cuts = [name for name in ("truncation_psi", "truncation_norm") if getattr(self, name) is not None]
        if len(cuts) == 2:
            raise InvalidInput("two truncations are given: write one of psi and norm bound", field="truncation_norm")
        if cuts and stated and self.ball_radius != 0.0:
            raise InvalidInput(
                "truncation acts on the prior, which a stated domain replaces: leave one out", field=cuts[0]
            )

    def _check_method(self) -> None:
        if self.method is Method.DIRECT and (self.preset is not Preset.AS_TRAINED and self.rho != 0.0):
            raise InvalidInput("method DIRECT draws the base itself: write rho = 0, or another method", field="method")
        if self.method.screens and not self.replacement:
            raise InvalidInput(
                f"method {self.method} draws with replacement: leave without_replacement out, or resample a bank",
                field="replacement",
            )
        if self.method in (Method.DIRECT, Method.RESAMPLE) and (self.surrogate or self.effort != UNSETTLED):
            field = "surrogate" if self.surrogate else "budget"
            raise InvalidInput(
                f"a {field} is of methods SCREENED, SCREENED_CHAIN and AUTO: write one of them", field=field
            )

    def _check_bank(self) -> None:
        if self.bank_revision is not None and self.bank_revision < 1:
            raise InvalidInput(
                f"bank_revision is {self.bank_revision}: write 1 or more, or leave it out for all rows",
                field="bank_revision",
            )
        if self.class_banks and (self.condition is not None or self.bank_id is not None):
            beside = "condition" if self.condition is not None else "bank_id"
            raise InvalidInput(f"class_banks are of a draw over all classes: leave {beside} out", field="class_banks")
