"""What a sweep does for one value: the kinds of step that tangents take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from magnet_service.generator.graph import Node
from magnet_service.generator.operations import Operation
from magnet_service.geometry.sweep.spots import Spots

__all__ = ["Constant", "Convolve", "Dense", "Move", "Rearrange", "Rule", "Scale", "sources_of"]


@dataclass(frozen=True)
class Constant:
    """A value whose tangents are the same at every latent, as those of the first affine layer: its own weights.

    Attributes:
        tangents: [1, columns, *shape].
    """

    tangents: Tensor


@dataclass(frozen=True)
class Scale:
    """An elementwise operation: the tangents stay those of its input, the slope goes into the factor.

    Attributes:
        source: value it reads.
        node: of the graph.
        operation: of the table.
        constant: the slope where it is one constant for all latents; None where it depends on them.
        folded: whether that constant already stands in the weights before it.
    """

    source: int
    node: Node
    operation: Operation
    constant: Tensor | None
    folded: bool


@dataclass(frozen=True)
class Rearrange:
    """A structural operation of one value: tangents and factor are rearranged alike."""

    index: int
    source: int
    node: Node
    operation: Operation


@dataclass(frozen=True)
class Dense:
    """A dense layer.

    Attributes:
        source: value it reads.
        weight: [outputs, inputs].
        gathers: whether idle inputs are worth leaving out.
        columns: the transposed weight in blocks of outputs, each [inputs, outputs of the block], where inputs are left
            out and all outputs are wanted; empty otherwise.
        narrow: the value whose factor says which outputs are wanted; None where all are.
    """

    source: int
    weight: Tensor
    gathers: bool = False
    columns: tuple[Tensor, ...] = ()
    narrow: int | None = None


@dataclass(frozen=True)
class Convolve:
    """A two-dimensional convolution, transposed or not, or its equal with the strides moved into channels.

    Attributes:
        source: value it reads.
        node: of the graph.
        weight: of the convolution, channels last.
        shuffle: None; or stride, leading rows and columns to drop, of a transposed convolution in sub-pixel form.
        spots: None; or the transposed convolution by places, which leaves idle channels out.
    """

    source: int
    node: Node
    weight: Tensor
    shuffle: tuple[int, tuple[int, int]] | None = None
    spots: Spots | None = None


@dataclass(frozen=True)
class Rule:
    """Any other operation, by the table's own tangent rule.

    Attributes:
        index: value it makes.
        sources: values it reads.
        node: of the graph.
        operation: of the table.
        constants: what the rule reads, in the dtype of the tangents.
        reads_values: whether the rule looks at the values, which only those of nonlinear operations do.
    """

    index: int
    sources: tuple[int, ...]
    node: Node
    operation: Operation
    constants: Mapping[str, Tensor]
    reads_values: bool


Move = Constant | Scale | Rearrange | Dense | Convolve | Rule


def sources_of(move: Move) -> Sequence[int]:
    """The values whose tangents a move reads."""
    if isinstance(move, Constant):
        return ()
    return move.sources if isinstance(move, Rule) else (move.source,)
