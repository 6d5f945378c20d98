"""The sites of a convolution: which pixels of the input each pixel of the output is made of, and by which weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.generator.graph import Node
from magnet_service.geometry.sweep.moves import Convolve

__all__ = ["Sites", "sites_of"]


@dataclass(frozen=True)
class Kind:
    """What sites have in common.

    Attributes:
        group: of channels.
        places: for each output pixel of a site, the place of the kernel by which it reads each input pixel.
    """

    group: int
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Sites:
    """Output pixels that are made of the same input pixels are one site, with the channels of all of them.

    Those of a transposed convolution of stride s are s x s of a kind. Their taps then are listed once, and last layers
    of a few channels have outputs enough for whole blocks. At the borders a site keeps its form: units beyond the
    output have no place in it, and input pixels beyond the input no tap.

    Attributes:
        order: [units], place in the value of each unit, site after site, -1 for none.
        outputs: units of a site.
        taps: [taps, 2], site of the input and first column of the weights.
        starts: [sites + 1], of the taps of each.
        bases: [sites], line of the weights of its first unit.
        kinds: of the sites, in the order of the weights.
    """

    order: Tensor
    outputs: int
    taps: NDArray[np.int32]
    starts: NDArray[np.int32]
    bases: NDArray[np.int32]
    kinds: Sequence[Kind]

    def weights(self, move: Convolve) -> Tensor:
        """The weights' lines, in float64: units of a kind of site, by input pixels and their channels."""
        groups, weight = move.node.integer("groups"), move.weight
        if move.node.flag(
            "transposed"
        ):  # [inputs, outputs of a group, high, wide] to [outputs, inputs of a group, ...]
            weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        by_place = weight.flatten(2).permute(2, 0, 1)
        each, width = by_place.shape[1] // groups, max(len(kind.places[0]) for kind in self.kinds)
        lines = torch.zeros(len(self.kinds) * self.outputs, width, by_place.shape[2], dtype=weight.dtype)
        for number, kind in enumerate(self.kinds):
            channels = slice(kind.group * each, (kind.group + 1) * each)
            for pixel, places in enumerate(kind.places):
                first = number * self.outputs + pixel * each
                lines[first : first + each, : len(places)] = by_place[list(places), channels].transpose(0, 1)
        return lines.flatten(1)


def sites_of(node: Node, given: tuple[int, ...], made: tuple[int, ...]) -> Sites:
    """The sites of a convolution.

    Arguments:
        node: of the graph.
        given: shape of a row of its input, channels first.
        made: of its output.

    Returns:
        The sites.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    groups, kernel_width = node.integer("groups"), node.tensors["weight"].shape[3]
    each, width = made[0] // groups, given[0] // groups
    down, across = (along(node, axis, given[1 + axis], made[1 + axis]) for axis in (0, 1))
    outputs = each * max(map(len, down.values())) * max(map(len, across.values()))
    order: list[Tensor] = []
    taps: list[tuple[int, int]] = []
    starts, bases = [0], list[int]()
    kinds: dict[Kind, int] = {}
    channels = torch.arange(each)
    for (rows, highs), (columns, wides) in product(down.items(), across.items()):
        places = tuple(
            tuple(high * kernel_width + wide for high, wide in product(tall, broad))
            for (_, tall), (_, broad) in product(highs, wides)
        )
        for group in range(groups):
            bases.append(kinds.setdefault(Kind(group, places), len(kinds)) * outputs)
            for number, (row, column) in enumerate(product(rows, columns)):
                if 0 <= row < given[1] and 0 <= column < given[2]:
                    taps.append(((row * given[2] + column) * groups + group, number * width))
            starts.append(len(taps))
            units = torch.full((outputs,), -1, dtype=torch.int64)
            for number, ((row, _), (column, _)) in enumerate(product(highs, wides)):
                if 0 <= row < made[1] and 0 <= column < made[2]:
                    there = (group * each + channels) * (made[1] * made[2]) + row * made[2] + column
                    units[number * each : (number + 1) * each] = there
            order.append(units)
    return Sites(
        order=torch.cat(order),
        outputs=outputs,
        taps=np.array(taps, np.int32).reshape(-1, 2),
        starts=np.array(starts, np.int32),
        bases=np.array(bases, np.int32),
        kinds=list(kinds),
    )


def along(node: Node, axis: int, size: int, length: int) -> dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]]:
    """By places of the input along one axis, those of the output that are made of them, each with those of the kernel.

    Places beyond the borders are counted like others, so that sites at the borders look like those inside.
    """
    stride = node.integers("stride")[axis]
    found: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
    for end in range(-stride, length + stride):
        met = places_met(node, axis, end)
        found.setdefault(tuple(place for place, _ in met), []).append((end, tuple(tap for _, tap in met)))
    return {places: ends for places, ends in found.items() if any(0 <= end < length for end, _ in ends)}


def places_met(node: Node, axis: int, end: int) -> list[tuple[int, int]]:
    """Along one axis, the places of the input and of the kernel that a place of the output is made of."""
    stride, padding = node.integers("stride")[axis], node.integers("padding")[axis]
    dilation = node.integers("dilation")[axis]
    met: list[tuple[int, int]] = []
    for tap in range(node.tensors["weight"].shape[2 + axis]):
        if not node.flag("transposed"):
            met.append((end * stride - padding + tap * dilation, tap))
        elif (end + padding - tap * dilation) % stride == 0:
            met.append(((end + padding - tap * dilation) // stride, tap))
    return sorted(met)
