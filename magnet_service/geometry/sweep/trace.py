"""The pass over values: what tangents need to know of a tile, in numbers that have no columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from magnet_service.generator.operations import TABLE
from magnet_service.geometry.sweep.moves import Rearrange, Rule, Scale
from magnet_service.geometry.sweep.sweep import Sweep

__all__ = ["Trace", "bound_of", "trace"]


@dataclass(frozen=True)
class Trace:
    """What the values of some latents decide about their tangents.

    Attributes:
        finite: whether a row's outputs are finite; of a folded tail, whether a bound of them is.
        factors: by value, what its tangents are still to be multiplied by: [rows or 1, *shape]; absent for 1.
        values: by value, inputs and output of the rules that read them, in the dtype of the tangents.
        units: by value, what `active_units` found of a row alone; filled as it is asked for.
        rows: how many.
    """

    finite: Tensor
    factors: Mapping[int, Tensor]
    values: Mapping[int, tuple[tuple[Tensor, ...], Tensor]]
    units: dict[int, tuple[Tensor, Tensor]]
    rows: int

    def of_rows(self, first: int, last: int) -> Trace:
        """The same of some rows alone."""
        chosen = slice(first, min(last, self.rows))
        return Trace(
            self.finite[chosen],
            {index: factor[chosen] if len(factor) > 1 else factor for index, factor in self.factors.items()},
            {
                index: (tuple(one(value, chosen) for value in inputs), one(output, chosen))
                for index, (inputs, output) in self.values.items()
            },
            {},
            chosen.stop - first,
        )


def one(value: Tensor, chosen: slice) -> Tensor:
    """The chosen row, of values that have more than one."""
    return value[chosen] if len(value) > 1 else value


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
        elif isinstance(move, Rearrange) and move.source in factors:
            factors[step + 1] = operation.forward(node, [factors[move.source]], constants[step])
        elif isinstance(move, Rule) and move.reads_values:
            kept[step + 1] = (tuple(value.to(sweep.dtype) for value in inputs), output.to(sweep.dtype))
        del inputs
        for index in released:
            del values[index]
    final = values[sweep.plan.target].flatten(1)
    # Of a folded tail no value is computed, but |W x| <= |R| |x| bounds it; not a number is never below.
    finite = final.isfinite().all(1) & (bound_of(final) * sweep.gain < torch.finfo(final.dtype).max)
    return Trace(finite, factors, kept, {}, len(latents))


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
