"""The pass over tangents: columns pushed through what is linear, with the factors of the trace in between."""

from __future__ import annotations

import torch
from torch import Tensor

from magnet_service.generator.operations.convolution import convolve
from magnet_service.generator.operations.kernels import product
from magnet_service.generator.operations.subpixel import shuffled
from magnet_service.geometry.sweep.moves import Constant, Convolve, Dense, Move, Rearrange, Rule, Scale, sources_of
from magnet_service.geometry.sweep.spots import at_spots
from magnet_service.geometry.sweep.sweep import Sweep
from magnet_service.geometry.sweep.trace import Trace

__all__ = ["jacobian_rows"]


def jacobian_rows(sweep: Sweep, traced: Trace) -> Tensor:
    """The transposed Jacobian of every row of a trace, or a matrix with its singular values where a tail is folded.

    Arguments:
        sweep: prepared.
        traced: of the rows wanted.

    Returns:
        [rows, columns, width], contiguous, in the dtype of the generator's values.

    Raises:
        Nothing.

    Accuracy: rounding of the tangents' dtype, with sums in float32 for bfloat16.
    Cost: the columns' share of `columns` forwards a row, less what is constant, folded or idle.
    """
    head = Push(sweep, traced, slice(None)).up_to(sweep.cut) if sweep.cut else None
    firsts = range(0, sweep.latent_dim, sweep.block)
    blocks = [Push(sweep, traced, slice(first, first + sweep.block)).run(head) for first in firsts]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)


class Push:
    """The state of one block of columns on their way through the network."""

    def __init__(self, sweep: Sweep, traced: Trace, columns: slice) -> None:
        self.sweep = sweep
        self.traced = traced
        self.columns = columns
        self.tangents: dict[int, Tensor] = {}
        self.waiting = dict(sweep.uses)
        # Values whose tangents nobody else can see, so that they may be written over.
        self.owned: set[int] = set()

    def up_to(self, last: int) -> Tensor:
        """Take every move up to one value; its tangents, without their factor."""
        for index, move in self.sweep.moves.items():
            if index > last:
                break
            self.step(index, move)
        return self.tangents[last]

    def step(self, index: int, move: Move) -> None:
        """Take one move and let go of what nothing needs any more."""
        self.tangents[index] = self.take(index, move)
        for source in sources_of(move):
            self.waiting[source] -= 1
            if not self.waiting[source]:
                self.tangents.pop(source, None)

    def run(self, head: Tensor | None) -> Tensor:
        """Take every move in turn; then multiply by what is left of the factor.

        Arguments:
            head: tangents of all columns at the sweep's cut, or None to begin at the latent.
        """
        target = self.sweep.target
        if head is not None:
            self.tangents[self.sweep.cut] = head[:, self.columns]
        for index, move in self.sweep.moves.items():
            if head is None or index > self.sweep.cut:
                self.step(index, move)
        dtype = self.sweep.generator.precision.dtype
        if target not in self.tangents:  # a constant generator
            blank = torch.zeros((), dtype=dtype, device=self.sweep.generator.device)
            columns = len(range(self.sweep.latent_dim)[self.columns])
            return blank.expand(self.traced.rows, columns, self.sweep.width)
        tangents = self.tangents[target]
        factor = self.traced.factor(target)
        if factor is not None and self.sweep.finisher is None:
            tangents = tangents * factor.unsqueeze(1)  # in the dtype of the values, wider than bfloat16
        flat = tangents.flatten(2).to(dtype)
        return flat.expand(self.traced.rows, -1, -1).contiguous()

    def take(self, index: int, move: Move) -> Tensor:
        """The tangents of one value, its own factor still to come."""
        match move:
            case Constant():
                return move.tangents[:, self.columns]
            case Scale():
                self.pass_on(index, move.source)
                return self.tangents[move.source]
            case Rearrange():
                self.pass_on(index, move.source)
                return self.by_rule(move, (self.tangents[move.source],))
            case Rule():
                return self.by_rule(move, tuple(self.whole(source) for source in move.sources))
            case Dense():
                self.owned.add(index)
                return self.dense(index, move)
            case Convolve():
                self.owned.add(index)
                return self.convolve(index, move)

    def pass_on(self, index: int, source: int) -> None:
        """Hand the right to write over tangents on to the value that carries them now."""
        if source in self.owned and self.waiting[source] == 1:
            self.owned.add(index)

    def by_rule(self, move: Rule | Rearrange, given: tuple[Tensor | None, ...]) -> Tensor:
        """The table's own tangent rule."""
        graph, rows = self.sweep.generator.graph, self.traced.rows
        blank = torch.zeros((), dtype=self.sweep.dtype, device=self.sweep.generator.device)
        kept = self.traced.values_of(move.index)
        if kept is None:  # a rule that looks at shapes alone
            shapes = [graph.nodes[source - 1].shape if source else graph.latent_shape for source in move.node.inputs]
            inputs = tuple(blank.expand(rows, *shape) for shape in shapes)
            kept = inputs, blank.expand(rows, *move.node.shape)
        constants = move.constants if isinstance(move, Rule) else self.sweep.generator.constants[move.index - 1]
        made = move.operation.tangent(move.node, kept[0], kept[1], given, constants, False)
        columns = len(range(self.sweep.latent_dim)[self.columns])
        return blank.expand(1, columns, *move.node.shape) if made is None else made.to(self.sweep.dtype)

    def whole(self, source: int) -> Tensor | None:
        """Tangents with their factor, [rows or 1, columns, *shape]; None for what does not depend on the latent."""
        tangents, factor = self.tangents.get(source), self.traced.factor(source)
        if tangents is None or factor is None:
            return tangents
        factor = factor.unsqueeze(1).to(tangents.dtype)
        if source in self.owned and self.waiting[source] == 1 and len(tangents) >= len(factor):
            return tangents.mul_(factor)
        return tangents * factor

    def units(self, index: int) -> tuple[Tensor, Tensor]:
        """The places of a row's units that are not idle, and their slopes."""
        return self.traced.units[index].of_row(self.traced.first)

    def gathered(self, move: Dense) -> Tensor:
        """The tangents of a dense layer's inputs that are not idle, [1, columns, inputs left]."""
        (units, slopes), tangents = self.units(move.source), self.tangents[move.source]
        if tangents.shape[2] == move.weight.shape[1]:
            # As a matrix: torch copies whole rows of a third dimension one number at a time.
            return tangents[0].index_select(1, units).mul_(slopes.to(tangents.dtype))[None]
        return tangents * slopes.to(tangents.dtype)

    def dense(self, index: int, move: Dense) -> Tensor:
        """A dense layer: whole, or what idle units leave of it."""
        if not self.sweep.row_by_row or not (move.gathers or move.narrow is not None):
            given = self.whole(move.source)
            if given is None:
                raise RuntimeError("a dense layer without tangents")
            # The factor of a folded tail takes a row as one vector, whatever its shape.
            flat = given.flatten(2) if given.shape[2:].numel() == move.weight.shape[1] else given
            return product(flat, move.weight)
        given = self.gathered(move) if move.gathers else self.whole(move.source)
        if given is None:
            raise RuntimeError("a dense layer without tangents")
        if move.narrow is not None:
            weight = move.weight.index_select(0, self.units(move.narrow)[0])
            return product(given, weight.index_select(1, self.units(move.source)[0]) if move.gathers else weight)
        units = self.units(move.source)[0]
        if len(move.columns) == 1:
            return product(given, move.columns[0].index_select(0, units).t())
        return self.in_blocks(index, move, given, units)

    def in_blocks(self, index: int, move: Dense, given: Tensor, units: Tensor) -> Tensor:
        """A wide dense layer by blocks of outputs, each with the last factor while it is in cache."""
        factor = self.last_factor(index)
        dtype = self.sweep.generator.precision.dtype if factor is not None else self.sweep.dtype
        made = torch.empty(1, given.shape[1], move.weight.shape[0], dtype=dtype, device=given.device)
        first = 0
        for columns in move.columns:
            block = slice(first, first + columns.shape[1])
            part = product(given, columns.index_select(0, units).t())
            if factor is None:
                made[:, :, block] = part
            else:
                torch.mul(part, factor.flatten(1)[:, None, block], out=made[:, :, block])
            first = block.stop
        return made

    def last_factor(self, index: int) -> Tensor | None:
        """The factor of the target, where the layer that makes a value is to multiply it in."""
        return self.traced.factor(self.sweep.target) if index == self.sweep.finisher else None

    def convolve(self, index: int, move: Convolve) -> Tensor:
        """A convolution of all columns as one batch."""
        node = move.node
        factors = self.traced.factor(move.source)
        if move.spots is not None and factors is not None:
            kernel = (move.weight.shape[2], move.weight.shape[3])
            return at_spots(move.spots, self.tangents[move.source][0], factors[0], kernel)[None]
        given = self.whole(move.source)
        if given is None:
            raise RuntimeError("a convolution without tangents")
        batch = given.flatten(0, 1)
        if move.shuffle is not None:
            batch = batch.contiguous(memory_format=torch.channels_last)
            factor = self.last_factor(index)
            dtype = self.sweep.generator.precision.dtype if factor is not None else self.sweep.dtype
            lead, size = (given.shape[0], given.shape[1]), (node.shape[0], node.shape[1], node.shape[2])
            return shuffled(batch, move.weight, move.shuffle, lead, size, factor, dtype)
        made = convolve(node, batch, move.weight, None)
        spread: Tensor = made.unflatten(0, (given.shape[0], given.shape[1]))
        return spread
