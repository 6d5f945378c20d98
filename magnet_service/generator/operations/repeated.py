"""Calls on what is the same for every row, as a condition is: carried out once when a graph is lowered."""

from __future__ import annotations

import torch
from torch import Tensor

from magnet_service.generator.operations.constant import FOLDABLE, LARGEST, carried_out
from magnet_service.generator.operations.operation import Spread
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.table import TARGETS

__all__ = ["REPEATABLE", "fold_rows"]

_FEW, _MORE = 2, 3
# Dropout, random slopes and batch norm have a mode with noise or state: their own entries look at the flag. Calls in
# place are left to theirs too: they would write over a constant.
_MODES = ("dropout", "rrelu", "batch_norm", "instance_norm")
_ALONE = """
    any.default any.dim any.dims argmax.default bitwise_and.Tensor chunk.default embedding.default eq.Scalar eq.Tensor
    expand_as.default gather.default ge.Scalar ge.Tensor gt.Scalar gt.Tensor index.Tensor index_select.default le.Scalar
    le.Tensor linalg_vector_norm.default logical_and.default logical_not.default lt.Scalar lt.Tensor ne.Scalar ne.Tensor
    new_full.default new_ones.default new_zeros.default one_hot.default ones_like.default split.Tensor type_as.default
    unbind.int zeros_like.default
"""
REPEATABLE = (
    FOLDABLE
    | frozenset(f"aten.{name}" for name in _ALONE.split())
    | frozenset(target for target in TARGETS if not any(word in target for word in _MODES) and "_." not in target)
)


def fold_rows(call: CallReader) -> tuple[Spread | Tensor, ...]:
    """Carry out a call whose tensors are constants and values that are equal in every row, numbers in float64.

    It is carried out on two rows and on three: a result that has as many rows, all equal, is one for every row; a
    result that does not change with their number is a constant.

    Arguments:
        call: of an operator in `REPEATABLE`, none of whose tensors depends on the latent.

    Returns:
        Its results, in order.

    Raises:
        UnsupportedOperation: the operator does not accept its arguments, counts rows, or the result would be huge.

    Accuracy: rounding of float64.
    """
    for result in carried_out(call, "meta", _MORE):
        if result.numel() > LARGEST:
            call.refuse(f"a constant of {result.numel()} numbers is too large")
    few, more = carried_out(call, "cpu", _FEW), carried_out(call, "cpu", _MORE)
    return tuple(_folded(call, first, second) for first, second in zip(few, more, strict=True))


def _folded(call: CallReader, few: Tensor, more: Tensor) -> Spread | Tensor:
    if few.shape == more.shape and torch.equal(few, more):
        return more
    leads = few.shape[:1] == (_FEW,) and more.shape[:1] == (_MORE,) and few.shape[1:] == more.shape[1:]
    if not leads or not torch.equal(more, more[:1].expand_as(more)):
        call.refuse("its result for a condition changes with the number of rows, and rows must stay independent")
    return Spread(more[:1].clone())
