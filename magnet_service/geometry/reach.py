"""Which units of layers affine in the latent change their state over a cross-polytope or a ball, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from math import prod

import torch
from torch import Tensor

from magnet_service.errors import OutOfMemory
from magnet_service.generator import TABLE, Node
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.traversal import Traversal, shape_of
from magnet_service.geometry.vertices import Frames, changed

__all__ = ["count_by_reach"]

BATCH_BYTES = 64 << 20
"""Bytes of one batch of latents where no bound is nearer."""


def count_by_reach(
    layers: Traversal,
    latents: Tensor,
    frames: Frames | None,
    radius: float,
    max_memory: int | None,
    should_stop: Callable[[], bool] | None,
) -> Tensor:
    """Units of each first layer whose state changes over conv{z + r v_p, z - r v_p}, or over |z' - z| <= r.

    A pre-activation w . z + b ranges over w . z + b +- r m, with m = max_p |w . v_p|, or |w|. A unit that takes the
    largest of several entries changes where r m of the difference of an entry and the one it takes at z, which lies
    inside, is above the lead at z.

    Arguments:
        layers: first layers are those that no other stands before.
        latents: [rows, d] in float64, on the generator's device.
        frames: gives the v_p of some rows; None for the ball.
        radius: r.
        max_memory: bytes for columns, values and products; no bound where None.
        should_stop: asked before every batch.

    Returns:
        [rows, first layers], int64, on the CPU.

    Raises:
        OutOfMemory: the columns of the first layers, or one latent, are above the bound.
        Cancelled: `should_stop` answered true.

    Accuracy: exact up to rounding; a unit that only touches a breakpoint counts where its state differs there.
    Cost: a Jacobian of the first layers, then one forward of them a latent; P or d products a unit where units have
        several entries or each latent its own frame.
    """
    beginning = layers.beginning()
    counts = torch.zeros(len(latents), sum(layers.first), dtype=torch.int64)
    if not beginning.nodes or not len(latents):
        return counts
    feeds = feeds_of(beginning, max_memory)
    row = 8 * (beginning.row_numbers + max(feed.row_numbers for feed in feeds))
    if max_memory is not None and row > max_memory:
        raise out_of_memory("One latent", row, max_memory)
    at_once = max(1, min(BATCH_BYTES if max_memory is None else max_memory, BATCH_BYTES) // row)
    for start in range(0, len(latents), at_once):
        stopped(should_stop)
        rows = latents[start : start + at_once]
        counter = Counter(beginning.first, feeds, None if frames is None else frames(start, len(rows)), radius)
        beginning.visit(rows, counter.see)
        counts[start : start + len(rows)] = torch.stack(counter.found, dim=1).cpu()
    return counts


@dataclass(frozen=True)
class Feed:
    """What feeds a first layer.

    Attributes:
        columns: its Jacobian, [1, d, entries], inputs joined.
        places: [units, most] of the entries that each unit chooses from, -1 to fill lines; None for elementwise ones.
    """

    columns: Tensor
    places: Tensor | None

    @property
    def row_numbers(self) -> int:
        """Numbers that one latent takes at most."""
        _, dim, entries = self.columns.shape
        units, most = (0, 0) if self.places is None else self.places.shape
        return (dim + 3) * entries + (3 * dim + 3 * most) * units


@dataclass
class Counter:
    """Units changed in the first layers met so far, at some latents.

    Attributes:
        first: by layer, whether it is one.
        feeds: by first layer.
        frame: [1 or rows, P, d]; None for the ball.
        radius: r.
        found: by first layer, [rows].
        met: layers met.
    """

    first: Sequence[bool]
    feeds: Sequence[Feed]
    frame: Tensor | None
    radius: float
    found: list[Tensor] = field(default_factory=list)
    met: int = 0

    def see(self, node: Node, inputs: Sequence[Tensor]) -> None:
        """Count in one more layer, where it is a first one."""
        if self.first[self.met]:
            feed = self.feeds[len(self.found)]
            moves = feed.columns if self.frame is None else self.frame @ feed.columns
            entries = torch.cat([value.flatten(1) for value in inputs], dim=1)
            ball = self.frame is None
            if feed.places is None:
                reach = self.radius * longest(moves, ball)
                bent = changed(node, entries - reach, entries + reach)
            elif node.attributes.get("largest", True):
                bent = overtaken(entries, moves, feed.places, ball, self.radius)
            else:
                bent = overtaken(-entries, -moves, feed.places, ball, self.radius)
            self.found.append(bent.sum(1))
        self.met += 1


def feeds_of(layers: Traversal, max_memory: int | None) -> list[Feed]:
    """What feeds each first layer."""
    dim = layers.generator.latent_dim
    sources = [source for node in compress(layers.nodes, layers.first) for source in node.inputs]
    entries = sum(prod(shape_of(layers.generator, source)) for source in sources)
    needed = 8 * dim * (layers.row_numbers + entries)
    if max_memory is not None and needed > max_memory:
        raise out_of_memory("The Jacobian of the first layers", needed, max_memory)
    alone, feeds = iter(layers.first), []

    def observe(node: Node, inputs: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> None:
        if next(alone):
            parts = [
                torch.zeros(1, dim, value[0].numel(), dtype=value.dtype, device=value.device)
                if tangent is None
                else tangent.reshape(1, dim, -1)
                for value, tangent in zip(inputs, tangents, strict=True)
            ]
            rule = TABLE[node.operation].contenders
            places = None if rule is None else rule(node, [tuple(value.shape[1:]) for value in inputs])
            feeds.append(Feed(torch.cat(parts, dim=2), places if places is None else places.to(inputs[0].device)))

    identity = torch.eye(dim, dtype=torch.float64, device=layers.generator.device)
    layers.observe(identity.new_zeros(1, dim), identity[None], observe)
    return feeds


def overtaken(entries: Tensor, moves: Tensor, places: Tensor, ball: bool, radius: float) -> Tensor:
    """Whether a unit takes another than the largest of its entries at z somewhere around.

    Arguments:
        entries: [rows, entries] at z.
        moves: their derivatives, [1 or rows, directions, entries].
        places: as `Feed` has them.
        ball: whether directions are all axes of a ball.
        radius: r.

    Returns:
        [rows, units].

    Raises:
        Nothing.

    Accuracy: exact up to rounding. At z the first of equal entries is taken.
    """
    real, places = places >= 0, places.clamp(min=0)
    several = entries[:, places].masked_fill(~real, -torch.inf)
    best = several.amax(2, keepdim=True)
    taken = places.expand(len(entries), -1, -1).gather(2, (several == best).to(torch.uint8).argmax(2, keepdim=True))
    at_taken = picked(moves, taken[:, :, 0])
    found = torch.zeros(several.shape[:2], dtype=torch.bool, device=entries.device)
    for number in range(places.shape[1]):
        other = picked(moves, places[None, :, number].expand(len(entries), -1))
        lead = best[:, :, 0] - several[:, :, number]
        found |= real[:, number] & (radius * longest(other - at_taken, ball) > lead)
    return found


def longest(moves: Tensor, ball: bool) -> Tensor:
    """max over directions of the absolute derivative, or its length where directions are all axes."""
    return torch.linalg.vector_norm(moves, dim=1) if ball else moves.abs().amax(1)


def picked(moves: Tensor, places: Tensor) -> Tensor:
    """[rows, directions, units] of [1 or rows, directions, entries] at [rows, units]."""
    spread = moves.expand(len(places), -1, -1)
    return spread.gather(2, places[:, None, :].expand(-1, spread.shape[1], -1))


def out_of_memory(what: str, needed: int, bound: int) -> OutOfMemory:
    """The error that says what to write instead."""
    return OutOfMemory(
        f"{what} needs about {needed / 2**20:.1f} MiB, and the bound is {bound / 2**20:.1f} MiB: raise max_memory.",
        metadata={"needed_bytes": str(needed)},
    )
