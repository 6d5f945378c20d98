"""Verification at load: the engine's outputs and Jacobian rows against a reference that shares no rule with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from magnet_service.errors import Refused
from magnet_service.generator.generator import Generator, Precision
from magnet_service.generator.interpreter import interpret
from magnet_service.generator.onnx_runtime import Reference
from magnet_service.generator.probe import Probe
from magnet_service.generator.program import Program

__all__ = ["FORWARD_TOLERANCE", "JACOBIAN_TOLERANCE", "Verification", "verify"]

FORWARD_TOLERANCE = 1e-4  # of the largest output, float32 against the reference
JACOBIAN_TOLERANCE = 1e-6  # of the largest entry looked at, float64 against float64

_TILE_ROWS = 16
_JACOBIAN_ROWS = 4
_OUTPUTS_LOOKED_AT = 8
_COLUMNS_IF_MANY = 8
_FLOOR = 1e-6
_MOST_NUMBERS_DOUBLE = 1 << 24
_MOST_NUMBERS_SINGLE = 1 << 26
_SEED = 220301993


@dataclass(frozen=True)
class Verification:
    """What was compared, and how far apart it was.

    Attributes:
        reference: "probe" where outputs of the original module were at hand, "onnxruntime" where its outputs were, else
            "interpreter".
        forward_error: largest |output - reference| over largest |reference|, float32.
        jacobian_error: the same for entries of the Jacobian, float64, against autograd through the interpreter;
            measured by 1e-6 of the largest output where that is larger than every entry.
        rows: number of latents whose outputs were compared.
        bits_depend_on_position: whether a row's float32 outputs or tangents have other bits at another place of a tile
            of 16 rows; None where that was not asked.
        bits_depend_on_neighbours: the same with other latents beside it.
    """

    reference: Literal["probe", "onnxruntime", "interpreter"]
    forward_error: float
    jacobian_error: float
    rows: int
    bits_depend_on_position: bool | None
    bits_depend_on_neighbours: bool | None


def verify(
    generator: Generator,
    program: Program,
    probe: Probe | None,
    *,
    runtime: Reference | None = None,
    thorough: bool = True,
) -> Verification:
    """Compare a generator with its references and refuse it where they differ.

    The forward is compared with the outputs of the original module or of onnxruntime where `probe` holds them, with
    onnxruntime itself where `runtime` is given, and always with the interpreter; a few rows of the Jacobian, and a
    random combination of all, with autograd through the interpreter.

    Arguments:
        generator: the engine's generator, on any device.
        program: the parsed file that it was made from.
        probe: latents and expected outputs, if there are any.
        runtime: onnxruntime on the file that the program was read from, as `runtime_reference` gives it.
        thorough: compare the Jacobian at four latents and not at one, and find out whether a row's bits depend on its
            place and its neighbours.

    Returns:
        The errors found, all within `FORWARD_TOLERANCE` and `JACOBIAN_TOLERANCE`.

    Raises:
        Refused: reason VERIFICATION_FAILED where an error is larger or not finite, ROWS_MIXED where a latent alone
            gives another output than among others.

    Accuracy: estimates from 16 rows (and up to 64 of the probe); a fault on a rare region can go unseen.

    Cost: about 100 forwards and one Jacobian in float64; if thorough, 3 more, and 48 in float32.
    """
    latents = torch.randn(_TILE_ROWS, generator.latent_dim, generator=torch.Generator().manual_seed(_SEED))
    expected = interpret(program, latents.double()).detach()
    _check_rows(program, latents.double(), expected)
    forward_error = _distance(_forward(generator, latents), expected)
    rows = len(latents)
    if probe is not None:
        if probe.latents.shape[1] != generator.latent_dim or probe.outputs.shape[1:] != expected.shape[1:]:
            raise _failed(
                f"the probe holds latents of width {probe.latents.shape[1]} and outputs of shape "
                f"{list(probe.outputs.shape[1:])}, the generator {generator.latent_dim} and {list(expected.shape[1:])}",
            )
        forward_error = max(forward_error, _distance(_forward(generator, probe.latents), probe.outputs))
        rows += len(probe.latents)
    ran = None if runtime is None else runtime(latents)
    if ran is not None:
        forward_error = max(forward_error, _distance(_forward(generator, latents), ran))
    sources = {"interpreter" if probe is None else probe.source, "interpreter" if ran is None else "onnxruntime"}
    reference: Literal["probe", "onnxruntime", "interpreter"] = "interpreter"
    if "module" in sources or "onnxruntime" in sources:
        reference = "probe" if "module" in sources else "onnxruntime"
    if not forward_error <= FORWARD_TOLERANCE:
        raise _failed(f"outputs differ from the {reference} by {forward_error:.1e} of the largest")
    jacobian_rows = _JACOBIAN_ROWS if thorough else 1
    jacobian_error = _jacobian_error(generator, program, latents[:jacobian_rows].double())
    if not jacobian_error <= JACOBIAN_TOLERANCE:
        raise _failed(f"rows of the Jacobian differ from autograd by {jacobian_error:.1e} of the largest entry")
    position, neighbours = _bits(generator, latents) if thorough else (None, None)
    return Verification(reference, forward_error, jacobian_error, rows, position, neighbours)


def _check_rows(program: Program, latents: Tensor, expected: Tensor) -> None:
    batch = 1 if program.batch is None else program.batch
    places = torch.arange(batch) % len(latents)
    error = _distance(interpret(program, latents[places]).detach(), expected[places])
    if not error <= JACOBIAN_TOLERANCE:
        raise Refused(
            f"The generator's rows depend on each other: {batch} of {len(latents)} latents give outputs that differ by "
            f"{error:.1e} of the largest. Remove layers that look across the batch and export with a dynamic batch.",
            reason="ROWS_MIXED",
        )


def _jacobian_error(generator: Generator, program: Program, latents: Tensor) -> float:
    """Compare J v for columns v of the identity, or a few random v, at a few outputs and at one random sum of them."""
    source = torch.Generator().manual_seed(_SEED)
    dim, width = generator.latent_dim, generator.output_dim
    directions = None
    if len(latents) * dim * width > _MOST_NUMBERS_DOUBLE:
        directions = torch.randn(1, _COLUMNS_IF_MANY, dim, dtype=torch.float64, generator=source) / math.sqrt(dim)
    leaf = latents.clone().requires_grad_(True)
    output = interpret(program, leaf).reshape(len(latents), width)
    looked_at = torch.randperm(width, generator=source)[:_OUTPUTS_LOOKED_AT]
    mixture = torch.randn(width, dtype=torch.float64, generator=source) / math.sqrt(width)
    targets = [output[:, index] for index in looked_at.tolist()] + [output @ mixture]
    rows = [torch.autograd.grad(target.sum(), leaf, retain_graph=True)[0] for target in targets]
    expected = torch.stack(rows, dim=2)  # [rows, latent, targets]
    if directions is not None:
        expected = directions @ expected
    exact = generator.to(precision=Precision.FLOAT64)
    _, tangents = exact.push(latents.to(exact.device), None if directions is None else directions.to(exact.device))
    tangents = tangents.cpu()
    found = torch.cat([tangents[:, :, looked_at], (tangents @ mixture).unsqueeze(2)], dim=2)
    # Where a head is saturated the Jacobian is no more than rounding, so that its own size is no measure.
    floor = _FLOOR * float(output.detach().abs().max())
    return _distance(found, expected, floor)


def _bits(generator: Generator, latents: Tensor) -> tuple[bool, bool]:
    shift = 5
    others = latents.clone()
    others[1::2] = 2 * latents[1::2].flip(0)
    first = _push(generator, latents)
    moved = [tensor.roll(-shift, 0) for tensor in _push(generator, latents.roll(shift, 0))]
    beside = [tensor[::2] for tensor in _push(generator, others)]
    position = any(not torch.equal(a, b) for a, b in zip(first, moved, strict=True))
    neighbours = any(not torch.equal(a[::2], b) for a, b in zip(first, beside, strict=True))
    return position, neighbours


def _push(generator: Generator, latents: Tensor) -> list[Tensor]:
    dim = generator.latent_dim
    directions = None
    if len(latents) * dim * generator.output_dim > _MOST_NUMBERS_SINGLE:
        directions = torch.eye(dim)[:_COLUMNS_IF_MANY].unsqueeze(0)
    single = generator.to(precision=Precision.FLOAT32)
    placed = latents.float().to(single.device)
    pushed = single.push(placed, None if directions is None else directions.to(single.device))
    return [tensor.cpu() for tensor in (single.forward(placed), *pushed)]


def _forward(generator: Generator, latents: Tensor) -> Tensor:
    single = generator.to(precision=Precision.FLOAT32)
    return single.forward(latents.float().to(single.device)).cpu()


def _distance(found: Tensor, expected: Tensor, floor: float = 0.0) -> float:
    """Return max |found - expected| / max(|expected|, floor), infinite where one is not finite or shapes differ."""
    if found.shape != expected.shape or not (found.isfinite().all() and expected.isfinite().all()):
        return math.inf
    if expected.numel() == 0:
        return 0.0
    scale = max(float(expected.abs().max()), floor)
    error = float((found.double() - expected.double()).abs().max())
    return error / scale if scale > 0 else error


def _failed(what: str) -> Refused:
    return Refused(
        f"Verification failed: {what}. The generator is not taken, since its volumes would be wrong; export it again "
        f"in eval mode, and report the operation if that does not help.",
        reason="VERIFICATION_FAILED",
    )
