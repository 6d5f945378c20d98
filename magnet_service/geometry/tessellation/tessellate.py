"""The exact tessellation of a slice, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from magnet_service.errors import InvalidInput
from magnet_service.generator import TABLE, Generator, Kind, Node, Precision
from magnet_service.generator.execution import Plan
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.slice import Slice
from magnet_service.geometry.tessellation.contenders import Contest, prepare_contest
from magnet_service.geometry.tessellation.elementwise import cuts_of, prepare_elementwise
from magnet_service.geometry.tessellation.measured import measured
from magnet_service.geometry.tessellation.result import DECISION, LayerTiles, Tessellation
from magnet_service.geometry.tessellation.sheet import Live, Sheet
from magnet_service.geometry.tessellation.subdivision import BORDER, Cuts, Split, Subdivision, plan_split, split, whole
from magnet_service.geometry.tessellation.target import LATENT, target_of
from magnet_service.geometry.tessellation.workers import Workers, working

__all__ = ["MAX_TILES", "NEAR", "tessellate"]

MAX_TILES = 1_000_000
"""Tiles at most, unless told otherwise."""

NEAR = 1e-13
"""Distance, as a share of the window's size, below which the tie rule takes two for one."""


class OverBudget(Exception):
    """The next cuts would go beyond the budget; never leaves this module."""


@dataclass
class Progress:
    """A tessellation at work.

    Attributes:
        subdivision: tiles so far.
        sheet: values at their vertices.
        near: distance of the tie rule.
        max_tiles, max_memory: the budget.
        layers: nonlinearities done.
        merged: how often the tie rule took two for one.
        made_by: [vertices, 3] labels of what made the vertices of a line.
    """

    subdivision: Subdivision
    sheet: Sheet
    near: float
    max_tiles: int
    max_memory: int | None
    layers: list[LayerTiles] = field(default_factory=list)
    merged: int = 0
    made_by: NDArray[np.int32] = field(default_factory=lambda: np.full((2, 3), BORDER, np.int32))

    def cut(self, cuts: Cuts | None, more: int) -> Split | None:
        """Split all tiles, before `more` columns come to be; OverBudget where that would be too much."""
        if cuts is None:
            return None
        plan = plan_split(self.subdivision, cuts, self.near, self.sheet.workers)
        # Values of before and of after are there at once, and structure beside them.
        needed = plan.vertices * (16 * (self.sheet.columns.shape[1] + more) + 256)
        tiles = plan.vertices - 1 if self.subdivision.line else plan.tiles
        if tiles > self.max_tiles or (self.max_memory is not None and needed > self.max_memory):
            raise OverBudget
        found = split(self.subdivision, plan, self.near, self.sheet.workers)
        self.merged += found.merged
        self.subdivision = found.subdivision
        if found.subdivision.line:
            self.made_by = np.concatenate([self.made_by, cuts.labels[found.functions[:, 0]]])
        return found


def tessellate(
    generator: Generator,
    slice_: Slice,
    *,
    up_to: str | None = None,
    boundary: bool = False,
    max_tiles: int = MAX_TILES,
    max_memory: int | None = None,
    threads: int | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tessellation:
    """The tiles into which a network cuts a slice of its latent space, exactly.

    Every nonlinearity of the network splits each tile along the lines on which one of its units changes its piece.
    Inside of a tile the network is affine up to the value asked for.

    Arguments:
        generator: a piecewise affine network, or one that is so up to a smooth head; computed in float64 on the CPU.
        slice_: a plane or a line, and the window on it.
        up_to: name of the node whose value is meant; None for what feeds the smooth head (a softmax at the end is one).
        boundary: also cut along the decision boundary: where the two largest of the value's entries tie, or where it is
            0 if it has but one.
        max_tiles: tiles at most. The layer whose cuts would make more is left out, with all behind it, and the answer
            says so.
        max_memory: bytes at most besides the weights, kept to like max_tiles; no bound where None.
        threads: cores to use; those of torch where None.
        should_stop: asked before every node; once it answers true the call ends in Cancelled.

    Returns:
        Tiles, edges with the unit that made each, areas and norms. Equal inputs give equal bytes on one build and
        number of threads.

    Raises:
        InvalidInput: a slice of another latent space, an unknown node, or a budget below 1.
        Refused: the network is not piecewise affine up to that value; reason NOT_PIECEWISE_AFFINE.
        Cancelled: `should_stop` answered true.

    Accuracy: exact up to the rounding of float64. The one rule for ties: a vertex nearer than 1e-13 of the window's
        size to a crossing of one of its edges with a unit's line lies on that line, and crossings nearer than that to
        one another are one; `merged` counts them. Tiles thinner than that are not resolved. Nothing else is dropped:
        areas add up to the window's.
    Cost: values at the vertices, of as many units as bend somewhere in the window; one product a layer.

    References: SplineCam, arXiv 2302.12828; edge subdivision, Berzins, arXiv 2306.07212.
    """
    if slice_.origin.shape[0] != generator.latent_dim:
        raise InvalidInput(
            f"the slice lies in a latent space of {slice_.origin.shape[0]} dimensions, the generator takes "
            f"{generator.latent_dim}.",
            field="slice",
        )
    for name, budget in (("max_tiles", max_tiles), ("max_memory", max_memory)):
        if budget is not None and budget < 1:
            raise InvalidInput(f"{name} is {budget}; write a whole number of at least 1.", field=name)
    plan = target_of(generator, up_to)
    exact = generator.to(device="cpu", precision=Precision.FLOAT64)
    count = torch.get_num_threads() if threads is None else threads
    with torch.no_grad(), working(count) as workers:
        progress = begun(exact, slice_, workers, max_tiles, max_memory)
        stopped_at = run(exact, plan, progress, should_stop)
        if boundary and not stopped_at:
            stopped_at = decide(progress, plan.target)
        value = None if stopped_at else progress.sheet.live[plan.target]
        nodes = exact.graph.nodes
        return measured(
            progress.subdivision,
            progress.sheet,
            value,
            where=slice_,
            target=nodes[plan.target - 1].name if plan.target else LATENT,
            layers=tuple(progress.layers),
            stopped_at=stopped_at,
            merged=progress.merged,
            made_by=progress.made_by,
        )


def begun(generator: Generator, slice_: Slice, workers: Workers, max_tiles: int, max_memory: int | None) -> Progress:
    """One tile, and the latent over it."""
    shape = generator.latent_shape
    latent = Live(slice_.origin.reshape(1, *shape), slice_.frame.reshape(1, slice_.axes, *shape))
    window = slice_.window.numpy()
    subdivision = whole(window)
    sheet = Sheet(torch.tensor(subdivision.points[:, : slice_.axes]), {0: latent}, workers)
    return Progress(subdivision, sheet, NEAR * slice_.size, max_tiles, max_memory)


def run(generator: Generator, plan: Plan, progress: Progress, should_stop: Callable[[], bool] | None) -> str:
    """Carry out the plan; the name of the node that was too much, or nothing."""
    sheet = progress.sheet
    for step, released in zip(plan.steps, plan.released, strict=True):
        stopped(should_stop)
        node, index = generator.graph.nodes[step], step + 1
        if TABLE[node.operation].kind is not Kind.PIECEWISE_LINEAR:
            sheet.affine(index, node, generator.constants)
        else:
            try:
                bending = bend(generator, progress, index, node, node.inputs[0] in released)
            except OverBudget:
                return node.name
            units = math.prod(node.shape)
            progress.layers.append(LayerTiles(node.name, node.operation, units, bending, progress.subdivision.tiles))
        for source in released:
            sheet.live.pop(source, None)
        if TABLE[node.operation].kind is Kind.PIECEWISE_LINEAR:
            sheet.prune()
    return ""


def bend(generator: Generator, progress: Progress, index: int, node: Node, last_use: bool) -> int:
    """Split the tiles by one nonlinearity and give it its value; how many of its units bend."""
    sheet, layer = progress.sheet, len(progress.layers)
    sheet.points = torch.from_numpy(progress.subdivision.points)
    given, constants = [sheet.live[source] for source in node.inputs], generator.constants[index - 1]
    operation = TABLE[node.operation]
    if all(value.matrix is None for value in given):
        sheet.live[index] = Live(operation.forward(node, [value.constant for value in given], constants), None)
        return 0
    if operation.contenders is None:
        asked = prepare_elementwise(sheet, index, node, constants, layer, last_use)
        found = progress.cut(asked.cuts, len(asked.units))
        if last_use:
            del sheet.live[node.inputs[0]]
        asked.settle(sheet, found)
        return 0 if asked.cuts is None else len(np.unique(asked.cuts.labels[:, 1]))
    places = operation.contenders(node, [tuple(value.constant.shape[1:]) for value in given])
    sign = 1.0 if node.attributes.get("largest", True) else -1.0
    contest = prepare_contest(sheet, given, places, node.shape, sign, progress.subdivision, layer)
    compete(progress, contest, index)
    return len(contest.units)


def compete(progress: Progress, contest: Contest, index: int) -> None:
    """Split the tiles where contenders tie, and give the units their value."""
    found = progress.cut(contest.cuts, len(contest.units) + contest.values.shape[1])
    progress.subdivision = contest.settle(progress.sheet, index, found) or progress.subdivision


def decide(progress: Progress, target: int) -> str:
    """Split the tiles along the decision boundary; as `run`."""
    sheet = progress.sheet
    sheet.points = torch.from_numpy(progress.subdivision.points)
    value = sheet.live[target]
    if value.matrix is None:
        return ""
    try:
        if value.constant.numel() > 1:
            entries = torch.arange(value.constant.numel())[None]
            compete(progress, prepare_contest(sheet, [value], entries, (1,), 1.0, progress.subdivision, DECISION), -1)
        else:
            constant, matrix = value.flat()
            low, high, values = sheet.ranges(constant, matrix)
            values = sheet.values(constant, matrix) if values is None else values
            zero, floors = torch.zeros(1, dtype=torch.float64), sheet.floors(constant, matrix)
            found = progress.cut(
                cuts_of(values, floors, torch.zeros(1, dtype=torch.int64), low, high, zero, DECISION), 0
            )
            if found is not None:
                sheet.follow(found)
    except OverBudget:
        return "decision"
    return ""
