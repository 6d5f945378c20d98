"""The kernels of volumes compiled ahead of the first computation."""

from __future__ import annotations

import numpy as np
import torch

from magnet_service.geometry.kernels.determinants import half_log_determinants
from magnet_service.geometry.kernels.eigenvalues import log_singular_values_of_grams
from magnet_service.geometry.kernels.layers import LANES, affine, combine, grams_of
from magnet_service.geometry.kernels.popcounts import BEYOND, keep_nearest, pair_distances
from magnet_service.geometry.kernels.refinement import refined_grams
from magnet_service.geometry.kernels.rounded import MASKED, affine_rounded, runs_rounded

__all__ = ["make_kernels_ready"]


def make_kernels_ready() -> None:
    """Call every kernel once: about twenty seconds on a machine that has never run them, a fraction of one after that.

    Raises:
        Nothing.
    """
    lines, slopes = np.zeros((1, 1, LANES), np.float32), np.ones((1, 1), np.float32)
    made, grams = np.zeros_like(lines), np.zeros((1, LANES, LANES))
    place, starts = np.zeros(1, np.int32), np.array([0, 1], np.int32)
    taps, segments = np.zeros((1, 2), np.int32), np.array([[0, 1, 0, 1]], np.int32)
    affine(lines, False, slopes, place, 1, slopes, taps, starts, place, segments, 1, made, slopes, True, grams)
    if runs_rounded():
        words = np.zeros((1, MASKED), np.uint16)
        affine_rounded(lines, False, slopes, place, words, segments, made, slopes, True, grams)
    combine(lines, False, slopes, place, made, slopes, False)
    grams_of(lines, grams)
    ones = torch.ones(1, 1, 1, dtype=torch.float64)
    first = ones.numpy()
    refined_grams(lines, np.zeros(1, np.int64), first, first[:0], 1.0, first.copy(), np.zeros(1, np.bool_))
    log_singular_values_of_grams(ones)
    half_log_determinants(ones)
    bits, runs, keys = np.zeros(1, np.uint64), np.array([[0, 1, 1]]), np.full((1, 1), BEYOND)
    keep_nearest(bits, 1, 0, 1, bits, runs, keys)
    pair_distances(bits, bits, 1, runs, keys[0])
