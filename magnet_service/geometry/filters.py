"""Matched filters: the rows of A, each the gradient of one output, with the shape of the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.errors import InvalidInput, OutOfMemory
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.generator.affinity import require_piecewise_affine
from magnet_service.generator.execution import execute
from magnet_service.geometry.columns import BLOCK_BYTES, push_columns
from magnet_service.geometry.engine import Engine, stopped
from magnet_service.geometry.footprint import numbers_at_work

__all__ = ["matched_filters", "rows_of_jacobian"]

REVERSE = 2
"""Forwards that one reverse pass is worth: that many directions are pushed in the time of one output's gradient."""

COPIES = 3
"""Values of the widest layer that are held at once."""

KEPT = 2
"""Numbers that a reverse pass keeps for each number of the values and of one column of tangents."""


def matched_filters(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    *,
    outputs: Sequence[int] | None = None,
    manifold: Manifold = Manifold.PRE_ACTIVATION,
    engine: Engine | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Float[Tensor, "rows outputs ..."]:
    """Rows of A on the region of each latent, as images: what the network matches its input with, output by output.

        output_i(z') = <filter_i, z'> + c_i   on the region of z

    Arguments:
        generator: a generator or a classifier, piecewise affine up to the manifold's value.
        latents: one row each; of a classifier its inputs, flattened.
        outputs: numbers of the outputs wanted, of the flattened value; all of them where None.
        manifold: PRE_ACTIVATION for what feeds the smooth head, OUTPUT or FEATURES where nothing smooth is before them.
        engine: device, tile rows and memory to compute with; its precision is not read, filters are float64.
        should_stop: asked before every tile and output; once it answers true the call ends in Cancelled.

    Returns:
        Float64, on the CPU, with the shape of one latent behind rows and outputs.

    Raises:
        Refused: something smooth stands before that value (NOT_PIECEWISE_AFFINE), or there is none (NO_FEATURES).
        InvalidInput: latents of another width than the generator's latent dimension; outputs that are not there (field
            `outputs`).
        OutOfMemory: one tile needs more than the engine's bound.
        Cancelled: `should_stop` answered true.

    Accuracy: rounding of float64. The tie rules hold: the filters are those of the region that `region_at` answers.
    Cost: two forwards a latent and output wanted, or d of them where that is less.
    References: Balestriero and Baraniuk, Mad Max, 1805.06576 (templates).

    Example:
        >>> absolute = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.ReLU())
        >>> _ = torch.nn.init.constant_(absolute[0].weight, 3.0)
        >>> matched_filters(Generator.from_module(absolute, 2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).tolist()
        [[[3.0, 3.0]], [[0.0, 0.0]]]
    """
    require_piecewise_affine(generator, manifold)
    width = generator.output_dim_of(manifold)
    wanted = list(range(width)) if outputs is None else list(outputs)
    if any(not 0 <= output < width for output in wanted):
        raise InvalidInput(f"outputs are {wanted}; write numbers from 0 to {width - 1}.", field="outputs")
    engine = replace(engine if engine is not None else Engine(), precision=Precision.FLOAT64)
    found = rows_of_jacobian(generator, latents, wanted, manifold, engine, should_stop)
    return found.reshape(len(latents), len(wanted), *generator.latent_shape)


def rows_of_jacobian(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    outputs: Sequence[int],
    manifold: Manifold,
    engine: Engine,
    should_stop: Callable[[], bool] | None,
) -> Float[Tensor, "rows outputs latent"]:
    """Gradients of some outputs with respect to the latent, by whichever of two ways costs less.

    Forward, all d directions are pushed. In reverse, the tangents of one direction v are: J v is linear in v, and its
    gradient with respect to v is J^T. So both ways follow the same rules, that of ties among them.

    Arguments:
        generator: the generator.
        latents: one row each.
        outputs: numbers of the outputs wanted.
        manifold: up to which value.
        engine: device, precision, tile rows and memory.
        should_stop: asked before every tile and output.

    Returns:
        In the engine's precision, on the CPU.

    Raises:
        InvalidInput: latents of another width than the generator's latent dimension.
        OutOfMemory: one tile needs more than the engine's bound.
        Cancelled: `should_stop` answered true.

    Accuracy: rounding of the engine's precision.
    Cost: the less of d and 2 outputs forwards a latent.
    """
    found = [torch.zeros(0, len(outputs), generator.latent_dim, dtype=engine.precision.dtype)]
    with engine.activated():
        placed, rows = engine.place(generator, latents)
        forward = placed.latent_dim <= REVERSE * len(outputs)
        _fits(placed, min(engine.tile_rows, max(1, len(rows))), len(outputs), manifold, engine, forward)
        for tile in torch.split(rows, engine.tile_rows):
            stopped(should_stop)
            if not len(tile):
                continue
            if forward:
                jacobians = push_columns(placed, tile, None, manifold)[1].mT
                found.append(jacobians[:, list(outputs)].cpu())
            else:
                found.append(_reverse(placed, tile, outputs, manifold, should_stop).cpu())
    return torch.cat(found)


def _reverse(
    generator: Generator,
    tile: Tensor,
    outputs: Sequence[int],
    manifold: Manifold,
    should_stop: Callable[[], bool] | None,
) -> Tensor:
    """Gradients of the outputs with respect to one direction a row, [rows, outputs, d]."""
    rows, shape = len(tile), generator.latent_shape
    # Whatever mode the caller is in, a graph is recorded here, which tensors of inference mode cannot be part of.
    with torch.inference_mode(False), torch.enable_grad():
        values = _ordinary(tile).reshape(rows, *shape)
        constants = tuple({role: _ordinary(tensor) for role, tensor in node.items()} for node in generator.constants)
        moves = torch.zeros(rows, 1, *shape, dtype=tile.dtype, device=tile.device, requires_grad=True)
        _, tangents = execute(generator.graph, generator.plan(manifold), constants, values, moves)
        if tangents is None or not tangents.requires_grad:
            return torch.zeros(rows, len(outputs), generator.latent_dim, dtype=tile.dtype, device=tile.device)
        flat = tangents.reshape(rows, -1)
        found = []
        for output in outputs:
            stopped(should_stop)
            (gradient,) = torch.autograd.grad(flat[:, output].sum(), moves, retain_graph=True)
            found.append(gradient.reshape(rows, -1))
    return torch.stack(found, 1)


def _ordinary(tensor: Tensor) -> Tensor:
    """The tensor, or a copy that a graph may be recorded of."""
    return tensor.clone() if tensor.is_inference() else tensor


def _fits(generator: Generator, rows: int, outputs: int, manifold: Manifold, engine: Engine, forward: bool) -> None:
    """Refuses a tile that does not fit."""
    size = torch.finfo(engine.precision.dtype).bits // 8
    d, width = generator.latent_dim, generator.output_dim_of(manifold)
    work = numbers_at_work(generator, (), manifold, COPIES)
    if forward:
        needed = size * rows * d * (2 * width + outputs) + max(size * rows * work, BLOCK_BYTES)
    else:
        kept = sum(prod(generator.graph.nodes[step].shape) for step in generator.plan(manifold).steps)
        needed = size * rows * (KEPT * kept + work + outputs * d)
    if engine.max_memory is not None and needed > engine.max_memory:
        raise OutOfMemory(
            f"Gradients of {outputs} outputs at {rows} latents need about {needed / 2**20:.0f} MiB, and the bound is "
            f"{engine.max_memory / 2**20:.0f} MiB: raise max_memory, or write fewer tile rows or outputs.",
            metadata={"needed_bytes": str(needed)},
        )
