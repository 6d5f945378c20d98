"""The exact tessellation of a slice."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch

from magnet_service.errors import InvalidInput, OutOfMemory
from magnet_service.generator import TABLE, Generator, Kind, Precision
from magnet_service.generator.execution import Plan
from magnet_service.geometry.memory import default_max_memory, is_lack_of_memory
from magnet_service.geometry.slice import Slice
from magnet_service.geometry.tessellation.answer import finished
from magnet_service.geometry.tessellation.blocks import Block, united
from magnet_service.geometry.tessellation.live import Live
from magnet_service.geometry.tessellation.pieces import halves, whole_window
from magnet_service.geometry.tessellation.progress import Budget, OverMemory, Progress
from magnet_service.geometry.tessellation.result import Tessellation
from magnet_service.geometry.tessellation.sheet import Sheet
from magnet_service.geometry.tessellation.subdivision import whole
from magnet_service.geometry.tessellation.target import LATENT, target_of
from magnet_service.geometry.tessellation.workers import Workers, working

__all__ = ["MAX_TILES", "NEAR", "tessellate"]

MAX_TILES = 1_000_000
"""Tiles at most, unless told otherwise."""

NEAR = 1e-13
"""Distance, as a share of the window's size, below which the tie rule takes two for one."""


_LITTLE = 64 << 20
"""Bytes that any machine has."""


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
        max_memory: bytes at most besides the weights; 80 % of what is free where None. What does not fit is done in
            pieces of the window, whose tiles are joined again (for max_tiles those on a seam count on both sides); a
            piece that cannot be cut any more, as a line cannot, ends like max_tiles.
        threads: cores to use; those of torch where None.
        should_stop: asked before every node of a piece; once it answers true the call ends in Cancelled.

    Returns:
        Tiles, edges with the unit that made each, areas and norms. Equal inputs give equal bytes on one build and
        number of threads.

    Raises:
        InvalidInput: a slice of another latent space, an unknown node, or a budget below 1.
        Refused: the network is not piecewise affine up to that value (reason NOT_PIECEWISE_AFFINE), or overflows
            somewhere in the window (NOT_FINITE).
        OutOfMemory: the tiles cannot be held, whatever the pieces.
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
    for name, most in (("max_tiles", max_tiles), ("max_memory", max_memory)):
        if most is not None and most < 1:
            raise InvalidInput(f"{name} is {most}; write a whole number of at least 1.", field=name)
    plan: Plan = generator.derived(("plan of a slice", up_to), lambda: target_of(generator, up_to))
    exact: Generator = generator.derived(
        "float64 on the CPU", lambda: generator.to(device="cpu", precision=Precision.FLOAT64)
    )
    nodes = exact.graph.nodes
    bending = [nodes[step] for step in plan.steps if TABLE[nodes[step].operation].kind is Kind.PIECEWISE_LINEAR]
    names = [node.name for node in bending] + ["decision"] * boundary
    budget = Budget((max_tiles,) * len(names), within(max_memory), len(names), NEAR * slice_.size)
    count = torch.get_num_threads() if threads is None else threads
    try:
        with torch.no_grad(), working(count) as workers:
            blocks = solved(exact, plan, boundary, slice_, budget, workers, should_stop)
            found = united(blocks, len(names), slice_.size)
            return finished(
                found,
                workers,
                where=slice_,
                target=nodes[plan.target - 1].name if plan.target else LATENT,
                layers=[(node.name, node.operation, math.prod(node.shape)) for node in bending],
                stopped_at="" if found.done == len(names) else names[found.done],
            )
    except (RuntimeError, MemoryError) as problem:
        if not is_lack_of_memory(problem):
            raise
        raise OutOfMemory(
            "There is not enough memory for the tiles of this window: take a smaller one, or lower max_tiles."
        ) from problem


def within(max_memory: int | None) -> Callable[[int], bool]:
    """Whether so many bytes may be had; what is free is only asked for once it may matter."""
    if max_memory is not None:
        return lambda needed: needed <= max_memory
    free = cache(lambda: default_max_memory("cpu"))
    return lambda needed: needed <= _LITTLE or needed <= free()


def solved(
    generator: Generator,
    plan: Plan,
    boundary: bool,
    slice_: Slice,
    budget: Budget,
    workers: Workers,
    should_stop: Callable[[], bool] | None,
) -> list[Block]:
    """The tiles of the window, in as many pieces as memory asks for."""
    shape = generator.latent_shape
    latent = Live(slice_.origin.reshape(1, *shape), slice_.frame.reshape(1, slice_.axes, *shape))
    corners = slice_.window.numpy()
    waiting = [whole_window(corners)]
    blocks: list[Block] = []
    seams = 0
    while waiting:
        piece = waiting.pop()
        subdivision = whole(piece.corners)
        sheet = Sheet(torch.tensor(subdivision.points[:, : slice_.axes]), {0: latent}, workers)
        progress = Progress(subdivision, sheet, budget)
        try:
            reached = progress.run(generator, plan, boundary, should_stop)
            block = Block.of(piece, progress, sheet.live[plan.target] if reached else None)
        except (OverMemory, RuntimeError, MemoryError) as problem:
            if not (isinstance(problem, OverMemory) or is_lack_of_memory(problem)):
                raise
            if piece.divisible:
                waiting += halves(piece, seams)
                seams += 1
                continue
            block = Block.of(piece, progress, None)
        blocks.append(block)
        # What is too much in one piece is left out in all of them.
        done = len(progress.tiles)
        left = tuple(tiles - made for tiles, made in zip(budget.tiles, progress.tiles, strict=False))
        budget = replace(budget, tiles=left, layers=done)
    return blocks
