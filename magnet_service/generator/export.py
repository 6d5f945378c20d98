"""From an `nn.Module` in Python to a `.pt2` archive and its probe."""

from __future__ import annotations

import copy
import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator.archive_writer import write_archive
from magnet_service.generator.finite import check_finite
from magnet_service.generator.probe import probe_beside, probe_latents, write_probe

__all__ = ["export_module", "export_program", "write_archive"]

_FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, AttributeError, IndexError, KeyError)


def export_module(
    module: nn.Module,
    latent_dim: int,
    path: str | os.PathLike[str],
    *,
    latent_shape: tuple[int, ...] | None = None,
    condition: Tensor | None = None,
    outputs_probe: bool = True,
) -> None:
    """Write a generator as a `.pt2` archive with a dynamic batch, in eval mode, and its probe beside it.

    Arguments:
        module: called as `module(latents)` with latents of shape [rows, *latent_shape]; it is copied and not changed.
        latent_dim: d, the number of latent coordinates.
        path: the file to write; its folder must exist.
        latent_shape: shape of one latent as the module takes it, (d,) unless given, often (d, 1, 1) for convolutions.
        condition: examples of the conditions of a conditional module, called as `module(latents, condition)`: one a
            row, as `torch.eye(10)` for one-hot classes, `torch.arange(10)` for indices, or [n, width] for vectors; a
            single one may stand without a row.
        outputs_probe: whether to write `a.probe.npz` beside `a.pt2`: 64 standard normal latents and the module's
            outputs, float32.

    Returns:
        Nothing.

    Raises:
        InvalidInput: `latent_shape` does not hold `latent_dim` numbers, or the module does not take such latents.
        Refused: a weight or an output is NaN, the module draws noise inside, mixes rows, does not return one tensor, or
            torch.export cannot trace it.
        OSError: a file cannot be written.

    Accuracy: weights bit for bit. Exporting twice with one torch build gives equal bytes.

    Cost: four forwards of the module and one trace.
    """
    shape = (latent_dim,) if latent_shape is None else tuple(latent_shape)
    condition = None if condition is None else _checked(condition)
    program, evaluated = _export(module, latent_dim, shape, condition)
    write_archive(program, path)
    if outputs_probe:
        latents = probe_latents(latent_dim)
        rows = None if condition is None else _in_turn(condition, len(latents), evaluated)
        outputs = _forward(evaluated, latents.to(_dtype(evaluated)).reshape(-1, *shape), rows)
        write_probe(probe_beside(Path(path)), Path(path), latents, outputs, "module", _stored(rows))


def export_program(
    module: nn.Module,
    latent_dim: int,
    *,
    latent_shape: tuple[int, ...] | None = None,
    condition: Tensor | None = None,
) -> torch.export.ExportedProgram:
    """Trace a generator in eval mode with a dynamic batch; see `export_module`, which also writes it.

    Arguments:
        module: called as `module(latents)`; it is copied and not changed.
        latent_dim: d, the number of latent coordinates.
        latent_shape: shape of one latent, (d,) unless given.
        condition: examples of the conditions, one a row; as `export_module`.

    Returns:
        The exported program.

    Raises:
        InvalidInput: `latent_shape` does not hold `latent_dim` numbers, or the module does not take such latents.
        Refused: a weight or an output is NaN, the module draws noise inside, mixes rows, does not return one tensor, or
            torch.export cannot trace it.

    Accuracy: exact.
    """
    examples = None if condition is None else _checked(condition)
    return _export(module, latent_dim, (latent_dim,) if latent_shape is None else tuple(latent_shape), examples)[0]


def _export(
    module: nn.Module, latent_dim: int, shape: tuple[int, ...], condition: Tensor | None
) -> tuple[torch.export.ExportedProgram, nn.Module]:
    if latent_dim < 1 or torch.Size(shape).numel() != latent_dim:
        raise InvalidInput(
            f"latent_shape {shape} holds {torch.Size(shape).numel()} numbers, latent_dim says {latent_dim}; make them "
            f"agree, as latent_dim=100 with latent_shape=(100, 1, 1).",
            field="latent_shape",
        )
    evaluated = copy.deepcopy(module).cpu().eval().requires_grad_(False)
    for name, tensor in evaluated.state_dict().items():
        if isinstance(tensor, Tensor):
            check_finite(tensor, f"the weight {name!r}")
    latents = probe_latents(latent_dim, 3).to(_dtype(evaluated)).reshape(-1, *shape)
    rows = None if condition is None else _in_turn(condition, 3, evaluated)
    _check_module(evaluated, latents, rows)
    batch = {0: torch.export.Dim("batch")}
    given = (latents,) if rows is None else (latents, rows)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about its own internals here
            program = torch.export.export(evaluated, given, dynamic_shapes=(batch,) * len(given))
    except _FAILURES as error:
        raise Refused(
            f"torch.export cannot trace the generator with a dynamic batch: {str(error).strip()[:500]} Write sizes "
            f"with latents.shape[0] or -1 instead of a number of rows, and leave out branches that depend on values.",
            reason="NOT_EXPORTABLE",
        ) from error
    return program, evaluated


def _in_turn(condition: Tensor, rows: int, module: nn.Module) -> Tensor:
    """The examples, over and over, one for every row, numbers in the type of the module's weights."""
    repeated = condition.detach().cpu()[torch.arange(rows) % len(condition)]
    return repeated.to(_dtype(module)) if repeated.is_floating_point() else repeated


def _stored(rows: Tensor | None) -> Tensor | None:
    return None if rows is None else rows.float() if rows.is_floating_point() else rows.to(torch.int64)


def _checked(condition: Tensor) -> Tensor:
    if condition.dim() == int(condition.is_floating_point()):  # one example without its row
        condition = condition.unsqueeze(0)
    if condition.dim() == 0 or len(condition) == 0 or condition.dtype == torch.bool or condition.is_complex():
        raise InvalidInput(
            f"condition of type {condition.dtype} and shape {list(condition.shape)}: give examples, one a row, as "
            f"torch.eye(10) for one-hot classes or torch.arange(10) for indices.",
            field="condition",
        )
    return condition


def _check_module(module: nn.Module, latents: Tensor, conditions: Tensor | None) -> None:
    one = None if conditions is None else conditions[:1]
    try:
        first, second = (_forward(module, latents, conditions) for _ in range(2))
        alone = _forward(module, latents[:1], one)
    except _FAILURES as error:
        beside = "" if conditions is None else f" and conditions of shape {list(conditions.shape)}"
        raise InvalidInput(
            f"the module does not take latents of shape {list(latents.shape)}{beside}: {str(error).strip()[:300]} Give "
            f"latent_dim, latent_shape and condition as the module wants them.",
            field="latent_shape",
        ) from error
    if bool(first.isnan().any()):
        raise Refused(
            "The generator's outputs at standard normal latents are not numbers (NaN): some value inside overflows.",
            reason="NOT_FINITE",
        )
    if not torch.equal(first, second):
        raise Refused(
            "The generator draws noise inside: two calls with the same latents differ. Make the noise a constant.",
            reason="NOISE_INSIDE",
        )
    if len(first) != len(latents) or not torch.allclose(first[:1], alone, rtol=1e-3, atol=1e-4):
        raise Refused(
            "The generator mixes rows: a latent alone gives another output than among others. Remove layers that look "
            "across the batch.",
            reason="ROWS_MIXED",
        )


def _forward(module: nn.Module, latents: Tensor, conditions: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        output = module(latents) if conditions is None else module(latents, conditions)
    if not isinstance(output, Tensor) or output.ndim < 2:
        raise Refused(
            f"The generator returns {type(output).__name__}, where one tensor of shape [rows, ...] is needed; wrap it "
            f"in a module that returns the images alone.",
            reason="ONE_OUTPUT",
        )
    return output


def _dtype(module: nn.Module) -> torch.dtype:
    dtypes = [parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()]
    return dtypes[0] if dtypes else torch.float32
