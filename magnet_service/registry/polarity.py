"""What a bank supports, over a grid of rho and k, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold, Precision
from magnet_service.generator.condition import Condition
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import RHO_GRID, BankChoice, BankRows, Base, Cell, Law, SampleRequest, describe
from magnet_service.sampling.diagnostics import KHAT_LIMIT
from magnet_service.sampling.polarity import LOW_RANK_LIMIT, SUPPORT_ESS

__all__ = ["DescribeRequest", "Description", "describe_polarity", "described"]

_DEFAULT_KS = 8


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
class Description:
    """The grid.

    Attributes:
        cells: k running faster than rho.
        choice: the bank and why.
        rows: rows used.
        base_law: the base as text.
        advice: what the figures mean for a user.
    """

    cells: tuple[Cell, ...]
    choice: BankChoice
    rows: int
    base_law: str
    advice: str


def describe_polarity(shelf: BankShelf, held: HeldGenerator, request: DescribeRequest) -> Description:
    """Computes ESS, k-hat and largest weight for every pair of rho and k.

    Arguments:
        shelf: the banks.
        held: the generator, of the condition described.
        request: the grid.

    Returns:
        The grid with its advice.

    Raises:
        InvalidInput, Refused: as `described` and `BankShelf.choose`.
        UnknownResource, DamagedData: as `BankShelf.choose`.

    Accuracy: as `sampling.describe`.
    """
    _check_top_ks(request, held.prior.columns)
    draw = request.draw(held.condition)
    held.generator.plan(request.manifold)  # refuses a manifold that it has not
    choice, rows = shelf.choose(held, draw)
    return described(choice, rows, draw.base_law(held.prior), request)


def described(choice: BankChoice, rows: BankRows, base: Law, request: DescribeRequest) -> Description:
    """The grid of a bank at hand.

    Arguments:
        choice: the bank.
        rows: its rows used.
        base: law to be reweighted.
        request: the grid.

    Returns:
        The grid with its advice.

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
    ks = request.top_ks or _selection(columns)
    rhos = request.rhos or (*(-rho for rho in reversed(RHO_GRID)), 0.0, *RHO_GRID)
    cells = describe(rows, base, choice.spec.base_law, rhos, ks)
    return Description(cells, choice, len(rows), base.to_text(), _advice(cells))


def _check_top_ks(request: DescribeRequest, columns: int) -> None:
    if max(request.top_ks, default=0) > columns:
        raise InvalidInput(f"top_ks holds {max(request.top_ks)}; write numbers from 1 to {columns}.", field="top_ks")


def _selection(columns: int) -> tuple[int, ...]:
    if columns <= _DEFAULT_KS:
        return tuple(range(1, columns + 1))
    ratio = columns ** (1.0 / (_DEFAULT_KS - 1))
    return tuple(sorted({round(ratio**step) for step in range(_DEFAULT_KS)}))


def _advice(cells: Sequence[Cell]) -> str:
    parts = []
    for k in sorted({cell.k for cell in cells}):
        column = [cell for cell in cells if cell.k == k]
        low, high = 0.0 - _reach(column, -1.0), _reach(column, 1.0)
        if low < high:
            parts.append(f"k = {k}: rho {low:g} to {high:g}")
    if not parts:
        return (
            f"No rho of this grid next to 0 has an ESS of {SUPPORT_ESS:.0f} and k-hat below {KHAT_LIMIT:g}: build a "
            "larger bank, or try smaller |rho| and top_k."
        )
    return f"Supported here (ESS >= {SUPPORT_ESS:.0f}, k-hat < {KHAT_LIMIT:g}): {'; '.join(parts)}."


def _reach(column: Sequence[Cell], sign: float) -> float:
    # The last |rho| of one sign before the first that is not supported: a range that is named has no hole.
    reach = 0.0
    for cell in sorted((cell for cell in column if sign * cell.rho > 0.0), key=lambda cell: abs(cell.rho)):
        if not _supports(cell):
            break
        reach = abs(cell.rho)
    return reach


def _supports(cell: Cell) -> bool:
    if cell.rho < 0.0 and cell.low_rank_share > LOW_RANK_LIMIT:
        return False  # a draw there is refused
    return cell.ess >= SUPPORT_ESS and (cell.khat is None or cell.khat < KHAT_LIMIT)
