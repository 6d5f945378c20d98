"""The values of a network over a slice, at the vertices of a subdivision on whose tiles they are affine.

A value is kept as constant + columns @ matrix. The columns are numbers at the vertices: first the coordinates of the
slice, then the outputs of the units that bend somewhere in it. The matrix goes through the network as tangents do, by
the rules of the table of operations. A unit that does not bend anywhere in the window costs nothing but its share of
the matrix, so that a wide network on a small window is as narrow as what happens there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from magnet_service.generator import Node
from magnet_service.generator.evaluator import Constants
from magnet_service.generator.operations import TABLE
from magnet_service.geometry.footprint import patch_numbers
from magnet_service.geometry.planar.bending import sum_sizes
from magnet_service.geometry.planar.interpolation import column_ranges, interpolate, settle_levels
from magnet_service.geometry.tessellation.clusters import Clusters, clustered
from magnet_service.geometry.tessellation.cuts import Cuts, Split
from magnet_service.geometry.tessellation.live import Bends, Live
from magnet_service.geometry.tessellation.ranges import finite, passes, united
from magnet_service.geometry.tessellation.workers import Workers

__all__ = ["Sheet"]

_BLOCK_BYTES = 2 << 20
"""Values at work at once, so that they stay in cache."""

_AT_ONCE_BYTES = 256 << 20
"""Values of all vertices at work at once, where only their ranges are wanted."""

_PATCH_BYTES = 64 << 20
"""Patches of a convolution that are laid out at once."""

_NARROW = 8
"""Columns are made wherever they are needed, and not kept, if they are this many times as many as what makes them."""

_ROUNDINGS = 4.0
"""Roundings of the largest size that a sum of some columns is taken to hold."""

_WORTH_BOUNDING = 3e8
"""Products above which it pays to look first which units can bend at all."""

_VERY_MUCH = 1 << 30
"""Additions and multiplications that anything of a cluster is taken to be."""

_MANY = 512
"""Vertices of which clusters are made."""


class Sheet:
    """Columns at the vertices, and the values that are alive.

    Arguments:
        columns: [vertices, columns].
        live: values by index.
        workers: to work with.
    """

    def __init__(self, columns: Tensor, live: dict[int, Live], workers: Workers) -> None:
        self.points = columns  # coordinates of the vertices
        self.columns = columns
        self.live = live
        self.workers = workers
        self.made: Bends | None = None  # columns behind the kept ones, made wherever they are needed
        self._sizes: Tensor | None = None  # largest magnitudes of the kept columns, or more; None where not known
        self._lean = False  # whether a value depends on every column

    @property
    def width(self) -> int:
        """Columns, kept and made."""
        return self.columns.shape[1] + (0 if self.made is None else len(self.made.constant))

    def affine(self, index: int, node: Node, constants: Constants) -> None:
        """Carry out an affine or a structural node."""
        width = max((self.live[source].width for source in node.inputs), default=0)
        given = [self.live[source].widened(width) for source in node.inputs]
        operation, prepared = TABLE[node.operation], constants[index - 1]
        inputs, matrices = [value.constant for value in given], [value.matrix for value in given]
        output = operation.forward(node, inputs, prepared)
        patches = patch_numbers(node, tuple(inputs[0].shape[1:])) if inputs else 0
        with self.workers.together(max(width, 1) * output.numel()):
            if patches and matrices[0] is not None:
                # Of all columns at once the patches would be many times the matrix.
                some = matrices[0].split(max(1, _PATCH_BYTES // (8 * patches)), dim=1)
                found = [operation.tangent(node, inputs, output, [columns], prepared, False) for columns in some]
                matrix: Tensor | None = torch.cat([part for part in found if part is not None], dim=1)
            else:
                matrix = operation.tangent(node, inputs, output, matrices, prepared, False)
        self.live[index] = Live(output, matrix)

    def values(self, constant: Tensor, matrix: Tensor) -> Tensor:
        """constant + columns @ matrix [vertices, features] at all vertices."""
        found = self.columns.new_empty(len(self.columns), len(constant))

        def fill(at: int, end: int) -> None:
            for first, last in self._blocks(at, end, len(constant)):
                self.values_at(constant, matrix, first, last, found[first:last])

        self.workers.over(fill, len(found), matrix.numel())
        return found

    def values_at(self, constant: Tensor, matrix: Tensor, at: int, end: int, out: Tensor) -> None:
        """The same at vertices from `at` to `end`, into `out`."""
        stored = min(self.columns.shape[1], len(matrix))
        torch.addmm(constant, self.columns[at:end, :stored], matrix[:stored], out=out)
        if self.made is not None and len(matrix) > stored:
            out.addmm_(self._made_at(at, end), matrix[stored:])

    def ranges(self, constant: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Least and largest value of each feature over the vertices, and all values if they were few enough.

        Raises:
            NotFinite: a value is not finite.
        """
        features, vertices = len(constant), len(self.columns)
        found = constant.new_empty(vertices, features) if 8 * features * vertices <= _AT_ONCE_BYTES else None

        def measure(at: int, end: int) -> tuple[Tensor, Tensor]:
            low, high = torch.full_like(constant, torch.inf), torch.full_like(constant, -torch.inf)
            range_of = (low.numpy(), high.numpy())
            for first, last in self._blocks(at, end, features):
                block = constant.new_empty(last - first, features) if found is None else found[first:last]
                self.values_at(constant, matrix, first, last, block)
                column_ranges(block.numpy(), *range_of)
            return low, high

        return *finite(*united(self.workers.over(measure, vertices, matrix.numel()))), found

    def bounded_ranges(self, constant: Tensor, matrix: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Ranges that are exact as far as it matters which levels each feature passes.

        Arguments:
            constant, matrix: [features] and [columns, features].
            levels: numbers that matter.

        Returns:
            Least and largest value over the vertices of each feature that passes no level; bounds of those of others,
            which pass the same levels or more.

        Raises:
            NotFinite: a value is not finite.
        """
        clusters = self.clusters()
        low, high = finite(*clusters.bounds(constant, matrix))
        unclear = passes(low, high, levels)
        # What is below a level in one cluster and above it in another passes it.
        certain = ((high.amin(0) < levels[:, None]) & (low.amax(0) > levels[:, None])).any(0)
        unclear &= ~certain

        def settle(first: int, last: int) -> None:
            for item in range(first, last):
                features = unclear[item].nonzero().flatten()
                if not len(features):
                    continue
                rows = self._rows(clusters.order[clusters.starts[item] : clusters.starts[item + 1]], len(matrix))
                values = torch.addmm(constant[features], rows, matrix[:, features])
                low[item, features], high[item, features] = values.aminmax(dim=0)

        self.workers.over(settle, len(low), _VERY_MUCH)
        return low.amin(0), high.amax(0)

    def worth_bounding(self, matrix: Tensor) -> bool:
        """Whether bounds over clusters are likely to be cheaper than all values."""
        return len(self.columns) >= _MANY and len(self.columns) * matrix.numel() >= _WORTH_BOUNDING

    def clusters(self) -> Clusters:
        """The vertices in clusters, with the ranges of the columns over each."""
        order, starts = clustered(self.points)
        low, high = (
            torch.full((len(starts) - 1, self.width), end, dtype=torch.float64) for end in (torch.inf, -torch.inf)
        )

        def measure(first: int, last: int) -> None:
            for item in range(first, last):
                rows = self._rows(order[starts[item] : starts[item + 1]], self.width)
                column_ranges(rows.numpy(), low[item].numpy(), high[item].numpy())

        self.workers.over(measure, len(low), _VERY_MUCH)
        return Clusters(order, starts, (low + high) / 2, (high - low) / 2)

    def floors(self, constant: Tensor, matrix: Tensor) -> Tensor:
        """What rounding may make of 0: a few eps times the sum of the magnitudes of what is added up."""
        if self._sizes is None:
            low, high = self._extremes()
            self._sizes = torch.maximum(-low, high)
        sizes = self._sizes
        if self.made is not None and len(matrix) > len(sizes):
            sizes = torch.cat([sizes, self.made.reach])
        factor = _ROUNDINGS * torch.finfo(torch.float64).eps
        return torch.from_numpy(sum_sizes(constant.numpy(), matrix.numpy(), sizes.numpy(), factor))

    def grown(self, values: Tensor, found: Split, cuts: Cuts | None = None) -> Tensor:
        """Values at the old vertices, and at the new ones those between their parents'."""
        rows = torch.empty(len(found.subdivision.points), values.shape[1], dtype=torch.float64)
        before, width = len(values), values.shape[1]
        rows[:before] = values
        kept, new = rows.numpy(), (before, found.parents, found.shares)
        self.workers.over(lambda low, high: interpolate(kept, *new, low, high), width, len(found.parents))
        if cuts is not None:
            settle_levels(kept, before, found.functions, cuts.columns, cuts.levels)
        return rows

    def follow(self, found: Split) -> None:
        """Go over to the vertices of a split."""
        self.columns = self.grown(self.columns, found)  # between the old ones, so that sizes hold

    def replace(self, columns: Tensor, reach: Tensor) -> None:
        """Keep other columns instead of all there were, on each of which the only value depends."""
        self.made, self.columns, self._sizes, self._lean = None, columns, reach, True

    def keep_made(self) -> None:
        """Keep the made columns like the others."""
        if self.made is not None:
            made = [self._made_at(at, end) for at, end in self._blocks(0, len(self.columns), 1)]
            self.columns, self.made = torch.cat([self.columns, torch.cat(made)], dim=1), None
            self._sizes = None

    def make(self, bends: Bends) -> None:
        """Have more columns, made wherever they are needed."""
        blank = bends.matrix.new_zeros(self.columns.shape[1] - len(bends.matrix), len(bends.constant))
        self.made = replace(bends, matrix=torch.cat([bends.matrix, blank]))

    def append(self, columns: Tensor) -> None:
        """Keep more columns."""
        self.keep_made()
        self.columns, self._sizes = torch.cat([self.columns, columns], dim=1), None

    def narrow(self, units: int) -> bool:
        """Whether so many more columns had better be made where they are needed."""
        return self.made is None and units >= _NARROW * self.columns.shape[1]

    def prune(self) -> None:
        """Let go of the columns that no value depends on."""
        if self._lean:
            self._lean = False
            return
        used = torch.zeros(self.width, dtype=torch.bool)
        for value in self.live.values():
            _, matrix = value.flat()
            used[: len(matrix)] |= (matrix != 0).any(dim=1)
        stored = self.columns.shape[1]
        if self.made is not None and used[stored:].any():
            used[:stored] = True
        if used.all():
            return
        kept = used.nonzero().flatten()
        self.columns, self._sizes = self.columns[:, used[:stored]], None
        if self.made is not None:
            units = used[stored:].nonzero().flatten()
            self.made = self.made.chosen(units) if len(units) else None
        for index, value in self.live.items():
            if value.matrix is not None:
                self.live[index] = Live(value.constant, value.matrix[:, kept[kept < value.width]])

    def _extremes(self) -> tuple[Tensor, Tensor]:
        """Least and largest number of each kept column."""
        width = self.columns.shape[1]

        def measure(at: int, end: int) -> tuple[Tensor, Tensor]:
            low, high = (torch.full((width,), limit, dtype=torch.float64) for limit in (torch.inf, -torch.inf))
            column_ranges(self.columns[at:end].numpy(), low.numpy(), high.numpy())
            return low, high

        return united(self.workers.over(measure, len(self.columns), width))

    def _rows(self, vertices: Tensor, width: int) -> Tensor:
        """The first columns, kept and made, at some vertices."""
        kept = self.columns[vertices]
        if self.made is None or width <= kept.shape[1]:
            return kept[:, :width].contiguous()
        return torch.cat([kept, self._made_of(kept)[:, : width - kept.shape[1]]], dim=1)

    def _made_at(self, at: int, end: int) -> Tensor:
        return self._made_of(self.columns[at:end])

    def _made_of(self, kept: Tensor) -> Tensor:
        assert self.made is not None
        found = torch.addmm(self.made.constant, kept, self.made.matrix)
        self.made.apply(found)
        return found

    def _blocks(self, at: int, end: int, width: int) -> Iterator[tuple[int, int]]:
        step = max(64, _BLOCK_BYTES // (8 * max(width, self.width, 1)))
        for first in range(at, end, step):
            yield first, min(first + step, end)
