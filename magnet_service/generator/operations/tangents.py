"""Rules by which tangents pass through whole families of operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from magnet_service.generator.operations.operation import Node

__all__ = ["Slope", "columnwise", "through_linear", "through_slope", "times"]

Linear = Callable[[Node, Tensor, Mapping[str, Tensor]], Tensor]
Slope = Callable[[Node, Sequence[Tensor], Tensor, Mapping[str, Tensor]], Tensor | float]


def columnwise(apply: Callable[[Tensor], Tensor], tangents: Tensor) -> Tensor:
    """Apply a map of batches to every column of the tangents, as one batch of rows x columns.

    Arguments:
        apply: [n, *shape] -> [n, *shape of the result].
        tangents: [rows or 1, columns, *shape].

    Returns:
        [rows or 1, columns, *shape of the result].

    Accuracy: that of `apply`.
    """
    result = apply(tangents.flatten(0, 1))
    return result.reshape(tangents.shape[0], tangents.shape[1], *result.shape[1:])


def through_linear(
    linear: Linear,
) -> Callable[[Node, Sequence[Tensor], Tensor, Sequence[Tensor | None], Mapping[str, Tensor], bool], Tensor | None]:
    """The tangent rule of an affine map of one value: its linear part, applied to every column.

    Arguments:
        linear: (node, values [n, *shape], constants) -> linear part of the map.

    Returns:
        A rule as `Operation.tangent` wants it.

    Accuracy: that of `linear`.
    """

    def tangent(
        node: Node,
        inputs: Sequence[Tensor],
        output: Tensor,
        tangents: Sequence[Tensor | None],
        constants: Mapping[str, Tensor],
        reuse: bool,
    ) -> Tensor | None:
        (given,) = tangents
        if given is None:
            return None
        return columnwise(lambda batch: linear(node, batch, constants), given)

    return tangent


def through_slope(
    slope: Slope,
) -> Callable[[Node, Sequence[Tensor], Tensor, Sequence[Tensor | None], Mapping[str, Tensor], bool], Tensor | None]:
    """The tangent rule of an elementwise map of one value: every column times the slope at its own place.

    Arguments:
        slope: as `Operation.slope`.

    Returns:
        A rule as `Operation.tangent` wants it.

    Accuracy: that of `slope`, and one rounding.
    """

    def tangent(
        node: Node,
        inputs: Sequence[Tensor],
        output: Tensor,
        tangents: Sequence[Tensor | None],
        constants: Mapping[str, Tensor],
        reuse: bool,
    ) -> Tensor | None:
        (given,) = tangents
        if given is None:
            return None
        factor = slope(node, inputs, output, constants)
        if isinstance(factor, Tensor) and factor.dim() == inputs[0].dim():
            factor = factor.unsqueeze(1)
        return times(given, factor, reuse)

    return tangent


def times(tangents: Tensor, factor: Tensor | float, reuse: bool) -> Tensor:
    """Tangents times a factor that broadcasts over them, in place where that is allowed and the shape stays.

    Arguments:
        tangents: [rows or 1, columns, *shape].
        factor: a number, or a tensor that broadcasts against the tangents.
        reuse: whether the tangents may be written over.

    Returns:
        The product, [rows or 1, columns, *shape of the broadcast].

    Accuracy: one rounding an element.
    """
    if not reuse:
        return tangents * factor
    if isinstance(factor, Tensor):
        wide = (1,) * (tangents.dim() - factor.dim()) + tuple(factor.shape)
        if factor.dim() > tangents.dim() or any(f not in (1, t) for f, t in zip(wide, tangents.shape, strict=True)):
            return tangents * factor
    return tangents.mul_(factor)
