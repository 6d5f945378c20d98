"""All there is to know of a bank before drawing: spectrum, ranks, what each rho and k is worth, what presets take."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from magnet_client.draw import Result
from magnet_client.errors import InvalidInput
from magnet_client.results import PolarityCell
from magnet_client.words import EffectiveRankWord, ManifoldWord, NeedWord, PresetWord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Advice", "AdviceCell", "MethodOutlook", "PresetOutlook", "Spectrum", "SupportedRange"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodOutlook:
    """What one method is worth at one (rho, k)."""

    method: str
    """As `DrawHeader.method`."""
    ess: float
    """Effective rows that it gives, or promises."""
    khat: float | None
    """Pareto k-hat of its weights; None where nobody knows it before the draw."""
    evaluations: int
    """What it computes for that beside the bank, in exact evaluations, a forward counted as one column."""
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdviceCell(PolarityCell):
    """One (rho, k), with what it takes to draw there."""

    need: NeedWord
    """`none`: nothing, the bank supports it. `rows`: a larger bank. `uncertain`: a larger bank, of a size that this
    one cannot tell. `out_of_reach`: another method. `fixed`: more than an imported bank has, which cannot grow.
    `low_rank`: a smaller k."""
    rows_needed: int | None
    """Rows of a bank with an ESS of 200 here, where a number can be told."""
    lognormal_log10_rows: float | None
    """log10 of those rows if log v_k were normal, by its standard deviation alone: no promise."""
    remedy: str
    """What to do; empty where the bank supports a draw."""
    methods: tuple[MethodOutlook, ...]
    """What each method is worth."""

    @property
    def supported(self) -> bool:
        """Whether the bank supports a draw here: ESS >= 200, k-hat < 0.7, no draw refused for its rank."""
        return self.need == "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Singular values of a bank's first rows, weighted as the base law has them; entry i - 1 is that of i = 1, 2, .."""

    rows: int
    """Rows read."""
    log_sigma_mean: tuple[float, ...]
    """Mean of log sigma_i in nats over rows of rank >= i; NaN where there is none."""
    levels: tuple[float, ...]
    """Levels of the quantiles below, 0 to 1, ascending."""
    log_sigma: tuple[tuple[float, ...], ...]
    """For each level, quantiles of log sigma_i in nats over all rows; -inf where the rank ends."""
    rank_share: tuple[float, ...]
    """Share of the base law with rank >= k, 0 to 1."""
    log_volume_sd: tuple[float, ...]
    """Standard deviation of log v_k in nats over rows of rank >= k; NaN below two."""
    definition: EffectiveRankWord
    """Shares of which the effective rank is the exponential of the entropy."""
    effective_rank_mean: float
    """Over all rows."""
    effective_rank: tuple[float, ...]
    """Its quantiles, one a level."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupportedRange:
    """The rho of the grid that a bank supports at one k: from 0 to the last before the first that fails."""

    top_k: int
    low: float
    """The least, 0 or below."""
    high: float
    """The largest, 0 or above."""
    below: str
    """What it takes at the next rho below; empty where the grid ends."""
    above: str
    """What it takes at the next rho above; empty where the grid ends."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresetOutlook:
    """A preset as a draw would settle it, or why one would be refused."""

    preset: PresetWord
    problem: str
    """Why a draw would be refused; what follows the command is then empty."""
    command: str
    """Builds the bank that is missing, or one whose law is the base where another is corrected to it; else empty."""
    rho: float
    top_k: int
    """0 where no volume is read."""
    base: str
    method: str
    law: str
    """What the law of the draw may be called."""
    bank: str | None
    bank_revision: int | None
    ess: float
    """In rows; 0 for fresh draws, of which each is worth one."""
    khat: float | None
    largest_weight: float
    result: Result | None
    """The verdict for 100 effective rows; None where a draw would be refused."""
    advice: str
    """The verdict in words and what to do; empty for OK."""
    rho_reason: str
    top_k_reason: str
    bank_reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Advice:
    """All there is to know of a bank before drawing; a notebook shows it as a picture."""

    generator: str
    """`name@version`; empty for a bank alone."""
    manifold: ManifoldWord
    base: str
    """The base law as text."""
    bank_id: str
    bank_revision: int
    """Rows used."""
    bank_reason: str
    """Why this bank."""
    imported: bool
    """Whether the bank was imported, and cannot grow."""
    spectrum: Spectrum
    cells: tuple[AdviceCell, ...] = dataclasses.field(repr=False)
    """Rho by rho, k ascending inside."""
    ranges: tuple[SupportedRange, ...]
    """By ascending k."""
    presets: tuple[PresetOutlook, ...]
    """as_trained, uniform, mode, anti_mode."""
    advice: str
    """The supported ranges in words."""

    @property
    def rhos(self) -> tuple[float, ...]:
        """Values of rho, in the grid's order."""
        return tuple(dict.fromkeys(cell.rho for cell in self.cells))

    @property
    def top_ks(self) -> tuple[int, ...]:
        """Values of k, in the grid's order."""
        return tuple(dict.fromkeys(cell.top_k for cell in self.cells))

    def cell(self, rho: float, top_k: int) -> AdviceCell:
        """Return one cell; InvalidInput (field `rho`) if the grid has none such."""
        for cell in self.cells:
            if cell.rho == rho and cell.top_k == top_k:
                return cell
        raise InvalidInput(
            f"the grid has no cell (rho {rho}, k {top_k}); rho is one of {self.rhos}, k of {self.top_ks}",
            field="rho",
            reason="INVALID_INPUT",
        )

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw spectrum and ranks, the spread of log v_k, and the ESS over rho and k with presets marked.

        Arguments:
            path: .png or .svg to write; None to write nothing.
            width: of the figure in inches.
            dpi: pixels an inch.

        Returns:
            The figure.

        Raises:
            InvalidInput: another suffix (field `path`).
            Refused: matplotlib is not installed; the message says how to.
            OSError: if the file cannot be written.

        Accuracy: exact.
        """
        from magnet_client.rendering.advice import draw_advice

        return draw_advice(self, path, width, dpi)

    def _repr_png_(self) -> bytes:
        from magnet_client.rendering.canvas import png_of

        return png_of(self.render())
