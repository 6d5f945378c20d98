"""The pass over values: what tangents need to know of a tile, in numbers that have no columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from magnet_service.generator.operations import TABLE
from magnet_service.geometry.sweep.active import ActiveUnits, active_units
from magnet_service.geometry.sweep.moves import Dense, Rearrange, Rule, Scale
from magnet_service.geometry.sweep.sweep import Sweep

__all__ = ["Trace", "bound_of", "trace"]


@dataclass(frozen=True)
class Trace:
    """What the values of some latents decide about their tangents.

    Attributes:
        finite: whether a row's outputs are finite.
        factors: by value, what the tangents of a tile's rows are still to be multiplied by: [tile or 1, *shape]; absent
            for 1.
        values: by value, inputs and output of the rules that read them.
        units: by value, the units of a tile's rows that are not idle.
        first: the first of these rows in the tile.
        rows: how many.
    """

    finite: Tensor
    factors: Mapping[int, Tensor]
    values: Mapping[int, tuple[tuple[Tensor, ...], Tensor]]
    units: Mapping[int, ActiveUnits]
    first: int
    rows: int

    def of_rows(self, first: int, last: int) -> Trace:
        """The same of some rows alone, counted within these; nothing is copied."""
        count = min(last, self.rows) - first
        return replace(self, finite=self.finite[first : first + count], first=self.first + first, rows=count)

    def factor(self, index: int) -> Tensor | None:
        """What the tangents of a value are still to be multiplied by, [rows or 1, *shape]; None for 1."""
        found = self.factors.get(index)
        return None if found is None else self.chosen(found)

    def values_of(self, index: int) -> tuple[tuple[Tensor, ...], Tensor] | None:
        """Inputs and output of a rule that reads them; None for others."""
        found = self.values.get(index)
        if found is None:
            return None
        return tuple(self.chosen(value) for value in found[0]), self.chosen(found[1])

    def chosen(self, tensor: Tensor) -> Tensor:
        """These rows of a tensor that has all of the tile, or one for all."""
        return tensor[self.first : self.first + self.rows] if len(tensor) > 1 else tensor


def trace(sweep: Sweep, latents: Tensor) -> Trace:
    """Run the generator forward and keep the slopes.

    Arguments:
        sweep: prepared.
        latents: [rows, d], in the precision and on the device of the generator.

    Returns:
        The trace, without tangents.

    Raises:
        Nothing.

    Accuracy: slopes from values in the generator's precision, rounded to that of the tangents.
    Cost: one forward a row.
    """
    graph, constants = sweep.generator.graph, sweep.generator.constants
    values: dict[int, Tensor] = {0: latents.reshape(len(latents), *graph.latent_shape)}
    factors: dict[int, Tensor] = {}
    kept: dict[int, tuple[tuple[Tensor, ...], Tensor]] = {}
    units: dict[int, ActiveUnits] = {}
    for step, released in zip(sweep.plan.steps, sweep.plan.released, strict=True):
        node = graph.nodes[step]
        operation = TABLE[node.operation]
        inputs = [values[source] for source in node.inputs]
        output = operation.forward(node, inputs, constants[step])
        values[step + 1] = output
        move = sweep.moves.get(step + 1)
        if isinstance(move, Scale):
            factor = combined(factors.get(move.source), slope_of(move, inputs, output, constants[step]))
            if factor is not None:
                factors[step + 1] = factor
        elif isinstance(move, Dense) and move.gathers and sweep.row_by_row:
            units[move.source] = active_units(factors[move.source])
        elif isinstance(move, Rearrange) and move.source in factors:
            factors[step + 1] = operation.forward(node, [factors[move.source]], constants[step])
        elif isinstance(move, Rule) and move.reads_values:
            kept[step + 1] = (tuple(inputs), output)
        del inputs
        for index in released:
            del values[index]
    final = values[sweep.plan.target].flatten(1)
    # Of a folded tail no value is computed, but |W x| <= |R| |x| bounds it; not a number is never below.
    finite = final.isfinite().all(1) & (bound_of(final) * sweep.gain < torch.finfo(final.dtype).max)
    tail = sweep.moves.get(sweep.target)
    if isinstance(tail, Dense) and tail.gathers and sweep.row_by_row and tail.source not in units:
        units[tail.source] = active_units(factors[tail.source])  # of a folded tail, whose values are not computed
    return Trace(finite, factors, kept, units, 0, len(latents))


def bound_of(rows: Tensor) -> Tensor:
    """A bound of each row's Euclidean norm, sqrt(numbers) times the largest: squares could overflow."""
    return rows.abs().amax(1) * math.sqrt(rows.shape[1])


def slope_of(move: Scale, inputs: Sequence[Tensor], output: Tensor, constants: Mapping[str, Tensor]) -> Tensor | None:
    """The slope of an elementwise operation [rows or 1, *shape]; None where it stands in the weights already."""
    if move.folded or move.operation.slope is None:
        return None
    if move.constant is not None:
        return move.constant.expand(1, *move.node.shape)
    return torch.as_tensor(move.operation.slope(move.node, inputs, output, constants)).expand_as(output)


def combined(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """The product of two factors, None standing for 1."""
    if first is None or second is None:
        return second if first is None else first
    return first * second
