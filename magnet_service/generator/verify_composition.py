"""Verification of a composed generator: its latent node and its features against the interpreter alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from magnet_service.errors import DamagedData, Refused
from magnet_service.generator.composition import Composition
from magnet_service.generator.generator import Generator
from magnet_service.generator.interpreter import interpret
from magnet_service.generator.manifold import Manifold
from magnet_service.generator.precision import Precision
from magnet_service.generator.program import Program
from magnet_service.generator.verify import FORWARD_TOLERANCE, JACOBIAN_TOLERANCE, Verification

__all__ = ["verify_composition"]

_ROWS = 3
_COLUMNS = 8
_SUMS = 4
_SEED = 19121234

Function = Callable[[Tensor], Tensor]


def verify_composition(
    verification: Verification, generator: Generator, program: Program, features: Program | None
) -> Verification:
    """Compare outputs, features and Jacobians of a composed generator with the interpreter; itself where it is plain.

    Forwards of outputs and features in float32; random bilinear forms u^T J v with respect to the generator's own
    latent in float64, against autograd; outputs at other latents of the file with the latent node held, which must not
    differ.

    Arguments:
        verification: of the network in the file, as `verify` gives it.
        generator: composed, on any device.
        program: the file of the network.
        features: the file of the feature network, where it has one.

    Returns:
        The verification with the larger errors.

    Raises:
        Refused: reason VERIFICATION_FAILED where an error is larger than `verify` allows, or not a number.
        UnsupportedOperation, DamagedData: as `interpret`.

    Accuracy: estimates from a few rows and directions.

    Cost: a dozen forwards and reverse passes in float64.
    """
    if generator.composition == Composition():
        return verification
    forward, jacobian = composition_errors(generator, program, features)
    for what, error, limit in (
        ("outputs or features", forward, FORWARD_TOLERANCE),
        ("Jacobians at the latent node or of the features", jacobian, JACOBIAN_TOLERANCE),
    ):
        if not error <= limit:
            raise Refused(
                f"Verification failed: {what} of the composed generator differ from the interpreter by {error:.1e} of "
                f"the largest. It is not taken, since its volumes would be wrong.",
                reason="VERIFICATION_FAILED",
            )
    return replace(
        verification,
        forward_error=max(verification.forward_error, forward),
        jacobian_error=max(verification.jacobian_error, jacobian),
    )


def composition_errors(generator: Generator, program: Program, features: Program | None) -> tuple[float, float]:
    """Largest relative errors of forwards and of Jacobians; NaN counts as such."""
    generator = conditioned(generator)
    source = torch.Generator().manual_seed(_SEED)
    width = torch.Size(program.latent_shape).numel()
    outside = torch.randn(_ROWS, width, dtype=torch.float64, generator=source)
    exact = generator.to(device="cpu", precision=Precision.FLOAT64)
    single = generator.to(device="cpu", precision=Precision.FLOAT32)
    inner = outside
    if exact.mapping is not None:
        inner = exact.mapping.to(device="cpu", precision=Precision.FLOAT64).forward(outside).flatten(1)
    functions: dict[Manifold, Function] = {Manifold.OUTPUT: outputs_of(generator, program, outside)}
    if features is not None:
        functions[Manifold.FEATURES] = behind(features, functions[Manifold.OUTPUT])
    forward, jacobian = 0.0, 0.0
    for manifold, function in functions.items():
        expected = function(inner).detach().flatten(1)
        scale = max(float(expected.abs().max()), 1e-300)
        found = single.forward(inner.float(), manifold).flatten(1)
        forward = max(forward, float((found - expected).abs().max()) / scale)
        jacobian = max(jacobian, slope_error(exact, function, inner, manifold, source))
    if exact.mapping is not None:
        expected = functions[Manifold.OUTPUT](inner).detach()
        elsewhere = outputs_of(generator, program, outside.flip(0))(inner).detach()
        jacobian = max(jacobian, float((elsewhere - expected).abs().max()) / max(float(expected.abs().max()), 1e-300))
    return forward, jacobian


def conditioned(generator: Generator) -> Generator:
    """The generator of one condition, where it takes some: index 0, or the numbers 1, 0, 0, ..."""
    taken = generator.condition_input
    if taken is None or generator.condition is not None:
        return generator
    neutral = torch.zeros(taken.shape, dtype=taken.dtype)
    if taken.dtype != torch.int64 and neutral.numel():
        neutral.view(-1)[0] = 1
    return generator.conditioned(neutral)


def outputs_of(generator: Generator, program: Program, outside: Tensor) -> Function:
    """The network's outputs as a function of the generator's own latent, by the interpreter."""
    name, condition = generator.composition.latent_node, generator.condition
    rows = None if condition is None else condition.expand(len(outside), *condition.shape)
    if not name:
        return lambda latents: interpret(program, latents, rows)
    if not any(name in call.outputs for call in program.calls):
        raise DamagedData(f"the file has no value {name!r}; add the generator again.")
    shape = generator.latent_shape
    return lambda latents: interpret(program, outside, rows, replacing={name: latents.reshape(-1, *shape)})


def behind(features: Program, outputs: Function) -> Function:
    """The features of the outputs, by the interpreter."""
    return lambda latents: interpret(features, outputs(latents).flatten(1))


def slope_error(
    exact: Generator, function: Function, latents: Tensor, manifold: Manifold, source: torch.Generator
) -> float:
    """Largest |u^T J v - autograd's| over the largest, for random u and v."""
    leaf = latents.clone().requires_grad_(True)
    output = function(leaf).flatten(1)
    sums = torch.randn(output.shape[1], _SUMS, dtype=torch.float64, generator=source)
    moves = torch.randn(1, _COLUMNS, latents.shape[1], dtype=torch.float64, generator=source)
    rows = [torch.autograd.grad((output @ u).sum(), leaf, retain_graph=True)[0] for u in sums.T]
    expected = moves @ torch.stack(rows, dim=2)  # [rows, columns, sums]
    found = exact.push(latents, moves, manifold)[1] @ sums
    floor = 1e-6 * float((output.detach() @ sums).abs().max())
    return float((found - expected).abs().max()) / max(float(expected.abs().max()), floor, 1e-300)
