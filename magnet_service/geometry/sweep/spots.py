"""Transposed convolutions of small maps, place by place: at each, only the channels that are not idle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from magnet_service.generator.graph import Node
from magnet_service.generator.operations.kernels import product
from magnet_service.geometry.sweep.active import active_units

__all__ = ["Spots", "at_spots", "find_spots"]

MOST_PLACES = 64
"""Places of a map up to which one product a place pays."""

LEAST_CHANNELS = 256
"""Input channels from which leaving out the idle ones pays."""

Taps = tuple[int, int, int, int]


@dataclass(frozen=True)
class Spots:
    """A transposed convolution as one product at each place of its input.

    Attributes:
        size: height and width of the input.
        made: channels, height and width of the output.
        stride: of the convolution, in both dimensions.
        padding: of the convolution.
        weights: by the taps that fall inside the output (first and last row, first and last column), the weight
            [inputs, rows * columns * outputs].
    """

    size: tuple[int, int]
    made: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    weights: Mapping[Taps, Tensor]

    def taps(self, row: int, column: int, kernel: tuple[int, int]) -> Taps:
        """The taps of a place that fall inside the output."""
        first, last = inside(row, self.stride[0], self.padding[0], kernel[0], self.made[1])
        start, stop = inside(column, self.stride[1], self.padding[1], kernel[1], self.made[2])
        return first, last, start, stop


def inside(place: int, stride: int, padding: int, kernel: int, size: int) -> tuple[int, int]:
    """The taps [first, last) of one dimension that land on 0 .. size - 1."""
    corner = place * stride - padding
    return max(0, -corner), min(kernel, size - corner)


def find_spots(
    node: Node, weight: Tensor, given: tuple[int, ...], made: tuple[int, ...], dtype: torch.dtype
) -> Spots | None:
    """The form of a transposed convolution by places, where it applies and pays.

    Arguments:
        node: of the graph.
        weight: [inputs, outputs, k, k], float64.
        given: shape of a row of its input.
        made: shape of a row of its output.
        dtype: of the tangents.

    Returns:
        The form; None where the map is too large, the channels too few, or the convolution grouped or dilated.

    Raises:
        Nothing.

    Accuracy: exact, a rearrangement.
    """
    channels, height, width = given
    plain = node.flag("transposed") and node.integer("groups") == 1 and set(node.integers("dilation")) == {1}
    if not plain or height * width > MOST_PLACES or channels < LEAST_CHANNELS:
        return None
    stride, padding = node.integers("stride"), node.integers("padding")
    kernel = (weight.shape[2], weight.shape[3])
    form = Spots((height, width), (made[0], made[1], made[2]), (stride[0], stride[1]), (padding[0], padding[1]), {})
    by_tap = weight.permute(0, 2, 3, 1).to(dtype)
    weights = {}
    for row in range(height):
        for column in range(width):
            taps = form.taps(row, column, kernel)
            if taps not in weights:
                weights[taps] = by_tap[:, taps[0] : taps[1], taps[2] : taps[3]].reshape(channels, -1).contiguous()
    return Spots(form.size, form.made, form.stride, form.padding, weights)


def at_spots(form: Spots, tangents: Tensor, factor: Tensor, kernel: tuple[int, int]) -> Tensor:
    """The transposed convolution of tangents times a factor that is zero at idle channels.

    Arguments:
        form: as `find_spots` gives it.
        tangents: [columns, inputs, height, width].
        factor: [inputs, height, width].
        kernel: height and width of the kernel.

    Returns:
        [columns, outputs, height, width], channels last, in the dtype of the tangents.

    Raises:
        Nothing.

    Accuracy: rounding of the dtype; products that overlap are added in float32 at least.
    """
    channels, height, width = form.made
    dtype = torch.promote_types(tangents.dtype, torch.float32)
    active = active_units(factor.flatten(1).t())
    total = torch.zeros(len(tangents), height, width, channels, dtype=dtype, device=tangents.device)
    for row in range(form.size[0]):
        for column in range(form.size[1]):
            taps = form.taps(row, column, kernel)
            units, slopes = active.of_row(row * form.size[1] + column)
            given = tangents[:, :, row, column].index_select(1, units).mul_(slopes.to(tangents.dtype))
            part = product(given, form.weights[taps].index_select(0, units).t())
            top = row * form.stride[0] - form.padding[0] + taps[0]
            left = column * form.stride[1] - form.padding[1] + taps[2]
            rows, columns = taps[1] - taps[0], taps[3] - taps[2]
            if rows > 0 and columns > 0:
                total[:, top : top + rows, left : left + columns] += part.view(-1, rows, columns, channels)
    return total.to(tangents.dtype).permute(0, 3, 1, 2)
