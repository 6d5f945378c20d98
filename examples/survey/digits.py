"""Images of digits, drawn from bitmaps of 5 by 7 points under random affine maps, strokes and noise.

A stand-in for MNIST that needs no download: harder than bitmaps, easier than handwriting.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate, pad

__all__ = ["GLYPHS", "digits"]

GLYPHS = (
    "01110 10001 10011 10101 11001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111",
    "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)
"""Rows of the ten digits, from the top."""

_FINE = 8
"""Points of the sharp image for one of a bitmap."""


def digits(count: int, *, size: int = 28, noise: float = 0.05, seed: int) -> tuple[Tensor, Tensor]:
    """Random images of random digits.

    Each is turned by up to 15 degrees, sheared, stretched and moved, its stroke blurred by a width of its own and
    scaled by a brightness of its own; then normal noise is added.

    Arguments:
        count: images.
        size: pixels of a side.
        noise: standard deviation.
        seed: of everything random.

    Returns:
        Images [count, 1, size, size], most values in 0 to 1, and digits [count].
    """
    draws = torch.Generator().manual_seed(seed)

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=draws)

    which = torch.randint(10, (count,), generator=draws)
    angle, shear = between(-0.26, 0.26), between(-0.25, 0.25)
    wide, high = between(0.95, 1.3), between(0.95, 1.2)
    across, down = between(-0.18, 0.18), between(-0.14, 0.14)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).reshape(-1, 2, 2)
    lean = torch.stack([wide, shear, torch.zeros(count), high], dim=1).reshape(-1, 2, 2)
    maps = torch.cat([turn @ lean, torch.stack([across, down], dim=1)[..., None]], dim=2)
    sharp = strokes()[which]
    blurred = avg_pool2d(sharp, 5, stride=1, padding=2)
    mix = between(0.0, 1.0)[:, None, None, None]
    grid = affine_grid(maps, [count, 1, size, size], align_corners=False)
    images = grid_sample(mix * sharp + (1 - mix) * blurred, grid, align_corners=False)
    images = images * between(0.7, 1.0)[:, None, None, None]
    return images + noise * torch.randn(images.shape, generator=draws), which


def strokes() -> Tensor:
    """The ten bitmaps, finer, with a margin: [10, 1, height, width], square."""
    bitmaps = torch.tensor([[[float(point) for point in row] for row in glyph.split()] for glyph in GLYPHS])[:, None]
    # Smoothed before the threshold, so that steps become slants.
    fine = interpolate(pad(bitmaps, (3, 3, 2, 2)), scale_factor=_FINE, mode="bicubic", align_corners=False)
    return (fine - 0.15).mul(2.5).clamp(0, 1)
