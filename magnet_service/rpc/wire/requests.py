"""Requests of `magnet.v1` read into what the core understands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from magnet.v1 import bank_pb2, sampling_pb2, types_pb2
from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold, Precision
from magnet_service.registry import BuildRequest, DescribeRequest
from magnet_service.rpc.wire.advice import effective_rank_from
from magnet_service.rpc.wire.conditions import class_banks_from, condition_from
from magnet_service.sampling import Base, Effort, Method, Preset, SampleRequest

__all__ = ["build_from", "describe_from", "draw_from", "manifold_from", "precision_from"]

_MANIFOLDS: Mapping[types_pb2.Manifold.ValueType, Manifold] = MappingProxyType(
    {
        types_pb2.MANIFOLD_UNSPECIFIED: Manifold.OUTPUT,
        types_pb2.MANIFOLD_OUTPUT: Manifold.OUTPUT,
        types_pb2.MANIFOLD_PRE_ACTIVATION: Manifold.PRE_ACTIVATION,
        types_pb2.MANIFOLD_FEATURES: Manifold.FEATURES,
    }
)
_PRECISIONS: Mapping[types_pb2.Precision.ValueType, Precision] = MappingProxyType(
    {
        types_pb2.PRECISION_UNSPECIFIED: Precision.FLOAT32,
        types_pb2.PRECISION_FLOAT32: Precision.FLOAT32,
        types_pb2.PRECISION_FLOAT64: Precision.FLOAT64,
        types_pb2.PRECISION_BFLOAT16: Precision.BFLOAT16,
    }
)
_METHODS: Mapping[sampling_pb2.Method.ValueType, Method] = MappingProxyType(
    {
        sampling_pb2.METHOD_UNSPECIFIED: Method.RESAMPLE,
        sampling_pb2.METHOD_RESAMPLE: Method.RESAMPLE,
        sampling_pb2.METHOD_SCREENED: Method.SCREENED,
        sampling_pb2.METHOD_SCREENED_CHAIN: Method.SCREENED_CHAIN,
        sampling_pb2.METHOD_AUTO: Method.AUTO,
    }
)
_PRESETS: Mapping[sampling_pb2.Preset.ValueType, Preset] = MappingProxyType(
    {
        sampling_pb2.PRESET_AS_TRAINED: Preset.AS_TRAINED,
        sampling_pb2.PRESET_UNIFORM: Preset.UNIFORM,
        sampling_pb2.PRESET_MODE: Preset.MODE,
        sampling_pb2.PRESET_ANTI_MODE: Preset.ANTI_MODE,
    }
)


def manifold_from(value: types_pb2.Manifold.ValueType) -> Manifold:
    """Reads a manifold; OUTPUT where none is stated."""
    return _MANIFOLDS[value]


def precision_from(value: types_pb2.Precision.ValueType) -> Precision:
    """Reads an arithmetic; FLOAT32 where none is stated."""
    return _PRECISIONS[value]


def draw_from(message: sampling_pb2.SampleRequest, *, endless: bool = False) -> SampleRequest:
    """Reads a draw.

    Arguments:
        message: one that passed the rules of its proto.
        endless: whether the stream goes on until the client leaves.

    Returns:
        The core's request; a `det_rho` is doubled into rho.

    Raises:
        InvalidInput: what can never be answered; `field` names it.

    Accuracy: exact.
    """
    target = message.WhichOneof("target")
    base, ball_radius, box = _base_from(message.base)
    bound = message.truncation.WhichOneof("bound")
    return SampleRequest(
        count=message.count,
        offset=message.offset,
        seed=message.seed if message.HasField("seed") else None,
        preset=_PRESETS[message.preset] if target == "preset" else None,
        rho={"rho": message.rho, "det_rho": 2.0 * message.det_rho}.get(target or ""),
        base=base,
        ball_radius=ball_radius,
        box=box,
        top_k=message.top_k,
        manifold=manifold_from(message.manifold),
        bank_id=message.bank_id or None,
        bank_revision=message.bank_revision or None,
        replacement=not message.without_replacement,
        truncation_psi=message.truncation.psi if bound == "psi" else None,
        truncation_norm=message.truncation.norm_bound if bound == "norm_bound" else None,
        precision=precision_from(message.precision),
        min_ess=message.min_ess,
        endless=endless,
        condition=condition_from(message.condition),
        class_banks=class_banks_from(message.class_banks),
        method=_METHODS[message.method],
        effort=Effort(message.budget.evaluations, message.budget.exact, message.budget.forwards),
        surrogate=message.surrogate or None,
    )


def build_from(message: bank_pb2.BuildBankRequest) -> BuildRequest:
    """Reads what bank to build.

    Arguments:
        message: one that passed the rules of its proto.

    Returns:
        The registry's request.

    Raises:
        InvalidInput: a box whose low end is not below its high end.

    Accuracy: exact.
    """
    base, ball_radius, box = _base_from(message.base)
    return BuildRequest(
        rows=message.rows,
        base=base or Base.PRIOR,
        ball_radius=ball_radius,
        box=box,
        manifold=manifold_from(message.manifold),
        precision=precision_from(message.precision),
        seed=message.seed,
        condition=condition_from(message.condition),
    )


def describe_from(message: bank_pb2.DescribePolarityRequest) -> DescribeRequest:
    """Reads which grid of rho and k to describe.

    Arguments:
        message: one that passed the rules of its proto.

    Returns:
        The registry's request.

    Raises:
        InvalidInput: a box whose low end is not below its high end.

    Accuracy: exact.
    """
    base, ball_radius, box = _base_from(message.base)
    return DescribeRequest(
        rhos=tuple(message.rhos),
        top_ks=tuple(message.top_ks),
        base=base or Base.PRIOR,
        ball_radius=ball_radius,
        box=box,
        manifold=manifold_from(message.manifold),
        precision=precision_from(message.precision),
        bank_id=message.bank_id or None,
        bank_revision=message.bank_revision or None,
        condition=condition_from(message.condition),
        advise=message.advise,
        effective_rank=effective_rank_from(message.effective_rank),
    )


def _base_from(message: sampling_pb2.Base) -> tuple[Base | None, float | None, tuple[float, float] | None]:
    match message.WhichOneof("law"):
        case None:
            return None, None, None
        case "prior":
            return Base.PRIOR, None, None
    uniform = message.uniform
    if uniform.WhichOneof("domain") != "box":
        return Base.UNIFORM, uniform.ball.radius if uniform.HasField("ball") else None, None
    if not uniform.box.low < uniform.box.high:
        raise InvalidInput(f"The box goes from {uniform.box.low} to {uniform.box.high}; write low < high.", field="box")
    return Base.UNIFORM, None, (uniform.box.low, uniform.box.high)
