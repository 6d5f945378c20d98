"""Distances to the nearest wall of the region, of many latents, without storing a half-space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magnet_service.errors import OutOfMemory
from magnet_service.generator import Generator, Manifold, Node, Precision
from magnet_service.generator.affinity import require_piecewise_affine
from magnet_service.geometry.columns import BLOCK_BYTES
from magnet_service.geometry.engine import Engine, stopped
from magnet_service.geometry.footprint import numbers_at_work
from magnet_service.geometry.layers import Contest, Layer, contests_of, joined_inputs, layers_of
from magnet_service.geometry.margins import Margins

__all__ = ["Radii", "radii"]

COPIES = 7
"""Tensors of the widest layer's tangents that a push holds at once, the squares of some of them among these."""


@dataclass(frozen=True)
class Radii:
    """How far some latents are from the nearest other region, and whose unit's state changes there; on the CPU.

    Attributes:
        radius: Euclidean distance in the latent space, float64; infinite where no unit has a gradient, NaN where the
            generator's values are not finite.
        nodes: the unit's node in `generator.graph.nodes`; -1 where the radius is infinite or NaN.
        units: number of the unit among those of its node; -1 there.
        layers: the layers of units, for the names of nodes.
    """

    radius: Float[Tensor, " rows"]
    nodes: Int[Tensor, " rows"]
    units: Int[Tensor, " rows"]
    layers: tuple[Layer, ...]


def radii(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    *,
    manifold: Manifold = Manifold.PRE_ACTIVATION,
    engine: Engine | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Radii:
    """The distance from each latent to the nearest point in another region, and which unit changes its state there.

        radius(z) = min over units of |p(z) - b| / |grad p(z)|,   b the nearest of its breakpoints

    Exact, since the region is convex and z in it: a hyperplane beyond its walls is farther away than some wall.

    Arguments:
        generator: the generator, piecewise affine up to the manifold's value.
        latents: one row each.
        manifold: PRE_ACTIVATION for what feeds the smooth head, OUTPUT or FEATURES where nothing smooth is before them.
        engine: device, tile rows and memory to compute with; its precision is not read, distances are float64.
        should_stop: asked before every block of columns; once it answers true the call ends in Cancelled.

    Returns:
        Radii; 0 for a latent exactly on a boundary.

    Raises:
        Refused: something smooth stands before that value (NOT_PIECEWISE_AFFINE), or there is none (NO_FEATURES).
        InvalidInput: latents of another width than the generator's latent dimension.
        OutOfMemory: one tile needs more than the engine's bound.
        Cancelled: `should_stop` answered true.

    Accuracy: rounding of float64, relative to the terms that a pre-activation is the sum of.
    Cost: d tangents pushed forward for each latent, 2 numbers a unit of memory (2 an entry of each max-pool's window).

    Example:
        >>> absolute = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.ReLU())
        >>> _ = torch.nn.init.constant_(absolute[0].weight, 2.0)
        >>> radii(Generator.from_module(absolute, 1), torch.tensor([[0.25], [-3.0], [0.0]])).radius.tolist()
        [0.25, 3.0, 0.0]
    """
    require_piecewise_affine(generator, manifold)
    engine = replace(engine if engine is not None else Engine(), precision=Precision.FLOAT64)
    with engine.activated():
        placed, rows = engine.place(generator, latents)
        layers = layers_of(placed, manifold)
        columns = _columns(placed, layers, manifold, min(engine.tile_rows, max(1, len(rows))), engine)
        contests = contests_of(placed, layers)
        found = [
            _of_tile(placed, tile, layers, contests, columns, manifold, should_stop)
            for tile in torch.split(rows, engine.tile_rows)
            if len(tile)
        ]
    if not found:
        none = torch.zeros(0, dtype=torch.int64)
        return Radii(torch.zeros(0, dtype=torch.float64), none, none.clone(), layers)
    radius, nodes, units = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    return Radii(radius, nodes, units, layers)


def _of_tile(
    generator: Generator,
    tile: Tensor,
    layers: Sequence[Layer],
    contests: Mapping[int, Contest],
    columns: int,
    manifold: Manifold,
    should_stop: Callable[[], bool] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Radius, node and unit of each row of a tile, by blocks of columns whose squares are added up."""
    bounds: list[Margins] = []
    place = 0
    finite = tile.isfinite().all(1)

    def watch(node: Node, inputs: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> None:
        nonlocal place, finite
        layer = layers[place]
        if place == len(bounds):
            values = joined_inputs(inputs)
            finite &= values.isfinite().all(1)
            bounds.append(Margins.of(layer, contests.get(layer.node), values))
        bounds[place].add(inputs, tangents)
        place += 1

    directions = torch.eye(generator.latent_dim, dtype=tile.dtype, device=tile.device)[None]
    for block in torch.split(directions, columns, dim=1):
        stopped(should_stop)
        place = 0
        values, _ = generator.push(tile, block.contiguous(), manifold, watch)
        finite &= values.isfinite().all(1)
    radius = torch.full((len(tile),), torch.inf, dtype=tile.dtype, device=tile.device)
    nodes, units = (torch.full((len(tile),), -1, device=tile.device) for _ in range(2))
    for found in bounds:
        if not found.numbers.numel():
            continue
        finite &= found.steep.isfinite().flatten(1).all(1) if found.steep.dim() else True
        distance, unit = found.nearest()
        closer = distance < radius
        radius = torch.where(closer, distance, radius)
        nodes = torch.where(closer, found.layer.node, nodes)
        units = torch.where(closer, unit, units)
    return torch.where(finite, radius, torch.nan), torch.where(finite, nodes, -1), torch.where(finite, units, -1)


def _columns(generator: Generator, layers: Sequence[Layer], manifold: Manifold, rows: int, engine: Engine) -> int:
    """Columns of one push, by a constant, so that no byte depends on the bound; refuses a tile that does not fit."""
    numbers = [layer.units * max(1, layer.entries) for layer in layers]
    column = 8 * rows * numbers_at_work(generator, layers, manifold, COPIES)
    columns = max(1, min(generator.latent_dim, BLOCK_BYTES // column))
    kept = sum(count * (3 if layer.entries else 2) for count, layer in zip(numbers, layers, strict=True))
    needed = (columns + 1) * column + 8 * rows * kept  # the values are one more
    if engine.max_memory is not None and needed > engine.max_memory:
        raise OutOfMemory(
            f"Radii of one tile of {rows} latents need about {needed / 2**20:.0f} MiB, and the bound is "
            f"{engine.max_memory / 2**20:.0f} MiB: raise max_memory, or write fewer tile rows than {engine.tile_rows}.",
            metadata={"needed_bytes": str(needed)},
        )
    return columns
