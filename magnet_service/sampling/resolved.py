"""The request as it was answered: everything that the bytes of the answer are a function of."""

from __future__ import annotations

from dataclasses import dataclass

from magnet_service.generator import Manifold, Precision
from magnet_service.generator.condition import Condition
from magnet_service.sampling.method import UNSETTLED, Effort, Method
from magnet_service.sampling.presets import Base
from magnet_service.sampling.request import ClassBank, SampleRequest

__all__ = ["Resolved"]


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What a request came to; its `request()` sent again gives the same bytes.

    Attributes:
        generator_digest: sha256 of the generator's graph and weights.
        count, offset, endless: the answer's rows, as asked.
        seed: as asked or chosen.
        method: DIRECT at rho = 0, else RESAMPLE or the screened one that was used.
        method_reason: why this method, one sentence; empty when it was given.
        effort: of a screened draw, what it computed at most: exact evaluations and forwards.
        surrogate: digest of the surrogate that a screened draw used; None for others.
        rho: exponent of v_k = sigma_1 ... sigma_k.
        det_rho: the same law's exponent of det(A^T A), rho / 2.
        rho_reason: why this rho, one sentence; empty when it was given.
        top_k: singular values counted; 0 where none are read.
        top_k_reason: why this k, one sentence; empty when it was given.
        base: PRIOR or UNIFORM.
        base_law: canonical text of the law q, truncation included.
        ball_radius, box: the domain stated for base UNIFORM, or the default one written out.
        truncation_psi, truncation_norm: as asked.
        manifold, precision: as asked.
        condition: as asked, a class by its index; None for equal shares of all classes.
        class_banks: the banks of those classes; empty for DIRECT and where a condition is named.
        precision_used: arithmetic of the log-volumes, where they are read or answered.
        precision_reason: why that is another than the one asked for; empty where it is not.
        volume_error: error of log v_k in that arithmetic at the k used, nats; None where none was measured.
        bank_id, bank_revision: bank and its first rows used; None for DIRECT.
        bank_law: canonical text of the law of the bank's rows; empty for DIRECT.
        bank_reason: why this bank, one sentence.
        replacement: as asked.
        sampling: `independent draws`, or `successive sampling` without replacement.
        uniformity: `uniform`, `uniform in the top-k volume`, or empty when neither holds.
    """

    generator_digest: str
    count: int
    offset: int
    endless: bool
    seed: int
    method: Method
    rho: float
    rho_reason: str
    top_k: int
    top_k_reason: str
    base: Base
    base_law: str
    ball_radius: float | None
    box: tuple[float, float] | None
    truncation_psi: float | None
    truncation_norm: float | None
    manifold: Manifold
    precision: Precision
    condition: Condition | None
    bank_id: str | None
    bank_revision: int | None
    bank_law: str
    bank_reason: str
    replacement: bool
    uniformity: str
    precision_used: Precision
    precision_reason: str = ""
    volume_error: float | None = None
    class_banks: tuple[ClassBank, ...] = ()
    method_reason: str = ""
    effort: Effort = UNSETTLED
    surrogate: str | None = None

    @property
    def det_rho(self) -> float:
        """Exponent of det(A^T A), the convention of the survey arXiv 2408.04809: rho / 2."""
        return self.rho / 2.0

    @property
    def sampling(self) -> str:
        """How rows were taken, in words."""
        return "independent draws" if self.replacement or self.method is Method.DIRECT else "successive sampling"

    def request(self) -> SampleRequest:
        """The request that gives the same bytes, nothing left to choose."""
        return SampleRequest(
            count=self.count,
            offset=self.offset,
            endless=self.endless,
            seed=self.seed,
            rho=self.rho,
            base=self.base,
            ball_radius=self.ball_radius,
            box=self.box,
            top_k=self.top_k,
            manifold=self.manifold,
            bank_id=self.bank_id,
            bank_revision=self.bank_revision,
            replacement=self.replacement,
            truncation_psi=self.truncation_psi,
            truncation_norm=self.truncation_norm,
            precision=self.precision,
            condition=self.condition,
            class_banks=self.class_banks,
            method=self.method if self.method.screens else Method.RESAMPLE,
            effort=self.effort,
            surrogate=self.surrogate,
        )
