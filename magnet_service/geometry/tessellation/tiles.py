"""What a network is on chosen tiles: its affine map, its activation pattern, its log-volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import TABLE, Generator, Manifold, Node, Precision
from magnet_service.generator.execution import execute
from magnet_service.geometry.engine import Engine, stopped
from magnet_service.geometry.tessellation.result import Tessellation
from magnet_service.geometry.tessellation.target import plan_of
from magnet_service.geometry.volume import Volumes, volumes

__all__ = ["tile_maps", "tile_patterns", "tile_volumes"]

_ROWS = 256


def tile_maps(
    generator: Generator,
    tessellation: Tessellation,
    tiles: Sequence[int] | NDArray[np.integer[Any]],
    should_stop: Callable[[], bool] | None = None,
) -> tuple[Float[Tensor, "tiles output axes"], Float[Tensor, "tiles output"]]:
    """The affine map of the slice on each tile: value = matrix x + offset at coordinates x of the slice.

    Arguments:
        generator: the one that was tessellated.
        tessellation: of it.
        tiles: numbers of tiles.
        should_stop: asked before every batch; once it answers true the call ends in Cancelled.

    Returns:
        Matrices and offsets, float64, values flattened.

    Raises:
        InvalidInput: no tile of such a number.
        Cancelled: `should_stop` answered true.

    Accuracy: rounding of float64, by tangents at the centroid; where a tile is so thin that its centroid's activation
        pattern is rounded to a neighbour's, that one's.
    Cost: one forward and one for each axis, a tile.
    """
    latents = centroids_of(tessellation, tiles)
    exact = generator.to(device="cpu", precision=Precision.FLOAT64)
    plan = plan_of(exact, tessellation.target)
    matrices, offsets = [], []
    with torch.no_grad():
        for rows in latents.split(_ROWS):
            stopped(should_stop)
            moves = tessellation.slice.frame.reshape(1, -1, *exact.latent_shape)
            value, tangents = execute(exact.graph, plan, exact.constants, rows.reshape(-1, *exact.latent_shape), moves)
            flat = value.flatten(1)
            columns = flat.new_zeros(len(rows), len(moves[0]), flat.shape[1])
            if tangents is not None:
                columns = tangents.flatten(2).expand_as(columns)
            matrices.append(columns.mT)
            offsets.append(flat)
    width = int(np.prod(exact.graph.nodes[plan.target - 1].shape)) if plan.target else exact.latent_dim
    axes = tessellation.slice.axes
    if not matrices:
        return torch.zeros(0, width, axes, dtype=torch.float64), torch.zeros(0, width, dtype=torch.float64)
    matrix = torch.cat(matrices)
    points = tessellation.slice.project(latents)
    return matrix, torch.cat(offsets) - (matrix @ points[..., None])[..., 0]


def tile_patterns(
    generator: Generator,
    tessellation: Tessellation,
    tiles: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Int[Tensor, "tiles units"]:
    """The activation pattern inside each tile: the states of the units of the layers that were taken into account.

    Arguments:
        generator: the one that was tessellated.
        tessellation: of it.
        tiles: numbers of tiles; all where None.
        should_stop: asked before every batch; once it answers true the call ends in Cancelled.

    Returns:
        [tiles, units], as `activation_pattern` writes them, layers in order; int32 where one of them takes the largest
        of several values, else int8.

    Raises:
        InvalidInput: no tile of such a number.
        Cancelled: `should_stop` answered true.

    Accuracy: at the centroid, as `tile_maps`.
    Cost: one forward a tile.
    """
    latents = centroids_of(tessellation, tiles)
    exact = generator.to(device="cpu", precision=Precision.FLOAT64)
    names = {layer.name for layer in tessellation.layers}
    patterns: list[Tensor] = []
    with torch.no_grad():
        for rows in latents.split(_ROWS):
            stopped(should_stop)
            states: list[Tensor] = []

            def collect(node: Node, inputs: Sequence[Tensor], found: list[Tensor] = states) -> None:
                rule = TABLE[node.operation].states
                if rule is not None and node.name in names:
                    found.append(rule(node, inputs).flatten(1))

            exact.visit(rows, collect)
            patterns.append(torch.cat(states, dim=1) if states else torch.zeros(len(rows), 0, dtype=torch.int8))
    units = sum(layer.units for layer in tessellation.layers)
    return torch.cat(patterns) if patterns else torch.zeros(0, units, dtype=torch.int8)


def tile_volumes(
    generator: Generator,
    tessellation: Tessellation,
    tiles: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    engine: Engine | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Volumes:
    """Log singular values and rank of the whole Jacobian on each tile, in all directions and not those of the slice.

    Arguments:
        generator: the one that was tessellated.
        tessellation: of it.
        tiles: numbers of tiles; all where None.
        engine: to compute with; float64 on the CPU where None.
        should_stop: asked before every piece of work; once it answers true the call ends in Cancelled.

    Returns:
        Volumes of PRE_ACTIVATION at the centroids: those of the whole tile.

    Raises:
        InvalidInput: no tile of such a number, or tiles of another value than that before the head.
        Cancelled: `should_stop` answered true.

    Accuracy: as `volumes`.
    """
    plan = generator.plan(Manifold.PRE_ACTIVATION)
    target = generator.graph.nodes[plan.target - 1].name if plan.target else "latent"
    if target != tessellation.target:
        raise InvalidInput(
            f"the tiles are those of {tessellation.target}, and log-volumes are those of {target}; leave up_to out.",
            field="up_to",
        )
    chosen = Engine(precision=Precision.FLOAT64) if engine is None else engine
    latents = centroids_of(tessellation, tiles)
    return volumes(generator, latents, manifold=Manifold.PRE_ACTIVATION, engine=chosen, should_stop=should_stop)


def centroids_of(tessellation: Tessellation, tiles: Sequence[int] | NDArray[np.integer[Any]] | None) -> Tensor:
    """Latents at the centroids of tiles."""
    if tiles is None:
        return tessellation.slice.lift(torch.from_numpy(tessellation.centroids))
    numbers = np.asarray(tiles, dtype=np.int64).reshape(-1)
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < tessellation.tiles):
        raise InvalidInput(
            f"there are tiles 0 to {tessellation.tiles - 1}; {numbers.min()} to {numbers.max()} are asked for.",
            field="tiles",
        )
    return tessellation.slice.lift(torch.from_numpy(tessellation.centroids[numbers]))
