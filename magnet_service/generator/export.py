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
from magnet_service.generator.probe import probe_beside, probe_latents, write_probe

__all__ = ["export_module", "export_program", "write_archive"]

_FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, AttributeError, IndexError, KeyError)


def export_module(
    module: nn.Module,
    latent_dim: int,
    path: str | os.PathLike[str],
    *,
    latent_shape: tuple[int, ...] | None = None,
    outputs_probe: bool = True,
) -> None:
    """Write a generator as a `.pt2` archive with a dynamic batch, in eval mode, and its probe beside it.

    Arguments:
        module: called as `module(latents)` with latents of shape [rows, *latent_shape]; it is copied and not changed.
        latent_dim: d, the number of latent coordinates.
        path: the file to write; its folder must exist.
        latent_shape: shape of one latent as the module takes it, (d,) unless given, often (d, 1, 1) for convolutions.
        outputs_probe: whether to write `a.probe.npz` beside `a.pt2`: 64 standard normal latents and the module's
            outputs, float32.

    Returns:
        Nothing.

    Raises:
        InvalidInput: `latent_shape` does not hold `latent_dim` numbers, or the module does not take such latents.
        Refused: the module draws noise inside, mixes rows, does not return one tensor, or torch.export cannot trace it.
        OSError: a file cannot be written.

    Accuracy: weights bit for bit. Exporting twice with one torch build gives equal bytes.

    Cost: four forwards of the module and one trace.
    """
    shape = (latent_dim,) if latent_shape is None else tuple(latent_shape)
    program, evaluated = _export(module, latent_dim, shape)
    write_archive(program, path)
    if outputs_probe:
        latents = probe_latents(latent_dim)
        outputs = _forward(evaluated, latents.to(_dtype(evaluated)).reshape(-1, *shape))
        write_probe(probe_beside(Path(path)), Path(path), latents, outputs, "module")


def export_program(
    module: nn.Module, latent_dim: int, *, latent_shape: tuple[int, ...] | None = None
) -> torch.export.ExportedProgram:
    """Trace a generator in eval mode with a dynamic batch; see `export_module`, which also writes it.

    Arguments:
        module: called as `module(latents)`; it is copied and not changed.
        latent_dim: d, the number of latent coordinates.
        latent_shape: shape of one latent, (d,) unless given.

    Returns:
        The exported program.

    Raises:
        InvalidInput: `latent_shape` does not hold `latent_dim` numbers, or the module does not take such latents.
        Refused: the module draws noise inside, mixes rows, does not return one tensor, or torch.export cannot trace it.

    Accuracy: exact.
    """
    return _export(module, latent_dim, (latent_dim,) if latent_shape is None else tuple(latent_shape))[0]


def _export(
    module: nn.Module, latent_dim: int, shape: tuple[int, ...]
) -> tuple[torch.export.ExportedProgram, nn.Module]:
    if latent_dim < 1 or torch.Size(shape).numel() != latent_dim:
        raise InvalidInput(
            f"latent_shape {shape} holds {torch.Size(shape).numel()} numbers, latent_dim says {latent_dim}; make them "
            f"agree, as latent_dim=100 with latent_shape=(100, 1, 1).",
            field="latent_shape",
        )
    evaluated = copy.deepcopy(module).cpu().eval().requires_grad_(False)
    latents = probe_latents(latent_dim, 3).to(_dtype(evaluated)).reshape(-1, *shape)
    _check_module(evaluated, latents)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about its own internals here
            program = torch.export.export(evaluated, (latents,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except _FAILURES as error:
        raise Refused(
            f"torch.export cannot trace the generator with a dynamic batch: {str(error).strip()[:500]} Write sizes "
            f"with latents.shape[0] or -1 instead of a number of rows, and leave out branches that depend on values.",
            reason="NOT_EXPORTABLE",
        ) from error
    return program, evaluated


def _check_module(module: nn.Module, latents: Tensor) -> None:
    try:
        first, second, alone = (_forward(module, rows) for rows in (latents, latents, latents[:1]))
    except _FAILURES as error:
        raise InvalidInput(
            f"the module does not take latents of shape {list(latents.shape)}: {str(error).strip()[:300]} Give "
            f"latent_dim and latent_shape as the module wants them.",
            field="latent_shape",
        ) from error
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


def _forward(module: nn.Module, latents: Tensor) -> Tensor:
    with torch.no_grad():
        output = module(latents)
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
