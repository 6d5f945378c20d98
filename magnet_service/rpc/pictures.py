"""Outputs of a generator as pictures: bytes of 0 to 255, and PNG files."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from magnet_service.errors import InvalidInput
from magnet_service.generator.card import GeneratorCard

__all__ = ["png_bytes", "png_files", "to_bytes"]

_PNG_LEVEL = 1  # four times as fast as the default level for a few percent more bytes


def to_bytes(values: Float[np.ndarray, "rows ..."], card: GeneratorCard) -> UInt8[np.ndarray, "rows ..."]:
    """Maps the output range to 0..255 and puts channels last.

        byte = round(255 (x - low) / (high - low)), held within 0..255; 0 where x is not a number

    Arguments:
        values: outputs as the generator gives them.
        card: its layout and range.

    Returns:
        [rows, H, W] for one channel, [rows, H, W, C] for several, [rows, D] for the layout `vector`.

    Raises:
        Nothing.

    Accuracy: rounding to the nearest, ties to even.
    """
    low, high = card.value_range
    scaled = (values.astype(np.float64) - low) * (255.0 / (high - low))
    pixels = np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0.0, 255.0)).astype(np.uint8)
    if card.layout in ("CHW", "HW") and pixels.ndim == 4:
        pixels = np.moveaxis(pixels, 1, -1)
    if pixels.ndim == 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return np.ascontiguousarray(pixels)


def png_files(pixels: UInt8[np.ndarray, "rows ..."], card: GeneratorCard) -> list[bytes]:
    """Writes each row as a PNG file.

    Arguments:
        pixels: from `to_bytes`.
        card: of the generator, for the message.

    Returns:
        One file a row; the same pixels give the same bytes with one Pillow and zlib.

    Raises:
        InvalidInput: the rows are no pictures of 1, 3 or 4 channels; the field is `outputs.images`.

    Accuracy: lossless.
    """
    if pixels.ndim not in (3, 4) or card.layout == "vector" or (pixels.ndim == 4 and pixels.shape[-1] not in (3, 4)):
        raise InvalidInput(
            f"Outputs of {card.name} have shape {list(pixels.shape[1:])} and layout {card.layout}, which PNG cannot "
            "hold: ask for IMAGES_FLOAT32 or IMAGES_UINT8.",
            field="outputs.images",
        )
    return [_png(picture) for picture in pixels]


def png_bytes(shape: Sequence[int], card: GeneratorCard) -> int:
    """Largest size of one PNG file.

    Arguments:
        shape: of one output.
        card: its layout.

    Returns:
        Bytes.

    Raises:
        Nothing.

    Accuracy: an upper bound. Noise does not compress: beside its pixels a file has one filter byte a line, and what
        zlib and PNG write around their blocks.
    """
    size = math.prod(shape)
    rows = -3 if card.layout == "HWC" and len(shape) > 2 else -2
    height = shape[rows] if len(shape) > 1 else 0
    return size + 256 + height + size // 1000


def _png(picture: UInt8[np.ndarray, "height width ..."]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()
