"""Which units change their state over the vertices of cross-polytopes, with no vertex' states kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil

import torch
from torch import Tensor

from magnet_service.errors import OutOfMemory
from magnet_service.generator import TABLE, Node
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.traversal import Traversal

__all__ = ["Frames", "changed", "count_at_vertices"]

Frames = Callable[[int, int], Tensor]
"""(first row, number of rows) -> [1 or rows, P, d] on the generator's device."""

BATCH_BYTES = 2 << 20
"""Bytes that the values of one batch of vertices take where no bound is nearer: what stays in a core's caches."""

LEAST_VERTICES = 32
"""Vertices of a batch where that is fewer: calls, and extremes over them, have to pay."""


def count_at_vertices(
    layers: Traversal,
    latents: Tensor,
    frames: Frames,
    directions: int,
    radius: float,
    max_memory: int | None,
    should_stop: Callable[[], bool] | None,
) -> Tensor:
    """Units of each layer whose state differs between two of the vertices z + r v_p, z - r v_p.

    Arguments:
        layers: to count in.
        latents: [rows, d] in float64, on the generator's device.
        frames: gives the v_p of some rows.
        directions: P.
        radius: r.
        max_memory: bytes for values and what operations lay out; no bound where None.
        should_stop: asked before every batch.

    Returns:
        [rows, layers], int64, on the CPU.

    Raises:
        OutOfMemory: one vertex is above the bound.
        Cancelled: `should_stop` answered true.

    Accuracy: exact for the pre-activations as computed in float64; a unit within rounding of a breakpoint at a vertex,
        and at no other beyond it, may count in one batch and not in another.
    Cost: 2 P forwards a latent up to the last layer, and one pass for the extremes over every layer's inputs.
    """
    counts = torch.zeros(len(latents), len(layers.nodes), dtype=torch.int64)
    if not layers.nodes:
        return counts
    at_once, part = batch(layers, 2 * directions, max_memory)
    for start in range(0, len(latents), at_once):
        rows = latents[start : start + at_once]
        frame = frames(start, len(rows))
        counter = Counter(len(rows))
        moves = radius * torch.cat([frame, -frame], dim=1)
        for some in moves.tensor_split(ceil(2 * directions / part), dim=1):
            stopped(should_stop)
            vertices = rows[:, None, :] + some
            layers.visit(vertices.flatten(0, 1), counter.see)
            counter.turn()
        counts[start : start + len(rows)] = counter.counts().cpu()
    return counts


@dataclass
class Counter:
    """The least and the greatest that each unit of some latents showed at the vertices so far.

    Attributes:
        rows: number of latents.
        lows, highs: by layer, [rows, units]: of pre-activations for elementwise operations, of states for others.
        nodes: the layers met.
        orders: by layer, the dimensions of a unit's place as they first lay in memory, in which all is kept.
        place: of the layer that comes next.
    """

    rows: int
    nodes: list[Node] = field(default_factory=list)
    lows: list[Tensor] = field(default_factory=list)
    highs: list[Tensor] = field(default_factory=list)
    orders: list[list[int]] = field(default_factory=list)
    place: int = 0

    def see(self, node: Node, inputs: Sequence[Tensor]) -> None:
        """Take in a layer at some more vertices of all rows."""
        operation = TABLE[node.operation]
        shown = inputs[0]
        if operation.breakpoints is None and operation.states is not None:
            shown = operation.states(node, inputs)
        if self.place == len(self.orders):
            # Extremes over rows of another order than that of memory take ten times as long.
            self.orders.append(sorted(range(1, shown.dim()), key=shown.stride, reverse=True))
        several = shown.permute(0, *self.orders[self.place]).flatten(1).unflatten(0, (self.rows, -1))
        low, high = several.amin(1), several.amax(1)
        if self.place == len(self.nodes):
            self.nodes.append(node)
            self.lows.append(low)
            self.highs.append(high)
        else:
            torch.minimum(self.lows[self.place], low, out=self.lows[self.place])
            torch.maximum(self.highs[self.place], high, out=self.highs[self.place])
        self.place += 1

    def turn(self) -> None:
        """The next layer seen is the first again."""
        self.place = 0

    def counts(self) -> Tensor:
        """[rows, layers] of the units that changed."""
        found = [
            changed(node, low, high).sum(1) for node, low, high in zip(self.nodes, self.lows, self.highs, strict=True)
        ]
        return torch.stack(found, dim=1)


def changed(node: Node, low: Tensor, high: Tensor) -> Tensor:
    """Whether the state of a unit differs between two places, by the extremes of what it showed.

    Arguments:
        node: the layer.
        low, high: of pre-activations where the operation has breakpoints, of states elsewhere.

    Returns:
        Truth values; false where a pre-activation is not a number.

    Raises:
        Nothing.

    Accuracy: exact: a state is the number of breakpoints strictly below the pre-activation.
    """
    rule = TABLE[node.operation].breakpoints
    if rule is None:
        return low < high
    found = torch.zeros_like(low, dtype=torch.bool)
    for limit in rule(node):
        found |= (low <= limit) & (high > limit)
    return found


def batch(layers: Traversal, vertices: int, max_memory: int | None) -> tuple[int, int]:
    """Latents at once, and how many of the vertices of each: all of them unless one latent's are too many."""
    vertex, kept = 8 * layers.row_numbers, 16 * sum(layers.units)
    wanted = max(LEAST_VERTICES, BATCH_BYTES // vertex)
    if max_memory is None:
        return max(1, wanted // vertices), min(wanted, vertices)
    if vertex + kept > max_memory:
        raise OutOfMemory(
            f"One vertex needs about {(vertex + kept) / 2**20:.1f} MiB, and the bound is {max_memory / 2**20:.1f} MiB: "
            f"raise max_memory.",
            metadata={"needed_bytes": str(vertex + kept)},
        )
    latents = min(wanted // vertices, max_memory // (vertices * vertex + kept))
    return max(1, latents), min(wanted, vertices, (max_memory - kept) // vertex)
