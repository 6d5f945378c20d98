"""Pictures from arrays and PNG files: contact sheets."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from magnet_client.errors import InvalidInput, ServerFault

__all__ = ["decode_png", "sheet", "sheet_of_classes"]

_GAP = 2
_ACROSS = 20
_LETTERS = 14
"""Pixels: height of the letters of labels."""
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
    count = len(grid)
    across = max(1, min(count, columns if columns is not None else math.ceil(math.sqrt(count))))
    return Image.fromarray(_laid_out(grid, [(index // across, index % across) for index in range(count)]))


def sheet_of_classes(
    images: NDArray[np.uint8] | NDArray[np.float32],
    classes: Sequence[int],
    labels: Sequence[str],
    columns: int | None = None,
) -> Image.Image:
    """Lay images out with lines of its own for each class, its label beside them.

    Arguments:
        images: as for `sheet`.
        classes: class of each image; classes come in ascending order, images of one in their own.
        labels: label of each image's class.
        columns: images in one line; all of a class, 20 at most, when None.

    Returns:
        A picture on white, labels in the left margin.

    Raises:
        InvalidInput: as `sheet`.

    Accuracy: exact for uint8.
    """
    if columns is not None and columns < 1:
        raise InvalidInput(f"columns must be at least 1; not {columns}", field="columns", reason="INVALID_INPUT")
    grid = _as_bytes(_channels_last(images))
    rows = {one: [index for index, other in enumerate(classes) if other == one] for one in sorted(set(classes))}
    most = max((len(indices) for indices in rows.values()), default=1)
    across = min(most, columns if columns is not None else _ACROSS)
    places: dict[int, tuple[int, int]] = {}
    starts: list[tuple[int, str]] = []
    line = 0
    for indices in rows.values():
        starts.append((line, labels[indices[0]]))
        places.update({index: (line + step // across, step % across) for step, index in enumerate(indices)})
        line += -(-len(indices) // across)
    picture = Image.fromarray(_laid_out(grid, [places[index] for index in range(len(grid))]))
    return _beside(picture, starts, (picture.height - _GAP) // line)


def _laid_out(grid: NDArray[np.uint8], places: Sequence[tuple[int, int]]) -> NDArray[np.uint8]:
    if not places:
        raise InvalidInput("a contact sheet needs at least one image", field="images", reason="INVALID_INPUT")
    height, width = grid.shape[1:3]
    scale = max(1, _SMALL // max(height, width))
    step_y, step_x = height * scale + _GAP, width * scale + _GAP
    down, across = max(row for row, _ in places) + 1, max(column for _, column in places) + 1
    canvas = np.full((down * step_y + _GAP, across * step_x + _GAP, *grid.shape[3:]), 255, np.uint8)
    for image, (row, column) in zip(grid, places, strict=True):
        top, left = _GAP + row * step_y, _GAP + column * step_x
        big = image.repeat(scale, axis=0).repeat(scale, axis=1)
        canvas[top : top + height * scale, left : left + width * scale] = big
    return canvas


def _beside(picture: Image.Image, starts: Sequence[tuple[int, str]], step: int) -> Image.Image:
    font = ImageFont.load_default(_LETTERS)
    margin = math.ceil(max(font.getlength(label) for _, label in starts)) + 4 * _GAP
    whole = Image.new(picture.mode, (picture.width + margin, picture.height), "white")
    whole.paste(picture, (margin, 0))
    draw = ImageDraw.Draw(whole)
    for line, label in starts:
        draw.text((2 * _GAP, _GAP + line * step + (step - _GAP) // 2), label, fill="black", font=font, anchor="lm")
    return whole


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
