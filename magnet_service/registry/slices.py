"""Slices of a held generator: where they lie, their tiles, and what more is asked of the tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from magnet_service.errors import InvalidInput
from magnet_service.generator import TABLE, Kind, Manifold, Precision
from magnet_service.generator.condition import Condition
from magnet_service.geometry import Engine, Volumes
from magnet_service.geometry.slice import Slice, slice_along, slice_through
from magnet_service.geometry.tessellation import (
    Extent,
    Tessellation,
    TessellationStatistics,
    hyperplane_density,
    statistics,
    tessellate,
    tile_patterns,
    tile_volumes,
)
from magnet_service.geometry.tessellation.target import target_of
from magnet_service.registry.generators import HeldGenerator
from magnet_service.registry.registry import Registry

__all__ = [
    "SlicePlace",
    "SliceRequest",
    "Sliced",
    "boundary_density",
    "layers_of",
    "patterns_of",
    "sliced",
    "volumes_of",
]

StopSignal = Callable[[], bool]


@dataclass(frozen=True)
class SlicePlace:
    """Where a slice lies: through points, or along directions from an origin.

    Attributes:
        points: two or three latents; None where there is an origin.
        origin: the latent at coordinates 0.
        directions: one or two.
        window: two numbers, four numbers or the corners of a polygon; None for what bounds the points.
    """

    points: Float[np.ndarray, "points latent"] | None = None
    origin: Float[np.ndarray, " latent"] | None = None
    directions: Float[np.ndarray, "axes latent"] | None = None
    window: tuple[float, ...] | Float[np.ndarray, "corners 2"] | None = None

    @property
    def field(self) -> str:
        """Name of what says how many axes there are."""
        return "directions" if self.points is None else "points"

    @property
    def axes(self) -> int:
        """Axes of the slice that is written, which may be none."""
        if self.points is not None:
            return len(self.points) - 1
        return 0 if self.directions is None else len(self.directions)

    def settled(self, width: int) -> Slice:
        """The slice of a latent space.

        Arguments:
            width: its dimension.

        Returns:
            The slice.

        Raises:
            InvalidInput: another width, or as `slice_through` and `slice_along` (fields `points`, `origin`,
                `directions`, `window`).

        Accuracy: rounding of float64.
        """
        given = self.window
        window = torch.tensor(given, dtype=torch.float64) if isinstance(given, np.ndarray) else given
        if self.points is not None:
            _check_width(self.points, width, "points")
            return slice_through(torch.tensor(self.points, dtype=torch.float64), window)
        if self.origin is None or self.directions is None:
            raise InvalidInput("write points, or an origin and directions.", field="points")
        _check_width(self.origin, width, "origin")
        _check_width(self.directions, width, "directions")
        if window is None:
            raise InvalidInput(
                "there is no window, and no points that it could bound: write LEFT,RIGHT,BOTTOM,TOP, or LOW,HIGH of a "
                "line.",
                field="window",
            )
        origin = torch.tensor(self.origin, dtype=torch.float64)
        return slice_along(origin, torch.tensor(self.directions, dtype=torch.float64), window)


@dataclass(frozen=True)
class SliceRequest:
    """A slice to take.

    Attributes:
        place: where.
        condition: held fixed; required where the generator takes one.
        up_to: name of the value that shall be affine on every tile; None for what feeds the smooth head.
        boundary: whether to cut along the decision boundary too.
        max_tiles: tiles at most; 0 for the server's limit.
        volumes: whether log-volumes of the tiles will be asked for.
        precision: their arithmetic, FLOAT64 or FLOAT32.
    """

    place: SlicePlace
    condition: Condition | None = None
    up_to: str | None = None
    boundary: bool = False
    max_tiles: int = 0
    volumes: bool = False
    precision: Precision = Precision.FLOAT64


@dataclass(frozen=True)
class Sliced:
    """A slice that was taken.

    Attributes:
        held: the generator, its condition held fixed.
        tessellation: its tiles.
        statistics: their figures.
        max_tiles: the budget that was kept to.
        engine: how log-volumes of the tiles are computed; None where none are asked for, or where TRUNCATED.
    """

    held: HeldGenerator
    tessellation: Tessellation
    statistics: TessellationStatistics
    max_tiles: int
    engine: Engine | None

    @property
    def units(self) -> int:
        """Width of a tile's activation pattern."""
        return sum(layer.units for layer in self.tessellation.layers)


def sliced(registry: Registry, reference: str, request: SliceRequest, should_stop: StopSignal | None = None) -> Sliced:
    """Takes a slice.

    Arguments:
        registry: what the server holds.
        reference: `name` or `name@version`.
        request: the slice.
        should_stop: asked before every node; once it answers true the call ends in Cancelled.

    Returns:
        Its tiles; where a budget ended them, those of the layers before.

    Raises:
        InvalidInput: a condition that is not the generator's, more tiles than the server allows, log-volumes of another
            value than that before the head, or as `SlicePlace.settled` and `tessellate`.
        UnknownResource, Refused, DamagedData: as `GeneratorShelf.get`; Refused (NOT_PIECEWISE_AFFINE) as `tessellate`.
        Cancelled: `should_stop` answered true.

    Accuracy: exact up to the rounding of float64, as `tessellate`.
    """
    held = registry.get(reference, request.condition)
    generator = held.generator
    max_tiles = registry.tiles_within(request.max_tiles)
    place = request.place.settled(generator.latent_dim)
    engine = registry.engine(request.precision)
    whole = target_of(generator, request.up_to).target == generator.plan(Manifold.PRE_ACTIVATION).target
    if request.volumes and not whole:
        raise InvalidInput(
            "log-volumes are those of the value before the smooth head: leave up_to out, or ask for none.",
            field="up_to",
        )
    found = tessellate(
        generator,
        place,
        up_to=request.up_to,
        boundary=request.boundary,
        max_tiles=max_tiles,
        max_memory=registry.max_memory,
        threads=engine.threads,
        should_stop=should_stop,
    )
    # Where layers are left out a tile is not one of the whole network, and has no one Jacobian.
    measured = request.volumes and found.extent is Extent.COMPLETE
    return Sliced(held, found, statistics(found), max_tiles, engine if measured else None)


def layers_of(registry: Registry, reference: str, request: SliceRequest) -> int:
    """Number of nonlinearities that a slice would take into account at most; raises as `sliced` does of the same."""
    held = registry.get(reference, request.condition)
    nodes = held.generator.graph.nodes
    steps = target_of(held.generator, request.up_to).steps
    return sum(TABLE[nodes[step].operation].kind is Kind.PIECEWISE_LINEAR for step in steps)


def patterns_of(found: Sliced, first: int, count: int, should_stop: StopSignal | None = None) -> NDArray[np.integer]:
    """Activation patterns of some tiles.

    Arguments:
        found: the slice.
        first: number of the first tile.
        count: tiles.
        should_stop: asked before every batch.

    Returns:
        [count, units], uint8, or int32 where an operation takes the largest of several values.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: as `tile_patterns`.
    """
    states = tile_patterns(found.held.generator, found.tessellation, range(first, first + count), should_stop).numpy()
    return states if states.dtype == np.int32 else states.astype(np.uint8)


def volumes_of(found: Sliced, first: int, count: int, should_stop: StopSignal | None = None) -> Volumes | None:
    """Volumes of some tiles, in all directions of the latent space.

    Arguments:
        found: the slice.
        first: number of the first tile, a multiple of tile_rows, so that the bytes are those of all tiles in one call.
        count: tiles.
        should_stop: asked before every piece of work.

    Returns:
        As `tile_volumes`; None where the slice has none.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: as `tile_volumes`.
    """
    if found.engine is None:
        return None
    return tile_volumes(
        found.held.generator, found.tessellation, range(first, first + count), found.engine, should_stop
    )


def boundary_density(
    registry: Registry,
    reference: str,
    request: SliceRequest,
    columns: int,
    rows: int,
    should_stop: StopSignal | None = None,
) -> tuple[Sliced, NDArray[np.float64]]:
    """Measures the length of the units' boundaries in the cells of a grid.

    Arguments:
        registry: what the server holds.
        reference: `name` or `name@version`.
        request: the plane; its decision boundary and log-volumes do not matter.
        columns, rows: of the grid.
        should_stop: as `sliced`.

    Returns:
        The slice, and [layers, rows, columns] as `hyperplane_density`.

    Raises:
        InvalidInput: a line, no cells, or as `sliced`.
        UnknownResource, Refused, DamagedData, Cancelled: as `sliced`.

    Accuracy: as `hyperplane_density`.
    """
    if request.place.axes == 1:
        raise InvalidInput("a line has no cells: write three points, or two directions.", field=request.place.field)
    found = sliced(registry, reference, replace(request, boundary=False, volumes=False), should_stop)
    return found, hyperplane_density(found.tessellation, (columns, rows))


def _check_width(latents: NDArray[np.floating[Any]], width: int, field: str) -> None:
    if latents.shape[-1] != width:
        raise InvalidInput(
            f"{field}: latents of this generator have {width} numbers; these have {latents.shape[-1]}.", field=field
        )
