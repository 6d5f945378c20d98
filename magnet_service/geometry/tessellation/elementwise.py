"""Nonlinearities element by element: which units bend, where they split tiles, and what they are afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from magnet_service.generator import Node
from magnet_service.generator.operations import TABLE
from magnet_service.geometry.planar.bending import list_cuts, survey_units
from magnet_service.geometry.tessellation.cuts import Cuts, Split
from magnet_service.geometry.tessellation.live import Bends, Live, with_columns
from magnet_service.geometry.tessellation.sheet import Sheet

__all__ = ["Elementwise", "Pieces", "cuts_of", "pieces_of", "prepare_elementwise"]

NO_LIMIT = np.zeros((0, 1), np.uint64)


@dataclass(frozen=True)
class Pieces:
    """A node's functions of one variable: between breakpoints, slope x + offset.

    Attributes:
        breakpoints: ascending.
        slopes, offsets: [breakpoints + 1, units].
    """

    breakpoints: Tensor
    slopes: Tensor
    offsets: Tensor


@dataclass(frozen=True)
class Elementwise:
    """A node about to split tiles.

    Attributes:
        index: of its value.
        cuts: the functions that split; None for none.
        values: [vertices, units] of the affine functions of the units that become columns, at the vertices; None where
            the columns are made wherever they are needed.
        units: that become columns.
        bends: them.
        straight: what the node's value is of the columns there were, without those units.
        keeps: whether the columns there were are still needed.
    """

    index: int
    cuts: Cuts | None
    values: Tensor | None
    units: Tensor
    bends: Bends
    straight: Live
    keeps: bool

    def settle(self, sheet: Sheet, found: Split | None) -> None:
        """Give the node its value, after the split of its cuts."""
        if self.values is None:
            if found is not None:
                sheet.follow(found)
            if len(self.units):
                sheet.make(self.bends)
        else:
            rows = self.values if found is None else sheet.grown(self.values, found, self.cuts)
            sheet.workers.over(lambda at, end: self.bends.apply(rows[at:end]), len(rows), len(self.units))
            if not self.keeps:
                sheet.replace(rows, self.bends.reach)
            else:
                if found is not None:
                    sheet.follow(found)
                sheet.append(rows)
        sheet.live[self.index] = with_columns(self.straight, sheet.width, self.units)


def prepare_elementwise(
    sheet: Sheet, index: int, node: Node, pieces: Pieces, layer: int, last_use: bool
) -> Elementwise:
    """Find out which units of a node bend over the slice, and what the others are.

    Arguments:
        sheet: values at the vertices.
        index: of the node's value.
        node: an elementwise piecewise linear node, into whose input the slice enters.
        pieces: its functions.
        layer: number of the node among the piecewise linear ones, for labels.
        last_use: whether nothing else needs the node's input.

    Returns:
        What to split by and how to go on.

    Raises:
        NotFinite: an argument of a unit is not finite everywhere.

    Accuracy: rounding of float64.
    """
    (source,) = node.inputs
    given = sheet.live[source]
    shape = given.constant.shape
    constant, matrix = given.flat()
    found = None
    if sheet.worth_bounding(matrix):
        low, high = sheet.bounded_ranges(constant, matrix, pieces.breakpoints)
    else:
        low, high, found = sheet.ranges(constant, matrix)
    functions = (pieces.breakpoints.numpy(), pieces.slopes.numpy(), pieces.offsets.numpy())
    surveyed = survey_units(low.numpy(), high.numpy(), *functions)
    bends, slope, offset, reach = (torch.from_numpy(array) for array in surveyed)
    units = bends.nonzero().flatten()
    moving = (bends | (slope != 0)).nonzero().flatten()
    others = any(value.matrix is not None for other, value in sheet.live.items() if other != source or not last_use)
    keeps = others or len(matrix) + len(units) <= len(moving)
    narrow = sheet.narrow(len(units))
    if keeps or narrow:
        keeps = True
        slope, offset = slope.masked_fill(bends, 0.0), offset.masked_fill(bends, 0.0)
        fixed = slope * constant + offset
    else:
        units = moving
        fixed = offset.index_fill(0, moving, 0.0)
    chosen = Bends(constant, matrix, pieces.breakpoints, pieces.slopes, pieces.offsets, reach).chosen(units)
    straight = Live(fixed.reshape(shape), (matrix * slope).reshape(1, len(matrix), *shape[1:]) if keeps else None)
    if not len(units):
        return Elementwise(index, None, None, units, chosen, straight, keeps)
    if found is None:
        values = sheet.values(chosen.constant, chosen.matrix)
    else:
        values = found if len(units) == len(constant) else found.index_select(1, units)
    floors = sheet.floors(chosen.constant, chosen.matrix)
    cuts = cuts_of(values, floors, units, low, high, pieces.breakpoints, layer)
    return Elementwise(index, cuts, None if narrow else values, units, chosen, straight, keeps)


def pieces_of(node: Node, shape: torch.Size, constants: Mapping[str, Tensor]) -> Pieces:
    """The pieces of a node's functions, from its rules at one point of each."""
    operation = TABLE[node.operation]
    assert operation.breakpoints is not None
    assert operation.slope is not None
    breakpoints = operation.breakpoints(node)
    inner = [(one + other) / 2 for one, other in pairwise(breakpoints)]
    places = [breakpoints[0] - 1.0, *inner, breakpoints[-1] + 1.0]
    slopes, offsets = [], []
    for place in places:
        value = torch.full(shape, place, dtype=torch.float64)
        output = operation.forward(node, [value], constants)
        slope = torch.as_tensor(operation.slope(node, [value], output, constants), dtype=torch.float64).expand(shape)
        slopes.append(slope.flatten())
        offsets.append((output - slope * place).flatten())
    return Pieces(torch.tensor(breakpoints, dtype=torch.float64), torch.stack(slopes), torch.stack(offsets))


def cuts_of(
    values: Tensor, floors: Tensor, units: Tensor, low: Tensor, high: Tensor, breakpoints: Tensor, layer: int
) -> Cuts:
    """One function for each unit, a column of `values`, and breakpoint inside its range."""
    columns, levels, limits, labels = list_cuts(
        low.numpy(), high.numpy(), units.numpy(), breakpoints.numpy(), floors.numpy(), layer
    )
    return Cuts(values.numpy(), columns, levels, limits, labels, NO_LIMIT, NO_LIMIT)
