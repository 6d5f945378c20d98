"""The independent reference: a parsed program run plainly, one call of torch's own operator a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.errors import DamagedData, InvalidInput, Refused, UnsupportedOperation
from magnet_service.generator.archive_tensors import DTYPES
from magnet_service.generator.program import Argument, BatchSize, Call, Constant, Program, Value

__all__ = ["ALLOWED", "interpret"]

_NAMES = """
    linear.default addmm.default mm.default matmul.default bmm.default baddbmm.default mv.default addmv.default
    dot.default conv1d.default conv1d.padding conv2d.default conv2d.padding conv3d.default conv3d.padding
    convolution.default _convolution.default conv_transpose1d.default conv_transpose2d.input conv_transpose3d.input
    batch_norm.default native_batch_norm.default _native_batch_norm_legit_no_training.default
    _native_batch_norm_legit.no_stats instance_norm.default group_norm.default native_group_norm.default
    layer_norm.default native_layer_norm.default rms_norm.default linalg_vector_norm.default relu.default
    relu_.default leaky_relu.default leaky_relu_.default prelu.default _prelu_kernel.default abs.default
    abs_.default hardtanh.default hardtanh_.default relu6.default relu6_.default clamp.default clamp_.default
    clamp.Tensor clamp_min.default clamp_min_.default clamp_max.default clamp_max_.default threshold.default
    threshold_.default maximum.default minimum.default where.self where.ScalarOther where.ScalarSelf where.Scalar
    gt.Scalar gt.Tensor ge.Scalar ge.Tensor lt.Scalar lt.Tensor le.Scalar le.Tensor eq.Scalar ne.Scalar sign.default
    hardsigmoid.default hardsigmoid_.default hardswish.default hardswish_.default softshrink.default
    hardshrink.default tanh.default tanh_.default sigmoid.default sigmoid_.default silu.default silu_.default
    gelu.default gelu_.default softplus.default elu.default elu_.default selu.default selu_.default celu.default
    celu_.default mish.default mish_.default exp.default exp_.default expm1.default log.default log1p.default
    log1p_.default log_sigmoid.default logaddexp.default sqrt.default sqrt_.default rsqrt.default rsqrt_.default
    reciprocal.default reciprocal_.default square.default square_.default sin.default sin_.default cos.default
    cos_.default atan.default erf.default tan.default sinh.default cosh.default asinh.default pow.Tensor_Scalar
    pow.Tensor_Tensor pow.Scalar softmax.int _softmax.default log_softmax.int _log_softmax.default add.Tensor
    add_.Tensor add.Scalar add_.Scalar sub.Tensor sub_.Tensor sub.Scalar sub_.Scalar rsub.Tensor rsub.Scalar
    mul.Tensor mul_.Tensor mul.Scalar mul_.Scalar div.Tensor div_.Tensor div.Scalar div_.Scalar neg.default
    neg_.default addcmul.default addcdiv.default lerp.Scalar lerp.Tensor positive.default view.default
    view_copy.default _unsafe_view.default reshape.default unflatten.int flatten.using_ints permute.default
    transpose.int t.default numpy_T.default mT.default movedim.int movedim.intlist swapaxes.default swapdims.default
    squeeze.default squeeze_.default squeeze.dim squeeze_.dim squeeze.dims squeeze_.dims unsqueeze.default
    unsqueeze_.default expand.default expand_copy.default expand_as.default view_as.default reshape_as.default
    repeat.default repeat_interleave.self_int tile.default cat.default concat.default concatenate.default
    stack.default hstack.default slice.Tensor select.int narrow.default index_select.default index.Tensor
    _unsafe_index.Tensor split.Tensor split.sizes split_with_sizes.default chunk.default unbind.int flip.default
    roll.default alias.default detach.default detach_.default clone.default contiguous.default lift_fresh.default
    lift_fresh_copy.default dropout.default dropout_.default feature_dropout.default alpha_dropout.default
    feature_alpha_dropout.default native_dropout.default _to_copy.default to.dtype to.dtype_layout to.device
    to.other type_as.default full.default zeros.default ones.default full_like.default zeros_like.default
    ones_like.default scalar_tensor.default new_zeros.default new_ones.default new_full.default arange.default
    arange.start arange.start_step upsample_nearest1d.default upsample_nearest1d.vec upsample_nearest2d.default
    upsample_nearest2d.vec upsample_nearest3d.default upsample_nearest3d.vec _upsample_nearest_exact1d.default
    _upsample_nearest_exact1d.vec _upsample_nearest_exact2d.default _upsample_nearest_exact2d.vec
    upsample_linear1d.default upsample_linear1d.vec upsample_bilinear2d.default upsample_bilinear2d.vec
    upsample_bicubic2d.default upsample_bicubic2d.vec upsample_trilinear3d.default upsample_trilinear3d.vec
    avg_pool1d.default avg_pool2d.default avg_pool3d.default adaptive_avg_pool1d.default adaptive_avg_pool2d.default
    _adaptive_avg_pool2d.default mean.dim mean.default sum.dim_IntList sum.default amax.default amin.default
    max_pool1d.default max_pool2d.default max_pool2d_with_indices.default max_pool3d.default
    max_pool3d_with_indices.default max_pool1d_with_indices.default adaptive_max_pool1d.default
    adaptive_max_pool2d.default constant_pad_nd.default pad.default reflection_pad1d.default
    reflection_pad2d.default replication_pad1d.default replication_pad2d.default pixel_shuffle.default
    pixel_unshuffle.default channel_shuffle.default glu.default scaled_dot_product_attention.default
    max.dim min.dim var.dim var.correction std.dim std.correction var_mean.correction
    any.default any.dim any.dims argmax.default bitwise_and.Tensor embedding.default eq.Tensor
    gather.default logical_and.default logical_not.default ne.Tensor new_full.default new_ones.default
    new_zeros.default one_hot.default
    ones_like.default type_as.default zeros_like.default
    _reshape_copy.default div.Tensor_mode rrelu.default _weight_norm.default _weight_norm_interface.default
"""
ALLOWED = frozenset(f"aten.{name}" for name in _NAMES.split())
_Named = TypeVar("_Named")
_TRAINING = ("train", "training")
_FAILURES = (RuntimeError, TypeError, ValueError, IndexError, OverflowError)
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES.values()}
_MEMORY_FORMATS = {
    "contiguous_format": torch.contiguous_format,
    "channels_last": torch.channels_last,
    "channels_last_3d": torch.channels_last_3d,
    "preserve_format": torch.preserve_format,
}
_OPTIONS: Mapping[str, Callable[[str, torch.dtype], object]] = {
    "dtype": lambda text, working: _dtype(text, working),
    "device": lambda text, working: torch.device("cpu"),
    "layout": lambda text, working: torch.strided,
    "memory_format": lambda text, working: _named(_MEMORY_FORMATS, text),
}


def interpret(
    program: Program,
    latents: Float[Tensor, "rows latent"],
    conditions: Tensor | None = None,
    *,
    replacing: Mapping[str, Tensor] | None = None,
) -> Float[Tensor, "rows ..."]:
    """Run a program as its file says, call by call, through torch's own operators.

    It shares no rule with the engine, is differentiable by autograd, and is slow on purpose.

    Arguments:
        program: any program whose calls are all in `ALLOWED`.
        latents: [rows, d] on the CPU, float32 or float64: constants are cast to the same.
        conditions: of a conditional program, one for each row [rows, *its shape].
        replacing: values by name that the rest of the program shall read instead of what its calls compute.

    Returns:
        [rows, *output_shape] in the dtype of the latents; also a program of a fixed batch takes any number of rows.

    Raises:
        UnsupportedOperation: a call outside `ALLOWED`.
        Refused: batch norm or dropout in training mode.
        InvalidInput: latents of another width (field `latents`), or conditions that are missing, of another shape, or
            not taken (field `condition`).
        DamagedData: a call that torch refuses: its arguments do not fit.

    Accuracy: that of torch's operators in the dtype of the latents.
    """
    width = torch.Size(program.latent_shape).numel()
    if latents.ndim != 2 or latents.shape[1] != width:
        raise InvalidInput(f"latents of shape {list(latents.shape)} given, [rows, {width}] needed.", field="latents")
    for call in program.calls:
        if any(call.arguments.get(flag) is True for flag in _TRAINING):
            raise Refused(f"{call.place}: {call.target} is in training mode; call .eval() and export again.")
        if call.target not in ALLOWED:
            raise UnsupportedOperation(
                f"{call.place}: {call.target} is not among the operations of the reference.",
                metadata={"target": call.target, "place": call.place},
            )
    inplace = any(call.target.split(".")[1].endswith("_") for call in program.calls)
    # A copy where something writes in place: neither the caller's latents nor the program's constants may change.
    values = {program.latent: (latents.clone() if inplace else latents).reshape(-1, *program.latent_shape)}
    if program.condition is not None or conditions is not None:
        values.update(_conditions(program, conditions, len(latents), latents.dtype))
    constants = {
        name: (tensor.to(latents.dtype) if tensor.is_floating_point() else tensor)
        for name, tensor in program.constants.items()
    }
    if inplace:
        constants = {name: tensor.clone() for name, tensor in constants.items()}
    for call in program.calls:
        results = _run(_stated(call, program), values, constants, len(latents), latents.dtype)
        values.update(zip(call.outputs, results, strict=False))
        for name in call.outputs:
            if replacing is not None and name in replacing:
                values[name] = replacing[name].clone()  # what follows may write over it
    output = values.get(program.output)
    if output is None or output.ndim < 2 or len(output) != len(latents):
        raise DamagedData(f"The program returns no tensor of shape [{len(latents)}, ...]: its rows are not its batch.")
    return output


def _conditions(program: Program, given: Tensor | None, rows: int, dtype: torch.dtype) -> dict[str, Tensor]:
    expected = program.condition
    if expected is None or given is None or tuple(given.shape) != (rows, *expected.shape):
        taken = "no conditions are taken" if expected is None else f"conditions of shape {[rows, *expected.shape]}"
        raise InvalidInput(
            f"{'none' if given is None else list(given.shape)} given as conditions: {taken}.", field="condition"
        )
    # A copy: something may write over it in place.
    return {expected.name: given.to(dtype if expected.dtype.is_floating_point else torch.int64, copy=True)}


def _stated(call: Call, program: Program) -> Call:
    """The call with what its operator would take from the working type written out: that of the file counts."""
    if call.target != "aten.rms_norm.default" or call.arguments.get("eps") is not None:
        return call
    weight = call.arguments.get("weight")
    stored = program.constants[weight.name].dtype if isinstance(weight, Constant) else torch.float32
    return replace(call, arguments={**call.arguments, "eps": torch.finfo(stored).eps})


def _run(
    call: Call, values: Mapping[str, Tensor], constants: Mapping[str, Tensor], rows: int, dtype: torch.dtype
) -> list[Tensor]:
    def resolve(argument: Argument) -> object:
        if isinstance(argument, Value):
            return values[argument.name]
        if isinstance(argument, Constant):
            return constants[argument.name]
        if isinstance(argument, BatchSize):
            return rows
        return [resolve(item) for item in argument] if isinstance(argument, tuple) else argument

    namespace, name, overload = call.target.split(".")
    operator = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    try:
        arguments = {
            key: _OPTIONS[key](item, dtype) if key in _OPTIONS and isinstance(item, str) else resolve(item)
            for key, item in call.arguments.items()
        }
        result = operator(**arguments)
    except _FAILURES as error:
        raise DamagedData(f"{call.place}: {call.target} cannot be carried out: {str(error).strip()[:300]}") from error
    return list(result) if isinstance(result, list | tuple) else [result]


def _dtype(text: str, working: torch.dtype) -> torch.dtype:
    dtype = _named(_DTYPES, text)
    return working if dtype.is_floating_point else dtype


def _named(table: Mapping[str, _Named], text: str) -> _Named:
    # A file's text is looked up here and never among the attributes of torch.
    if text not in table:
        raise ValueError(f"{text[:80]!r} is none of {', '.join(table)}.")
    return table[text]
