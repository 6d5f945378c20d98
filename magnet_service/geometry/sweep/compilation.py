"""From the moves of a sweep to a program of compiled kernels, where every move has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.generator.graph import Node
from magnet_service.geometry.kernels.layers import LANES
from magnet_service.geometry.sweep.affine_steps import (
    FACTOR_BLOCK,
    Ends,
    convolution_step,
    dense_step,
    filled_up,
    rounded,
)
from magnet_service.geometry.sweep.copying import Copied, Unsupported, copies_of, selection
from magnet_service.geometry.sweep.moves import Constant, Convolve, Dense, Move, Rearrange, Rule, Scale
from magnet_service.geometry.sweep.program import Affine, Buffer, Combine, Part, Program, Rounded
from magnet_service.geometry.sweep.sites import Sites, sites_of

__all__ = ["compile_moves"]

Shapes = Callable[[int], tuple[int, ...]]


@dataclass(frozen=True)
class Held:
    """Where the tangents of a value stand.

    Attributes:
        buffer: number of it.
        lines: [numbers of the value], the line of each, -1 for one that is always 0.
        factor: the last value on the way here with a factor of its own; None where the lines stand as they are.
        factor_lines: as `lines`, of that value.
    """

    buffer: int
    lines: Tensor
    factor: int | None
    factor_lines: Tensor


@dataclass(frozen=True)
class Root:
    """A value whose tangents are computed, or constant, and not only those of another in another order.

    Attributes:
        units: lines.
        order: [units], place in the value of each line, -1 for none.
        constant: the lines of a constant value.
    """

    units: int
    order: Tensor
    constant: NDArray[np.float32] | None


def compile_moves(
    moves: Mapping[int, Move],
    shape_of: Shapes,
    constants: Callable[[int], Mapping[str, Tensor]],
    target: int,
    latent_dim: int,
    rounds: bool = False,
) -> Program | None:
    """The program of a sweep.

    Arguments:
        moves: by value, weights in float64 on the CPU.
        shape_of: shape of one row of a value.
        constants: what the rules of the node of a value read, float64.
        target: the value whose tangents are wanted.
        latent_dim: d.
        rounds: whether weights and tangents of a wide last dense layer are rounded to bfloat16.

    Returns:
        The program; None where some move is none of those that kernels run: dense layers, two-dimensional convolutions,
        elementwise operations, and sums and rearrangements of values.

    Raises:
        Nothing.

    Accuracy: weights are rounded to float32 once; where `rounds`, those of such a layer to bfloat16 after that.
    """
    if target not in moves:
        return None
    try:
        return Compilation(moves, shape_of, constants, target, latent_dim, rounds).run()
    except Unsupported:
        return None


class Compilation:
    """The state of one compilation."""

    def __init__(
        self,
        moves: Mapping[int, Move],
        shape_of: Shapes,
        constants: Callable[[int], Mapping[str, Tensor]],
        target: int,
        latent_dim: int,
        rounds: bool,
    ) -> None:
        self.moves = moves
        self.shape_of = shape_of
        self.constants = constants
        self.target = target
        self.columns = latent_dim
        self.rounds = rounds
        self.stride = -(-latent_dim // LANES) * LANES
        self.roots: list[Root] = []
        self.held: dict[int, Held] = {}
        self.parts: dict[int, list[tuple[int, Tensor, Tensor]]] = {}
        self.sites: dict[int, Sites] = {}
        self.copies: dict[int, int] = {}
        self.buffers: list[Buffer] = []
        self.steps: list[Affine | Rounded | Combine] = []

    def run(self) -> Program:
        """See where every value's tangents stand, which factor every buffer's lines carry, then write the steps."""
        for index, move in self.moves.items():
            self.place(index, move)
        for number, root in enumerate(self.roots):
            self.buffers.append(self.buffer(number, root))
        for index, move in self.moves.items():
            if isinstance(move, Dense | Convolve):
                self.steps.append(self.affine(index, move))
            elif isinstance(move, Rule):
                parts = tuple(self.part(*part) for part in self.parts[index])
                self.steps.append(Combine(self.held[index].buffer, parts))
        held = self.held[self.target]
        target = held.buffer if self.is_target(held) else self.copy(self.target)
        last = [0] * len(self.buffers)
        for number, step in enumerate(self.steps):
            for source in (part.source for part in step.parts) if isinstance(step, Combine) else (step.source,):
                last[source] = number
        return Program(tuple(self.steps), tuple(self.buffers), self.columns, self.stride, last, target)

    def place(self, index: int, move: Move) -> None:
        """Say where the tangents of one value stand."""
        count = prod(self.shape_of(index))
        every = torch.arange(count)
        match move:
            case Constant():
                constant = np.zeros((1, count, self.stride), np.float32)
                constant[0, :, : self.columns] = rounded(move.tangents.reshape(self.columns, count).t())
                self.add_root(index, Root(count, every, constant))
            case Scale():
                before = self.held[move.source]
                own = Held(before.buffer, before.lines, index, before.lines)
                self.held[index] = before if move.folded else own
            case Rearrange():
                before = self.held[move.source]
                found = selection(Copied(move.node, move.operation, self.shapes(move.node), self.constants(index), 0))
                if found is None or not bool(((found[1] == 1) | (found[0] < 0)).all()):
                    raise Unsupported
                places = found[0]
                lines = torch.where(places < 0, -1, before.lines[places.clamp(min=0)])
                self.held[index] = Held(before.buffer, lines, before.factor, before.factor_lines)
            case Dense():
                # Of a folded tail the factor has as many outputs as the tail has inputs.
                sites = prod(self.shape_of(move.source)) // move.weight.shape[1]
                units = filled_up(len(move.weight)) if self.triangle(index, move) else sites * len(move.weight)
                self.add_root(index, Root(units, torch.arange(units), None))
            case Convolve():
                self.sites[index] = sites_of(move.node, self.shape_of(move.source), self.shape_of(index))
                self.add_root(index, Root(len(self.sites[index].order), self.sites[index].order, None))
            case Rule():
                if move.reads_values:
                    raise Unsupported
                self.parts[index] = [
                    (source, *copied)
                    for number, source in enumerate(move.sources)
                    if source in self.held
                    for copied in copies_of(
                        Copied(move.node, move.operation, self.shapes(move.node), self.constants(index), number)
                    )
                ]
                self.add_root(index, Root(count, every, None))

    def shapes(self, node: Node) -> list[tuple[int, ...]]:
        """Shapes of a row of a node's inputs."""
        return [self.shape_of(source) for source in node.inputs]

    def add_root(self, index: int, root: Root) -> None:
        """A buffer for a value, and the value's place in it."""
        lines = torch.empty(int((root.order >= 0).sum()), dtype=torch.int64)
        lines[root.order[root.order >= 0]] = (root.order >= 0).nonzero().flatten()
        self.held[index] = Held(len(self.roots), lines, None, lines)
        self.roots.append(root)

    def readings(self, number: int) -> list[Held]:
        """How a buffer is read, by layers, sums and as the target."""
        read = [self.held[self.target]]
        for index, move in self.moves.items():
            if isinstance(move, Dense | Convolve):
                read.append(self.held[move.source])
            elif isinstance(move, Rule):
                read.extend(self.held[source] for source, *_ in self.parts[index])
        return [held for held in read if held.buffer == number]

    def buffer(self, number: int, root: Root) -> Buffer:
        """A buffer whose lines carry the factor that all of its readers want, or none."""
        read = self.readings(number)
        factors = {held.factor for held in read}
        if root.constant is not None or len(factors) != 1:
            return Buffer(root.units, None, None, root.constant)
        (factor,) = factors
        wanted = torch.zeros(root.units, dtype=torch.bool)
        for held in read:
            wanted[held.lines[held.lines >= 0]] = True
        if factor is None:
            order = None if bool(wanted.all()) else torch.where(wanted, torch.arange(root.units), -1)
            return Buffer(root.units, None, order, None)
        places = self.inverse(read[0].factor_lines, root.units)
        if places is None:
            return Buffer(root.units, None, None, None)
        return Buffer(root.units, factor, torch.where(wanted, places, -1), None)

    def inverse(self, lines: Tensor, units: int) -> Tensor | None:
        """For every line the number that it is, -1 for none; None where several numbers are the same line."""
        used = lines[lines >= 0]
        if len(used.unique()) != len(used):
            return None
        order = torch.full((units,), -1, dtype=torch.int64)
        order[used] = (lines >= 0).nonzero().flatten()
        return order

    def carries(self, held: Held) -> bool:
        """Whether a value's buffer already carries its factor."""
        return held.factor == self.buffers[held.buffer].factor

    def is_target(self, held: Held) -> bool:
        """Whether a value's buffer, as it stands, has the numbers of that value and zeros."""
        buffer = self.buffers[held.buffer]
        if not self.carries(held) or buffer.constant is not None:
            return False
        order = self.inverse(held.lines, buffer.units)
        if order is None:
            return False
        wanted = torch.ones(buffer.units, dtype=torch.bool) if buffer.order is None else buffer.order >= 0
        return bool((wanted == (order >= 0)).all())

    def copy(self, value: int) -> int:
        """A buffer with the lines of a value in its own order and with its factor."""
        if value not in self.copies:
            held = self.held[value]
            every = torch.arange(len(held.lines))
            factor = None if held.factor is None else value
            ones = torch.ones(len(every))
            source = self.buffers[held.buffer]
            if source.factor is not None and source.factor == held.factor:
                factor = None  # the lines have it already
            self.copies[value] = len(self.buffers)
            self.buffers.append(Buffer(len(every), factor, None, None))
            part = Part(held.buffer, None, every, held.lines.to(torch.int32).numpy(), ones)
            self.steps.append(Combine(self.copies[value], (part,)))
        return self.copies[value]

    def part(self, source: int, places: Tensor, coefficients: Tensor) -> Part:
        """A summand: numbers of a value that are copied and scaled."""
        held = self.held[source]
        lines = torch.where(places < 0, -1, held.lines[places.clamp(min=0)]).to(torch.int32).numpy()
        factor = None if held.factor is None or self.carries(held) else source
        return Part(held.buffer, factor, places, lines, coefficients.float())

    def source(self, value: int) -> tuple[int, Tensor]:
        """A buffer with the lines of a value times its factor, and the line of each of its numbers."""
        held = self.held[value]
        if self.carries(held):
            return held.buffer, held.lines
        return self.copy(value), torch.arange(len(held.lines))

    def affine(self, index: int, move: Dense | Convolve) -> Affine | Rounded:
        """The step of a dense layer or a convolution."""
        source, lines = self.source(move.source)
        made = self.held[index].buffer
        last = made == self.held[self.target].buffer
        if isinstance(move, Convolve):
            return convolution_step(
                Ends(made, source, lines, last), move, self.sites[index], self.shape_of(move.source)
            )
        return dense_step(Ends(made, source, lines, last), move.weight, self.triangle(index, move), self.rounds)

    def triangle(self, index: int, move: Dense) -> bool:
        """Whether a dense layer is the triangular factor of a folded tail, of more than one block."""
        folded = index == self.target and move.weight.shape == (prod(self.shape_of(move.source)),) * 2
        return folded and len(move.weight) > FACTOR_BLOCK and not bool(move.weight.tril(-1).any())
