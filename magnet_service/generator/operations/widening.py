"""Rules that compute in the type of the values, whatever narrower type the tangents are kept in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps

from torch import Tensor

from magnet_service.generator.operations.operation import Node

__all__ = ["widely"]

Rule = Callable[[Node, Sequence[Tensor], Tensor, Sequence[Tensor | None], Mapping[str, Tensor], bool], Tensor | None]


def widely(rule: Rule) -> Rule:
    """A tangent rule carried out in the type of the node's value, its result in the type of the tangents given.

    Sums of products of tangents cancel, which a narrow type does not survive.

    Arguments:
        rule: as `Operation.tangent`.

    Returns:
        The rule; itself where both types agree.

    Accuracy: that of the rule, and one rounding to the tangents' type.
    """

    @wraps(rule)
    def tangent(
        node: Node,
        inputs: Sequence[Tensor],
        output: Tensor,
        tangents: Sequence[Tensor | None],
        constants: Mapping[str, Tensor],
        reuse: bool,
    ) -> Tensor | None:
        narrow = next((given.dtype for given in tangents if given is not None), output.dtype)
        if narrow == output.dtype:
            return rule(node, inputs, output, tangents, constants, reuse)
        wide = [None if given is None else given.to(output.dtype) for given in tangents]
        result = rule(node, inputs, output, wide, constants, True)
        return None if result is None else result.to(narrow)

    return tangent
