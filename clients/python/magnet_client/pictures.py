"""Pictures from arrays and PNG files: contact sheets."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from magnet_client.errors import InvalidInput, ServerFault

__all__ = ["decode_png", "sheet"]

_GAP = 2
_SMALL = 64
"""Pixels: images narrower than this are magnified by a whole factor, so that a sheet of 28 x 28 can be looked at."""


def decode_png(files: Sequence[bytes]) -> NDArray[np.uint8]:
    """Decode PNG files of one size.

    Arguments:
        files: at least one PNG file, grey, RGB or RGBA.

    Returns:
        uint8 [rows, H, W] or [rows, H, W, C] with C of 3 or 4.

    Raises:
        ServerFault: if one is no PNG.

    Accuracy: exact.
    """
    try:
        return np.stack([np.asarray(Image.open(io.BytesIO(file), formats=["PNG"])) for file in files])
    except (OSError, ValueError) as error:
        raise ServerFault(f"an image in the answer is damaged: {error}", reason="MALFORMED_ANSWER") from error


def sheet(images: NDArray[np.uint8] | NDArray[np.float32], columns: int | None = None) -> Image.Image:
    """Lay images out on a sheet, row by row.

    Arguments:
        images: [rows, H, W], [rows, 1, H, W], [rows, H, W, C] or [rows, C, H, W] with C of 1, 3 or 4; uint8, or
            float32 scaled from its own lowest and highest finite value.
        columns: images in one row of the sheet; about a square when None.

    Returns:
        A grey, RGB or RGBA picture on white; images under 64 pixels are magnified by a whole factor.

    Raises:
        InvalidInput: for outputs that are no pictures, no image at all, or columns < 1.

    Accuracy: exact for uint8.
    """
    if columns is not None and columns < 1:
        raise InvalidInput(f"columns must be at least 1; not {columns}", field="columns", reason="INVALID_INPUT")
    grid = _as_bytes(_channels_last(images))
    count, height, width = grid.shape[:3]
    if count == 0:
        raise InvalidInput("a contact sheet needs at least one image", field="images", reason="INVALID_INPUT")
    across = min(count, columns if columns is not None else math.ceil(math.sqrt(count)))
    down = math.ceil(count / across)
    scale = max(1, _SMALL // max(height, width))
    step_y, step_x = height * scale + _GAP, width * scale + _GAP
    canvas = np.full((down * step_y + _GAP, across * step_x + _GAP, *grid.shape[3:]), 255, np.uint8)
    for index, image in enumerate(grid):
        top, left = _GAP + index // across * step_y, _GAP + index % across * step_x
        big = image.repeat(scale, axis=0).repeat(scale, axis=1)
        canvas[top : top + height * scale, left : left + width * scale] = big
    return Image.fromarray(canvas)


def _channels_last(images: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.uint8] | NDArray[np.float32]:
    if images.ndim == 4:
        first, last = images.shape[1], images.shape[-1]
        # A last 4 after a first 1 or 3 is taken for a width of 4 rather than for RGBA.
        if (first in (1, 3) and last not in (1, 3)) or (first == 4 and last not in (1, 3, 4)):
            images = np.moveaxis(images, 1, -1)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (3, 4)):
        return images
    raise InvalidInput(
        f"outputs of shape {list(images.shape[1:])} are no pictures; save them as .npz",
        field="images",
        reason="INVALID_INPUT",
    )


def _as_bytes(images: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.uint8]:
    if images.dtype == np.uint8:
        return images.astype(np.uint8, copy=False)
    values = images.astype(np.float64)
    seen = values[np.isfinite(values)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    shares = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / (high - low or 1.0)
    return np.rint(shares * 255).astype(np.uint8)
