"""Transposed convolutions with few output channels as convolutions whose channels hold the strides."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from magnet_service.generator.operations.operation import Node

__all__ = ["Shuffle", "in_channels", "shuffled"]

Shuffle = tuple[int, tuple[int, int]]
"""Stride, and leading rows and columns to drop."""

FEW_CHANNELS = 16
"""Output channels up to which the sub-pixel form is taken: kernels leave most of their lanes idle for so few."""


def in_channels(node: Node, weight: Tensor) -> tuple[Tensor, Shuffle] | None:
    """The weight of the convolution u that holds a transposed convolution y of stride s, kernel k and padding p.

        y[o, n] = u[(o, (n + p) mod s), floor((n + p) / s)],   u[(o, a), q] = sum_j x[q - j] w[o, a + j s]

    in both dimensions. The convolution has ceil(k / s) taps and as much zero padding less one.

    Arguments:
        node: a convolution.
        weight: [inputs, outputs, k, k].

    Returns:
        The weight [outputs s s, inputs, taps, taps], and what `shuffled` needs; None where the form does not apply or
        would not pay.

    Raises:
        Nothing.

    Accuracy: exact, a rearrangement.
    """
    if weight.dim() != 4 or not node.flag("transposed") or node.integer("groups") != 1:
        return None
    inputs, outputs, kernel, other = weight.shape
    stride, padding = node.integers("stride"), node.integers("padding")
    step = stride[0]
    plain = set(node.integers("dilation")) == {1} and set(node.integers("output_padding")) == {0}
    if not plain or stride != (step, step) or step == 1 or kernel != other or outputs > FEW_CHANNELS:
        return None
    taps = -(-kernel // step)
    padded = functional.pad(weight, (0, taps * step - kernel, 0, taps * step - kernel))
    # [inputs, outputs, tap, phase, tap, phase] -> [outputs, phase, phase, inputs, tap, tap], the last tap first.
    split = padded.reshape(inputs, outputs, taps, step, taps, step).flip(2, 4)
    arranged = split.permute(1, 3, 5, 0, 2, 4).reshape(outputs * step * step, inputs, taps, taps)
    return arranged, (step, (padding[0], padding[1]))


def shuffled(
    value: Tensor,
    weight: Tensor,
    shuffle: Shuffle,
    lead: tuple[int, int],
    size: tuple[int, int, int],
    factor: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    """The transposed convolution of a batch by its sub-pixel form, times a factor.

    Arguments:
        value: [rows * columns, inputs, height, width].
        weight: as `in_channels` gives it.
        shuffle: stride, and leading rows and columns to drop.
        lead: rows and columns.
        size: channels, height and width of the result.
        factor: [rows or 1, *size], or None for 1.
        dtype: of the result.

    Returns:
        [rows, columns, *size], contiguous.

    Raises:
        Nothing.

    Accuracy: rounding of the dtype.
    """
    step, drop = shuffle
    made = torch.conv2d(value, weight, padding=weight.shape[2] - 1)
    phases = made.unflatten(0, lead).unflatten(2, (size[0], step, step))
    result = torch.empty(*lead, *size, dtype=dtype, device=value.device)
    for first in range(step):
        rows, from_row = every(first, step, drop[0], size[1])
        for second in range(step):
            columns, from_column = every(second, step, drop[1], size[2])
            part = phases[:, :, :, first, second, from_row, from_column]
            place = result[..., rows, columns]
            if factor is None:
                place.copy_(part)
            else:
                torch.mul(part, factor[:, None, :, rows, columns], out=place)
    return result


def every(phase: int, step: int, drop: int, size: int) -> tuple[slice, slice]:
    """Where a phase lands in the result, and which of its own places do: n + drop = step q + phase."""
    first = (phase - drop) % step
    count = len(range(first, size, step))
    start = (first + drop) // step
    return slice(first, size, step), slice(start, start + count)
