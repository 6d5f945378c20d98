"""A sweep as compiled kernels run it: buffers of lines of tangents, a step for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Affine", "Buffer", "Combine", "Part", "Program", "Rounded"]

Places = NDArray[np.int32]
Numbers = NDArray[np.float32]
Words = NDArray[np.uint16]


@dataclass(frozen=True)
class Buffer:
    """Lines of tangents: one of `stride` numbers for each unit of a layer.

    Attributes:
        units: lines.
        factor: the value whose factor the lines are multiplied by; lines where that is 0 are never written or read;
            None where they stand without a factor.
        order: [units], the place of a unit in that value, -1 for none, whose factor is 0; None where both orders agree.
        constant: the lines [1, units, stride] of a value with the same tangents at every latent; None for others.
    """

    units: int
    factor: int | None
    order: Tensor | None
    constant: Numbers | None


@dataclass(frozen=True)
class Affine:
    """A dense layer or convolution; see `kernels.layers.affine`.

    Attributes:
        made: buffer written.
        source: buffer read.
        lines: of the input's units.
        channels: of an input site.
        weights: float32.
        taps: input site and column.
        starts: of a site's taps.
        bases: line of the weights of a site's first unit.
        segments: what is done for every row in turn.
        outputs: of a site.
    """

    made: int
    source: int
    lines: Places
    channels: int
    weights: Numbers
    taps: Places
    starts: Places
    bases: Places
    segments: Places
    outputs: int


@dataclass(frozen=True)
class Rounded:
    """A dense layer whose weights and tangents are rounded to bfloat16; see `kernels.rounded.affine_rounded`.

    Attributes:
        made: buffer written.
        source: buffer read.
        lines: of the input's units.
        weights: bits of bfloat16.
        segments: what is done for every row in turn.
    """

    made: int
    source: int
    lines: Places
    weights: Words
    segments: Places


@dataclass(frozen=True)
class Part:
    """One summand of a combination.

    Attributes:
        source: buffer read.
        factor: the value whose factor its lines are still to be multiplied by; None where they have theirs.
        places: [units made], the place of each in that value; -1 for none.
        lines: [units made], the line of each; -1 for none.
        coefficients: [units made].
    """

    source: int
    factor: int | None
    places: Tensor
    lines: Places
    coefficients: Tensor


@dataclass(frozen=True)
class Combine:
    """A sum of copies of lines.

    Attributes:
        made: buffer written.
        parts: summands.
    """

    made: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Program:
    """What is run for the tangents of some rows.

    Attributes:
        steps: in order.
        buffers: all of them.
        columns: d.
        stride: numbers in a line, d filled up.
        last: for each buffer the step that reads it last.
        target: the buffer of the Jacobian; its lines are outputs, in any order.
    """

    steps: tuple[Affine | Rounded | Combine, ...]
    buffers: tuple[Buffer, ...]
    columns: int
    stride: int
    last: Sequence[int]
    target: int

    @property
    def rounds(self) -> bool:
        """Whether some layer rounds its weights and tangents to bfloat16."""
        return any(isinstance(step, Rounded) for step in self.steps)
