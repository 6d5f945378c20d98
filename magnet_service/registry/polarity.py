"""What a bank supports, over a grid of rho and k, and in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold, Precision
from magnet_service.generator.condition import Condition
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.generators import HeldGenerator
from magnet_service.registry.preset_outlook import PresetOutlook
from magnet_service.sampling import RHO_GRID, BankChoice, BankRows, Base, Cell, Law, SampleRequest, describe
from magnet_service.sampling.outlook import CellOutlook, outlook, resampled
from magnet_service.sampling.reach import Reach, reach_in_words, reaches
from magnet_service.sampling.resolve import weights_of
from magnet_service.sampling.screening.outlook import screened_by
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.spectrum import EffectiveRank, Spectrum, spectrum_of

__all__ = ["Advice", "DescribeRequest", "Description", "describe_polarity", "described"]

_DEFAULT_KS = 8
_ADVISED_KS = 16

SurrogateOf = Callable[[str, int], Surrogate | None]


@dataclass(frozen=True, kw_only=True)
class DescribeRequest:
    """A grid to describe.

    Attributes:
        rhos: exponents; a grid from -5 to 5 when empty.
        top_ks: numbers of singular values; a selection of all when empty.
        base: the law to be reweighted.
        ball_radius, box: its domain, for base UNIFORM.
        manifold: where volumes are measured.
        precision: arithmetic of the bank.
        bank_id: the bank; chosen as for a draw when None.
        bank_revision: its first rows to use; all when None.
        condition: of a conditional generator, whose bank is described.
        advise: whether to say more than the grid's figures.
        effective_rank: what the effective rank of that is.
    """

    rhos: tuple[float, ...] = ()
    top_ks: tuple[int, ...] = ()
    base: Base = Base.PRIOR
    ball_radius: float | None = None
    box: tuple[float, float] | None = None
    manifold: Manifold = Manifold.OUTPUT
    precision: Precision = Precision.FLOAT32
    bank_id: str | None = None
    bank_revision: int | None = None
    condition: Condition | None = None
    advise: bool = False
    effective_rank: EffectiveRank = EffectiveRank.SINGULAR_VALUES

    def draw(self, condition: Condition | None) -> SampleRequest:
        """The draw whose bank is described, under a condition as its generator knows it."""
        return SampleRequest(
            count=1,
            rho=1.0,
            base=self.base,
            ball_radius=self.ball_radius,
            box=self.box,
            manifold=self.manifold,
            precision=self.precision,
            bank_id=self.bank_id,
            bank_revision=self.bank_revision,
            condition=condition,
        )


@dataclass(frozen=True)
class Advice:
    """What there is to know of a bank before drawing.

    Attributes:
        spectrum: singular values of its rows.
        cells: the grid's, each with what it takes to draw there.
        reaches: the rho that it supports, by k.
        presets: what each would draw.
    """

    spectrum: Spectrum
    cells: tuple[CellOutlook, ...]
    reaches: tuple[Reach, ...]
    presets: tuple[PresetOutlook, ...] = ()


@dataclass(frozen=True)
class Description:
    """The grid.

    Attributes:
        cells: k running faster than rho.
        choice: the bank and why.
        rows: rows used.
        base_law: the base as text.
        in_words: what the figures mean for a user.
        advice: the rest, where it was asked for.
        reference: the generator, `name@version`; empty for a bank alone.
    """

    cells: tuple[Cell, ...]
    choice: BankChoice
    rows: int
    base_law: str
    in_words: str
    advice: Advice | None = None
    reference: str = ""


def describe_polarity(
    shelf: BankShelf, held: HeldGenerator, request: DescribeRequest, surrogate_of: SurrogateOf
) -> Description:
    """Computes ESS, k-hat and largest weight for every pair of rho and k.

    Arguments:
        shelf: the banks.
        held: the generator, of the condition described.
        request: the grid.
        surrogate_of: the surrogate of a bank's first rows, None where none is stored.

    Returns:
        The grid with its advice, presets left to do.

    Raises:
        InvalidInput, Refused: as `described` and `BankShelf.choose`.
        UnknownResource, DamagedData: as `BankShelf.choose`.

    Accuracy: as `sampling.describe`.
    """
    _check_top_ks(request, held.prior.columns)
    draw = request.draw(held.condition)
    held.generator.plan(request.manifold)  # refuses a manifold that it has not
    choice, rows = shelf.choose(held, draw)
    surrogate = surrogate_of(choice.spec.id, len(rows)) if request.advise else None
    found = described(choice, rows, draw.base_law(held.prior), request, surrogate)
    return replace(found, reference=held.reference)


def described(
    choice: BankChoice, rows: BankRows, base: Law, request: DescribeRequest, surrogate: Surrogate | None = None
) -> Description:
    """The grid of a bank at hand.

    Arguments:
        choice: the bank.
        rows: its rows used.
        base: law to be reweighted.
        request: the grid.
        surrogate: fitted on the bank, for what screening promises.

    Returns:
        The grid with its advice, presets left to do.

    Raises:
        InvalidInput: a k above the bank's columns; `field` is `top_ks`.
        Refused: a k beyond which the bank is too inexact; reason INEXACT.

    Accuracy: as `sampling.describe`.
    """
    columns = choice.spec.columns
    _check_top_ks(request, columns)
    if choice.accuracy is not None:
        columns = choice.accuracy.largest_k
        choice.accuracy.check(max(request.top_ks, default=1), "top_ks")
    ks = request.top_ks or _selection(columns, _ADVISED_KS if request.advise else _DEFAULT_KS)
    rhos = request.rhos or (*(-rho for rho in reversed(RHO_GRID)), 0.0, *RHO_GRID)
    cells = describe(rows, base, choice.spec.base_law, rhos, ks)
    can_grow = not choice.spec.imported
    words = reach_in_words(reaches(cells), can_grow=can_grow)
    found = Description(cells, choice, len(rows), base.to_text(), words)
    if not request.advise:
        return found
    weights = weights_of(choice, rows, base)
    spectrum = spectrum_of(weights, request.effective_rank)
    methods = (resampled,) if surrogate is None else (resampled, screened_by(surrogate, base))
    judged = outlook(weights, cells, spectrum.log_volume_sd, can_grow=can_grow, methods=methods)
    return replace(found, advice=Advice(spectrum, judged, reaches(cells, judged)))


def _check_top_ks(request: DescribeRequest, columns: int) -> None:
    if max(request.top_ks, default=0) > columns:
        raise InvalidInput(f"top_ks holds {max(request.top_ks)}; write numbers from 1 to {columns}.", field="top_ks")


def _selection(columns: int, most: int) -> tuple[int, ...]:
    if columns <= most:
        return tuple(range(1, columns + 1))
    ratio = columns ** (1.0 / (most - 1))
    return tuple(sorted({round(ratio**step) for step in range(most)}))
