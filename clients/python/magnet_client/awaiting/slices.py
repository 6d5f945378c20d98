"""Slices: tiles of a plane or a line, and where the units' boundaries lie."""

from __future__ import annotations

import contextlib

from numpy.typing import ArrayLike

from magnet_client import codec
from magnet_client.awaiting.connection import AsyncConnection
from magnet_client.hyperplanes import HyperplaneDensity
from magnet_client.tessellation import Tessellation
from magnet_client.words import ConditionLike, PrecisionWord

__all__ = ["AsyncSlices"]


class AsyncSlices(AsyncConnection):
    """Calls of the geometry service about slices."""

    async def slice(
        self,
        generator: str,
        points: ArrayLike | None = None,
        *,
        origin: ArrayLike | None = None,
        directions: ArrayLike | None = None,
        window: ArrayLike | None = None,
        condition: ConditionLike | None = None,
        up_to: str | None = None,
        boundary: bool = False,
        max_tiles: int | None = None,
        patterns: bool = False,
        volumes: bool = False,
        masses: bool = False,
        precision: PrecisionWord = "float64",
        timeout: float | None = None,
    ) -> Tessellation:
        """Cut a window of a plane, or a segment of a line, into its tiles; as `Client.slice`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.slice_request(
            generator,
            points,
            origin,
            directions,
            window,
            condition,
            up_to,
            boundary,
            max_tiles,
            patterns,
            volumes,
            masses,
            precision,
        )
        assembly = codec.SliceAssembly(points)
        async with contextlib.aclosing(self._iterate(self._geometry.Slice, request, timeout)) as parts:
            async for part in parts:
                assembly.add(part)
        return assembly.finish()

    async def hyperplane_density(
        self,
        generator: str,
        points: ArrayLike | None = None,
        *,
        origin: ArrayLike | None = None,
        directions: ArrayLike | None = None,
        window: ArrayLike | None = None,
        condition: ConditionLike | None = None,
        up_to: str | None = None,
        max_tiles: int | None = None,
        cells: tuple[int, int] = (128, 128),
        timeout: float | None = None,
    ) -> HyperplaneDensity:
        """Measure the length of the units' boundaries in the cells of a grid; as `Client.hyperplane_density`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        sliced = codec.slice_request(
            generator,
            points,
            origin,
            directions,
            window,
            condition,
            up_to,
            False,
            max_tiles,
            False,
            False,
            False,
            "float64",
        )
        request = codec.hyperplane_density_request(sliced, cells)
        return codec.decode_hyperplane_density(
            await self._call(self._geometry.HyperplaneDensity, request, timeout), points
        )
