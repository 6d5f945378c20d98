"""Batch norm in evaluation: a scale and a shift for every channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operation import Draft, Kind, Lowered, Node, Operation
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.statistics import standardized_groups
from magnet_service.generator.operations.tangents import through_slope

__all__ = ["BATCH_NORM", "OPERATIONS"]

TRAINING_FLAG = {"aten.batch_norm.default": "training", "aten.native_batch_norm.default": "training"}


def lower_batch_norm(call: CallReader) -> Lowered:
    """Batch norm (and instance norm) by stored statistics; instance norm by those of the row itself."""
    if call.call.target == "aten.instance_norm.default" and call.flag("use_input_stats"):
        value = call.value("input")
        return standardized_groups(call, value, value.shape[0] if value.shape else 0)
    flag = TRAINING_FLAG.get(call.call.target)
    if flag is not None and call.flag(flag):
        call.refuse("it uses the statistics of its input; export the generator in evaluation mode")
    value = call.value("input")
    mean, variance = call.optional_constant("running_mean"), call.optional_constant("running_var")
    if mean is None or variance is None:
        call.refuse("it stores no running statistics, so rows would not be independent")
    tensors = {"mean": mean, "variance": variance}
    for name in ("weight", "bias"):
        tensor = call.optional_constant(name)
        if tensor is not None:
            tensors[name] = tensor
    if not value.shape or any(tensor.shape != value.shape[:1] for tensor in tensors.values()):
        call.refuse(f"its {mean.numel()} channels do not fit a row of shape {value.shape}")
    attributes = {"epsilon": call.number("eps", 1e-5), "spatial": len(value.shape) - 1}
    return Draft(inputs=(value,), attributes=attributes, tensors=tensors, operation="batch_norm")


def prepare_batch_norm(node: Node, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """scale = weight / sqrt(variance + epsilon), shift = bias - mean scale, shaped to broadcast over a row."""
    scale = torch.rsqrt(tensors["variance"] + node.number("epsilon"))
    if "weight" in tensors:
        scale = scale * tensors["weight"]
    shift = -tensors["mean"] * scale
    if "bias" in tensors:
        shift = shift + tensors["bias"]
    shape = (-1,) + (1,) * node.integer("spatial")
    return {"scale": scale.reshape(shape), "shift": shift.reshape(shape)}


def batch_norm_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Value scale + shift."""
    return torch.addcmul(constants["shift"], inputs[0], constants["scale"])


def batch_norm_slope(
    node: Node, inputs: Sequence[Tensor], output: Tensor, constants: Mapping[str, Tensor]
) -> Tensor | float:
    """Scale."""
    return constants["scale"]


BATCH_NORM = Operation(
    name="batch_norm",
    kind=Kind.AFFINE,
    targets=frozenset(
        {
            "aten.batch_norm.default",
            "aten.native_batch_norm.default",
            "aten._native_batch_norm_legit_no_training.default",
            "aten.instance_norm.default",
        }
    ),
    lower=lower_batch_norm,
    forward=batch_norm_forward,
    tangent=through_slope(batch_norm_slope),
    slope=batch_norm_slope,
    prepare=prepare_batch_norm,
    elementwise=True,
)

OPERATIONS = (BATCH_NORM,)
