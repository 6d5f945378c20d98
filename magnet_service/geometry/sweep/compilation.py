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
from magnet_service.generator.operations import Operation
from magnet_service.geometry.kernels.layers import LANES, SEGMENT
from magnet_service.geometry.kernels.rounded import MASKED
from magnet_service.geometry.sweep.moves import Constant, Convolve, Dense, Move, Rearrange, Rule, Scale
from magnet_service.geometry.sweep.program import Affine, Buffer, Combine, Part, Program, Rounded
from magnet_service.geometry.sweep.sites import Sites, sites_of

__all__ = ["compile_moves"]

OUTPUTS_AT_ONCE = 96
"""Outputs of a wide dense layer that are done for all rows before the next ones: their weights stay in cache."""

LEAST_ROUNDED = 1024
"""Outputs of the last layer, where it is dense, from which it is worth being rounded to bfloat16."""

ROUNDED_AT_ONCE = 192
"""As `OUTPUTS_AT_ONCE`, of such a layer."""

FACTOR_BLOCK = 64
"""Inputs and outputs of a triangular factor that count as one site, so that the zero half costs nothing."""

MOST_PROBED = 1 << 22
"""Numbers in the matrix of an operation up to which it is looked at as one."""

MOST_COPIES = 64
"""Inputs of an output up to which such an operation is a sum of copies."""

Shapes = Callable[[int], tuple[int, ...]]


class Unsupported(Exception):
    """A move that no kernel runs."""


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
        return Program(
            tuple(self.steps), tuple(self.buffers), self.columns, self.stride, last, target, self.numbers(last, target)
        )

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
                found = self.selection(index, move.node, move.operation, 0)
                if found is None or not bool(((found[1] == 1) | (found[0] < 0)).all()):
                    raise Unsupported
                places = found[0]
                lines = torch.where(places < 0, -1, before.lines[places.clamp(min=0)])
                self.held[index] = Held(before.buffer, lines, before.factor, before.factor_lines)
            case Dense():
                # Of a folded tail the factor has as many outputs as the tail has inputs.
                self.add_root(index, Root(*self.padded(index, move), None))
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
                    for copied in self.copies_of(index, move.node, move.operation, number)
                ]
                self.add_root(index, Root(count, every, None))

    def add_root(self, index: int, root: Root) -> None:
        """A buffer for a value, and the value's place in it."""
        lines = torch.empty(int((root.order >= 0).sum()), dtype=torch.int64)
        lines[root.order[root.order >= 0]] = (root.order >= 0).nonzero().flatten()
        self.held[index] = Held(len(self.roots), lines, None, lines)
        self.roots.append(root)

    def moved(self, index: int, node: Node, operation: Operation, which: int, tangents: Tensor) -> Tensor:
        """What an affine operation makes of tangents [columns, numbers] of one input."""
        zero = torch.zeros((), dtype=torch.float64)
        shapes = [self.shape_of(source) for source in node.inputs]
        ghosts = [zero.expand(1, *shape) for shape in shapes]
        given: list[Tensor | None] = [None] * len(shapes)
        given[which] = tangents.reshape(1, len(tangents), *shapes[which])
        found = operation.tangent(node, ghosts, zero.expand(1, *node.shape), given, self.constants(index), False)
        if found is None:
            return torch.zeros(len(tangents), prod(node.shape), dtype=torch.float64)
        return found.reshape(len(tangents), -1)

    def selection(self, index: int, node: Node, operation: Operation, which: int) -> tuple[Tensor, Tensor] | None:
        """Of an operation that copies and scales numbers of an input, which and by how much; -1 and 0 for none."""
        count = prod(self.shape_of(node.inputs[which]))
        random = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        tried = torch.stack([torch.ones_like(random), torch.arange(count).double(), random])
        coefficients, scaled, found = self.moved(index, node, operation, which, tried)
        places = (scaled / torch.where(coefficients == 0, 1.0, coefficients)).round().long()
        inside = (places >= 0) & (places < count)
        expected = coefficients * random[places.clamp(0, count - 1)]
        if not bool(inside.all()) or not torch.allclose(expected, found, rtol=1e-12, atol=0.0):
            return None
        return torch.where(coefficients == 0, -1, places), coefficients

    def copies_of(self, index: int, node: Node, operation: Operation, which: int) -> list[tuple[Tensor, Tensor]]:
        """The selections whose sum an affine operation is, as few as there are inputs to its busiest output."""
        alone = self.selection(index, node, operation, which)
        if alone is not None:
            return [alone]
        count, made = prod(self.shape_of(node.inputs[which])), prod(node.shape)
        if count * made > MOST_PROBED:
            raise Unsupported
        matrix = self.moved(index, node, operation, which, torch.eye(count, dtype=torch.float64)).t()
        most = int((matrix != 0).sum(1).max())
        if most > MOST_COPIES:
            raise Unsupported
        places = matrix.abs().topk(most, dim=1).indices.sort(1).values
        coefficients = matrix.gather(1, places)
        places = torch.where(coefficients == 0, -1, places)
        return list(zip(places.t(), coefficients.t(), strict=True))

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

    def padded(self, index: int, move: Dense) -> tuple[int, Tensor]:
        """Units of a dense layer, those of a triangular factor filled up to whole blocks, and their order."""
        sites = prod(self.shape_of(move.source)) // move.weight.shape[1]
        units = sites * move.weight.shape[0]
        if self.is_triangular(index, move):
            units = -(-units // FACTOR_BLOCK) * FACTOR_BLOCK
        return units, torch.arange(units)

    def is_triangular(self, index: int, move: Dense) -> bool:
        """Whether a dense layer is the factor of a folded tail."""
        weight = move.weight
        folded = index == self.target and len(weight) == weight.shape[1] == prod(self.shape_of(move.source))
        return folded and len(weight) > FACTOR_BLOCK and not bool(weight.tril(-1).any())

    def affine(self, index: int, move: Dense | Convolve) -> Affine | Rounded:
        """The step of a dense layer or a convolution."""
        buffer, lines = self.source(move.source)
        if isinstance(move, Convolve):
            return self.convolution(index, move, buffer, lines)
        if self.is_triangular(index, move):
            return self.triangular(index, move, buffer, lines)
        outputs, channels = move.weight.shape
        sites = len(lines) // channels
        taps = np.stack([np.arange(sites), np.zeros(sites)], 1).astype(np.int32)
        made = self.held[index].buffer
        last = made == self.held[self.target].buffer
        rounds = self.rounds and last and sites == 1 and outputs >= LEAST_ROUNDED
        most = ROUNDED_AT_ONCE if rounds else OUTPUTS_AT_ONCE
        spans = [(first, min(first + most, outputs)) for first in range(0, outputs, most)]
        segments = np.array([(site, site + 1, *span) for site in range(sites) for span in spans], np.int32)
        places = lines.to(torch.int32).numpy()
        if rounds:
            return Rounded(made, buffer, places, halved(move.weight), segments)
        return Affine(
            made=made,
            source=buffer,
            lines=places,
            channels=channels,
            weights=rounded(move.weight),
            taps=taps,
            starts=np.arange(sites + 1, dtype=np.int32),
            bases=np.zeros(sites, np.int32),
            segments=segments,
            outputs=outputs,
        )

    def triangular(self, index: int, move: Dense, buffer: int, lines: Tensor) -> Affine:
        """A triangular factor by blocks: a block of outputs reads the blocks of inputs from its own on."""
        inputs = move.weight.shape[1]
        blocks = -(-inputs // FACTOR_BLOCK)
        size = blocks * FACTOR_BLOCK
        weight = torch.zeros(size, size, dtype=torch.float64)
        weight[:inputs, :inputs] = move.weight
        filled = torch.full((size,), -1, dtype=torch.int64)
        filled[:inputs] = lines
        taps = [(there, there * FACTOR_BLOCK) for site in range(blocks) for there in range(site, blocks)]
        counts = [blocks - site for site in range(blocks)]
        return Affine(
            made=self.held[index].buffer,
            source=buffer,
            lines=filled.to(torch.int32).numpy(),
            channels=FACTOR_BLOCK,
            weights=rounded(weight),
            taps=np.array(taps, np.int32),
            starts=np.cumsum([0, *counts]).astype(np.int32),
            bases=(np.arange(blocks) * FACTOR_BLOCK).astype(np.int32),
            segments=np.array([(site, site + 1, 0, FACTOR_BLOCK) for site in range(blocks)], np.int32),
            outputs=FACTOR_BLOCK,
        )

    def convolution(self, index: int, move: Convolve, buffer: int, lines: Tensor) -> Affine:
        """A convolution, by its sites."""
        sites = self.sites[index]
        channels, high, wide = self.shape_of(move.source)
        outputs = sites.outputs
        at_once = len(sites.bases)
        if self.held[self.target].buffer == self.held[index].buffer:
            at_once = -(-SEGMENT // outputs)
        spans = [(first, min(first + at_once, len(sites.bases))) for first in range(0, len(sites.bases), at_once)]
        groups = move.node.integer("groups")
        by_pixel = lines.reshape(channels, high * wide).t().reshape(-1)
        return Affine(
            made=self.held[index].buffer,
            source=buffer,
            lines=by_pixel.to(torch.int32).numpy(),
            channels=channels // groups,
            weights=rounded(sites.weights(move)),
            taps=sites.taps,
            starts=sites.starts,
            bases=sites.bases,
            segments=np.array([(*span, 0, outputs) for span in spans], np.int32),
            outputs=outputs,
        )

    def numbers(self, last: list[int], target: int) -> int:
        """Numbers in a row's buffers that are held at once, at most."""
        most = held = 0
        alive: dict[int, int] = {}
        for number, step in enumerate(self.steps):
            alive[step.made] = self.buffers[step.made].units * self.stride
            held = sum(alive.values())
            if isinstance(step, Rounded):  # pairs of bfloat16: inputs, weights and outputs of a segment
                outputs, width = ROUNDED_AT_ONCE, step.weights.shape[1]
                held += (width + outputs) * self.stride // 2 + outputs * (width + MASKED) // 2
            most = max(most, held)
            alive = {index: size for index, size in alive.items() if last[index] > number or index == target}
        return most


def rounded(weight: Tensor) -> NDArray[np.float32]:
    """Weights in float32, line after line."""
    made: NDArray[np.float32] = weight.to(torch.float32).contiguous().numpy()
    return made


def halved(weight: Tensor) -> NDArray[np.uint16]:
    """The bits of weights in bfloat16, lines filled up with zeros as `affine_rounded` reads them."""
    outputs, inputs = weight.shape
    filled = torch.zeros(outputs, -(-inputs // MASKED) * MASKED, dtype=torch.bfloat16)
    filled[:, :inputs] = weight.to(torch.float32)
    made: NDArray[np.uint16] = filled.view(torch.int16).numpy().view(np.uint16)
    return made
