"""Real images from a .npz file, in the shape and the range of a generator's outputs."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from magnet_service.errors import InvalidInput

__all__ = ["read_images"]

_FIELD = "real"
_ARRAY = "images"
_SLACK = 1e-3  # of the range: what rounding of others may put outside


def read_images(
    path: Path, output_shape: tuple[int, ...], value_range: tuple[float, float]
) -> Float32[np.ndarray, "rows ..."]:
    """Reads real images as a generator would have made them.

    The file holds one array, `images`: [n, *output_shape], or [n, H, W], or [n, H, W, C] for a generator of channels
    first; uint8, 0 to 255 standing for the generator's output range, or floats in that range.

    Arguments:
        path: a .npz file; a pickle in it is not read.
        output_shape: of one output of the generator.
        value_range: smallest and largest output.

    Returns:
        Images, [n, *output_shape].

    Raises:
        InvalidInput: no such file, one that is no .npz, an array of objects, another or several arrays, images of
            another shape or type, no image, values that are not finite or outside the range, or that use less than half
            of it, as those of another range would; field `real`.

    Accuracy: float32.
    """
    found = _array(path)
    if found.dtype != np.uint8 and found.dtype.kind != "f":
        raise _invalid(path, f"its images are {found.dtype}: write uint8, or floats in the generator's output range")
    if found.ndim < 2 or not len(found):
        raise _invalid(path, f"images has shape {list(found.shape)}: write [n, {_listed(output_shape)}]")
    shaped = _shaped(path, found, output_shape)
    low, high = value_range
    if shaped.dtype == np.uint8:
        _check_bytes(path, shaped)
        return (shaped.astype(np.float32) / np.float32(255.0) * np.float32(high - low) + np.float32(low)).astype(
            np.float32
        )
    _check_floats(path, shaped, low, high)
    return shaped.astype(np.float32)


def _array(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise _invalid(path, "there is no such file: name a .npz file that holds one array, images")
    try:
        if not zipfile.is_zipfile(path):
            raise _invalid(path, "it is no .npz file: write one with np.savez_compressed(path, images=images)")
        with np.load(path, allow_pickle=False) as held:
            names = held.files
            if names != [_ARRAY]:
                listed = ", ".join(names[:8]) or "none"
                raise _invalid(path, f"its arrays are {listed}: write one array and call it images")
            array: NDArray[Any] = held[_ARRAY]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        if "Object arrays" in str(error):
            what = "images holds objects (a pickle), which are never read: write uint8 or floats"
            raise _invalid(path, what) from error
        raise _invalid(
            path, f"it cannot be read as a .npz file ({str(error)[:200] or type(error).__name__})"
        ) from error
    return array


def _shaped(path: Path, found: NDArray[Any], output_shape: tuple[int, ...]) -> NDArray[Any]:
    given = tuple(found.shape[1:])
    if given == output_shape:
        return found
    if len(given) == 3 and (given[2], *given[:2]) == output_shape:
        return found.transpose(0, 3, 1, 2)
    if _without_ones(given) == _without_ones(output_shape):
        return found.reshape(len(found), *output_shape)
    raise _invalid(
        path, f"its images have shape {list(given)}, and the generator makes [{_listed(output_shape)}]: resize them"
    )


def _check_bytes(path: Path, images: NDArray[Any]) -> None:
    largest = int(images.max())
    if largest <= 1:
        raise _invalid(path, f"its bytes run from 0 to {largest}, where 0 to 255 stand for the range: multiply by 255")


def _check_floats(path: Path, images: NDArray[Any], low: float, high: float) -> None:
    least, most = float(images.min()), float(images.max())
    wanted = f"the generator's outputs lie in [{low:g}, {high:g}]: map them there, or write uint8"
    if not (math.isfinite(least) and math.isfinite(most)):
        raise _invalid(path, "its images hold values that are not finite: leave those images out")
    margin = _SLACK * (high - low)
    if least < low - margin or most > high + margin:
        raise _invalid(path, f"its values run from {least:g} to {most:g}, and {wanted}")
    if most - least <= 0.5 * (high - low) + margin:
        raise _invalid(path, f"its values run from {least:g} to {most:g} only, and {wanted}")


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def _invalid(path: Path, what: str) -> InvalidInput:
    return InvalidInput(f"--real {path}: {what}.", field=_FIELD)
