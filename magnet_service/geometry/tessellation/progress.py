"""One piece of a window carried through a network, nonlinearity by nonlinearity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from magnet_service.errors import Refused
from magnet_service.generator import TABLE, Generator, Kind, Node
from magnet_service.generator.execution import Plan
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.tessellation.contenders import Contest, prepare_contest
from magnet_service.geometry.tessellation.cuts import Cuts, Split
from magnet_service.geometry.tessellation.elementwise import Pieces, cuts_of, pieces_of, prepare_elementwise
from magnet_service.geometry.tessellation.live import Live
from magnet_service.geometry.tessellation.ranges import NotFinite
from magnet_service.geometry.tessellation.result import DECISION
from magnet_service.geometry.tessellation.sheet import Sheet
from magnet_service.geometry.tessellation.splitting import plan_split, split
from magnet_service.geometry.tessellation.subdivision import BORDER, Subdivision

__all__ = ["Budget", "OverMemory", "OverTiles", "Progress"]

_COPIES = 3
"""Matrices of a layer's value that are there at once."""

_SMALL = 1 << 14
"""Units of nodes whose functions are not worth making again."""

_SPURIOUS = 4
"""Times the tiles left that there may be before those between which no largest entry changes are joined."""


class OverTiles(Exception):
    """The next cuts would make too many tiles; never leaves this package."""


class OverMemory(Exception):
    """The next cuts would need too much memory; never leaves this package."""


@dataclass(frozen=True)
class Budget:
    """What a piece may take.

    Attributes:
        tiles: at most, after each nonlinearity.
        fits: whether so many bytes may be had.
        layers: nonlinearities to take into account, the decision boundary as one behind all others.
        near: distance of the tie rule.
    """

    tiles: tuple[int, ...]
    fits: Callable[[int], bool]
    layers: int
    near: float


@dataclass
class Progress:
    """A piece at work.

    Attributes:
        subdivision: tiles so far.
        sheet: values at their vertices.
        budget: what it may take.
        tiles: after each nonlinearity done.
        bending: of each nonlinearity done, the units that cut.
        merged: how often the tie rule took two for one.
        made_by: [vertices, 3] labels of what made the vertices of a line.
    """

    subdivision: Subdivision
    sheet: Sheet
    budget: Budget
    tiles: list[int] = field(default_factory=list)
    bending: list[NDArray[np.int32]] = field(default_factory=list)
    merged: int = 0
    made_by: NDArray[np.int32] = field(default_factory=lambda: np.full((2, 3), BORDER, np.int32))

    def run(self, generator: Generator, plan: Plan, boundary: bool, should_stop: Callable[[], bool] | None) -> bool:
        """Carry out a plan.

        Arguments:
            generator: float64, on the CPU.
            plan: of the value wanted.
            boundary: whether to cut along the decision boundary at the end.
            should_stop: asked before every node.

        Returns:
            Whether the value was reached, and is alive; False where a budget ended it before.

        Raises:
            OverMemory: the next cuts need too much.
            Cancelled: `should_stop` answered true.
            Refused: a value overflows; reason NOT_FINITE, with `node`, `operation` and `place` of what it feeds.
        """
        for step, released in zip(plan.steps, plan.released, strict=True):
            stopped(should_stop)
            node, index = generator.graph.nodes[step], step + 1
            piecewise = TABLE[node.operation].kind is Kind.PIECEWISE_LINEAR
            if not piecewise:
                self.sheet.affine(index, node, generator.constants)
            elif not self._done(lambda: self._bend(generator, index, node, node.inputs[0] in released), node):  # noqa: B023
                return False
            for source in released:
                self.sheet.live.pop(source, None)
            if piecewise:
                self.sheet.prune()
        stopped(should_stop)
        return not boundary or self._done(lambda: self._decide(plan.target), None)

    def _done(self, work: Callable[[], Cuts | None], node: Node | None) -> bool:
        """Take one nonlinearity, or the decision boundary, into account; False where that would be too much."""
        if len(self.tiles) >= self.budget.layers:
            return False
        self.sheet.points = torch.from_numpy(self.subdivision.points)
        before = (self.subdivision, self.merged, self.made_by)
        try:
            cuts = work()
            if self.subdivision.tiles > self.budget.tiles[len(self.tiles)]:
                raise OverTiles
        except BaseException as problem:
            self.subdivision, self.merged, self.made_by = before
            if isinstance(problem, OverTiles):
                return False
            if isinstance(problem, NotFinite):
                raise not_finite(node) from None
            raise
        self.tiles.append(self.subdivision.tiles)
        self.bending.append(np.zeros(0, np.int32) if cuts is None else np.unique(cuts.labels[:, 1]))
        return True

    def _bend(self, generator: Generator, index: int, node: Node, last_use: bool) -> Cuts | None:
        """Split the tiles by one nonlinearity and give it its value."""
        sheet, layer = self.sheet, len(self.tiles)
        given, constants = [sheet.live[source] for source in node.inputs], generator.constants[index - 1]
        operation = TABLE[node.operation]
        if all(value.matrix is None for value in given):
            sheet.live[index] = Live(operation.forward(node, [value.constant for value in given], constants), None)
            return None
        if operation.contenders is None:
            pieces = self._pieces(generator, index, node)
            asked = prepare_elementwise(sheet, index, node, pieces, layer, last_use)
            found = self._cut(asked.cuts, len(asked.units), asked.straight)
            if last_use:
                del sheet.live[node.inputs[0]]
            asked.settle(sheet, found)
            return asked.cuts
        places = operation.contenders(node, [tuple(value.constant.shape[1:]) for value in given])
        sign = 1.0 if node.attributes.get("largest", True) else -1.0
        contest = prepare_contest(sheet, given, places, node.shape, sign, self.subdivision, layer)
        return self._compete(contest, index)

    def _pieces(self, generator: Generator, index: int, node: Node) -> Pieces:
        """The functions of an elementwise node; those of small ones are kept with the weights."""
        shape = self.sheet.live[node.inputs[0]].constant.shape

        def make() -> Pieces:
            return pieces_of(node, shape, generator.constants[index - 1])

        if shape.numel() > _SMALL:
            return make()
        found: Pieces = generator.derived(("pieces of functions", index), make)
        return found

    def _compete(self, contest: Contest, index: int) -> Cuts | None:
        """Split the tiles where contenders tie, and give the units their value."""
        more = len(contest.units) + contest.values.shape[1]
        found = self._cut(contest.cuts, more, contest.straight, _SPURIOUS)
        self.subdivision = contest.settle(self.sheet, index, found) or self.subdivision
        return contest.cuts

    def _decide(self, target: int) -> Cuts | None:
        """Split the tiles along the decision boundary."""
        sheet = self.sheet
        value = sheet.live[target]
        if value.matrix is None:
            return None
        if value.constant.numel() > 1:
            entries = torch.arange(value.constant.numel())[None]
            contest = prepare_contest(sheet, [value], entries, (1,), 1.0, self.subdivision, DECISION)
            cuts = self._compete(contest, -1)
            del sheet.live[-1]
            return cuts
        constant, matrix = value.flat()
        low, high, values = sheet.ranges(constant, matrix)
        values = sheet.values(constant, matrix) if values is None else values
        zero, only = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
        cuts = cuts_of(values, sheet.floors(constant, matrix), only, low, high, zero, DECISION)
        found = self._cut(cuts, 0, value)
        if found is not None:
            sheet.follow(found)
        return cuts

    def _cut(self, cuts: Cuts | None, more: int, value: Live, spare: int = 1) -> Split | None:
        """Split all tiles, before `more` columns come to be of which a value will depend.

        There may be `spare` times as many tiles as the budget has, if most of them are joined again.
        """
        if cuts is None:
            return None
        plan = plan_split(self.subdivision, cuts, self.budget.near, self.sheet.workers)
        if (plan.vertices - 1 if self.subdivision.line else plan.tiles) > spare * self.budget.tiles[len(self.tiles)]:
            raise OverTiles
        columns = self.sheet.columns.shape[1] + more
        # Values of before and of after are there at once, and the structure beside them.
        needed = plan.vertices * (16 * columns + 256) + 8 * _COPIES * columns * value.constant.numel()
        if not self.budget.fits(needed):
            raise OverMemory
        found = split(self.subdivision, plan, self.budget.near, self.sheet.workers)
        self.merged += found.merged
        self.subdivision = found.subdivision
        if found.subdivision.line:
            self.made_by = np.concatenate([self.made_by, cuts.labels[found.functions[:, 0]]])
        return found


def not_finite(node: Node | None) -> Refused:
    """The refusal of a network that overflows somewhere in the window; None for its decision boundary."""
    name = "the decision boundary" if node is None else f"{node.name} ({node.operation}, {node.place})"
    return Refused(
        f"What feeds {name} is not finite everywhere in the window, so that there are no tiles; take a smaller window, "
        f"or look for weights that are not finite.",
        reason="NOT_FINITE",
        metadata={} if node is None else {"operation": node.operation, "node": node.name, "place": node.place},
    )
