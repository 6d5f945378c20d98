"""Matrix products of two values, and attention, which is made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operands import refused
from magnet_service.generator.operations.operation import (
    Attribute,
    Draft,
    Kind,
    Lowered,
    Node,
    Operation,
    Reference,
    Spread,
)
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.widening import widely

__all__ = ["ATTENTION", "MATRIX_PRODUCT", "OPERATIONS", "matrix_product"]


def matrix_product(call: CallReader, left: Reference, right: Reference) -> Draft:
    """Draft of the product of two values, row by row."""
    if len(left.shape) != len(right.shape) or len(left.shape) < 2:
        call.refuse(
            f"both factors depend on the latent, and rows of shapes {left.shape} and {right.shape} are neither two "
            f"matrices nor two stacks of as many dimensions"
        )
    return Draft(inputs=(left, right), operation="matrix_product")


def product_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Left right."""
    return torch.matmul(inputs[0], inputs[1])


@widely
def product_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """Product rule: left' right + left right'."""
    left, right = tangents
    parts = [] if left is None else [torch.matmul(left, inputs[1].unsqueeze(1))]
    if right is not None:
        parts.append(torch.matmul(inputs[0].unsqueeze(1), right))
    return sum(parts[1:], start=parts[0]) if parts else None


def lower_attention(call: CallReader) -> Lowered:
    """aten.scaled_dot_product_attention without dropout, with a constant mask or none."""
    query, key, value = (call.value(name) for name in ("query", "key", "value"))
    if call.number("dropout_p", 0.0) != 0.0:
        call.refuse("it draws dropout; export the generator in evaluation mode")
    if call.flag("enable_gqa"):
        call.refuse("groups of queries that share a key are not supported; repeat the keys before the call")
    if not (len(query.shape) == len(key.shape) == len(value.shape)) or len(query.shape) < 2:
        call.refuse(f"rows of shapes {query.shape}, {key.shape} and {value.shape} are not queries, keys and values")
    scale = call.number("scale") if call.given("scale") else 1.0 / math.sqrt(query.shape[-1])
    attributes: dict[str, Attribute] = {"scale": scale}
    tensors = mask_of(call, query, key)
    return Draft(inputs=(query, key, value), attributes=attributes, tensors=tensors)


def mask_of(call: CallReader, query: Reference | Spread, key: Reference | Spread) -> dict[str, Tensor]:
    """The mask as numbers to add to the scores of a row; none where nothing is masked."""
    pairs = (query.shape[-2], key.shape[-2])
    if call.flag("is_causal"):
        later = torch.ones(pairs, dtype=torch.bool).triu(1)
        return {"mask": torch.zeros(pairs, dtype=torch.float64).masked_fill(later, -math.inf)}
    if not call.given("attn_mask"):
        return {}
    given = call.operand("attn_mask")
    if isinstance(given, Reference):
        call.refuse("`attn_mask` depends on the latent, and only a constant is supported there")
    mask = given.tensor if isinstance(given, Spread) else given
    if mask.dim() > len(query.shape):
        if mask.dim() > len(query.shape) + 1 or mask.shape[0] != 1:
            call.refuse(f"a mask of shape {tuple(mask.shape)} does not fit scores of {pairs[0]} x {pairs[1]}")
        mask = mask[0]
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -math.inf)
    return {"mask": mask}


def shares(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """softmax(scale query key^T + mask), [rows, ..., queries, keys]."""
    scores = torch.matmul(inputs[0] * node.number("scale"), inputs[1].mT)
    return torch.softmax(scores + constants["mask"] if "mask" in constants else scores, -1)


def attention_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Values averaged by the shares of their keys."""
    return torch.matmul(shares(node, inputs, constants), inputs[2])


@widely
def attention_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """p' v + p v', where p' = p (s' - sum p s') and s' = scale (q' k^T + q k'^T)."""
    query, key, value = tangents
    share, scale = shares(node, inputs, constants).unsqueeze(1), node.number("scale")
    parts: list[Tensor] = []
    scores: list[Tensor] = []
    if query is not None:
        scores.append(torch.matmul(query * scale, inputs[1].mT.unsqueeze(1)))
    if key is not None:
        scores.append(torch.matmul(inputs[0].unsqueeze(1) * scale, key.mT))
    if scores:
        moves = sum(scores[1:], start=scores[0])
        moves = share * (moves - (share * moves).sum(-1, keepdim=True))
        parts.append(torch.matmul(moves, inputs[2].unsqueeze(1)))
    if value is not None:
        parts.append(torch.matmul(share, value))
    return sum(parts[1:], start=parts[0]) if parts else None


MATRIX_PRODUCT = Operation("matrix_product", Kind.SMOOTH, frozenset(), refused, product_forward, product_tangent)

ATTENTION = Operation(
    name="attention",
    kind=Kind.SMOOTH,
    targets=frozenset({"aten.scaled_dot_product_attention.default"}),
    lower=lower_attention,
    forward=attention_forward,
    tangent=attention_tangent,
)

OPERATIONS = (MATRIX_PRODUCT, ATTENTION)
