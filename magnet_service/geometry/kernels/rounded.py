"""Tangents through a wide dense layer in bfloat16, on processors that multiply pairs of such numbers at once.

Such a processor adds the products of two pairs of bfloat16 to a float32 in the time of one float32 product. Weights
and tangents are rounded to nearest, ties to even, and stand as uint32 with two of them: in the lower half that of an
even place. Which inputs are pairs is each row's own affair: those that are idle are left out first, of the tangents
once, and of the weights while these are in cache.
"""

from __future__ import annotations

import numpy as np
from numba.core.registry import cpu_target
from numpy.typing import NDArray

from magnet_service.geometry.kernels.blocks import weighted_block
from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.geometry.kernels.halves import compress, store_pairs
from magnet_service.geometry.kernels.layers import LANES, SPARE, find_active, gram, next_lines, next_vectors
from magnet_service.geometry.kernels.vectors import load, splat

__all__ = ["MASKED", "affine_rounded", "runs_rounded"]

Numbers = NDArray[np.float32]
Wide = NDArray[np.float64]
Places = NDArray[np.int32]
Pairs = NDArray[np.uint32]
Words = NDArray[np.uint16]

MASKED = 32
"""Weights of which idle ones are left out at once."""

NEEDED = ("+avx512bf16", "+avx512vbmi2")


def runs_rounded() -> bool:
    """Whether `affine_rounded` can be compiled: whether the processor has AVX512-BF16 and AVX512-VBMI2.

    Returns:
        True where kernels are compiled for such a processor.

    Raises:
        Nothing.
    """
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    return all(name in features for name in NEEDED)


@compiled
def round_lines(lines: Numbers, start: int, stride: int, chosen: Places, count: int, vectors: int, made: Pairs) -> None:
    """Pairs of lines in bfloat16, a panel of at most so many vectors after another.

    Arguments:
        lines: flat.
        start: of line 0.
        stride: numbers in a line.
        chosen: which lines.
        count: how many; a line of zeros is added to an odd one.
        vectors: 4 for panels as blocks of layers read them; as many as there are for one panel.
        made: flat, written; the panel from vector v on begins at v times the vectors that all pairs fill.
    """
    pairs = (count + 1) // 2
    vector, to = 0, 0
    while vector < stride // LANES:
        wide = next_vectors(stride // LANES - vector) if vectors == 4 else vectors
        for pair in range(pairs):
            low = start + chosen[2 * pair] * stride
            high = start + chosen[min(2 * pair + 1, count - 1)] * stride
            for at in range(vector * LANES, (vector + wide) * LANES, LANES):
                if 2 * pair + 1 < count:
                    store_pairs(made, to, load(lines, low + at), load(lines, high + at))
                else:
                    store_pairs(made, to, load(lines, low + at), splat(np.float32(0.0)))
                to += LANES
        vector += wide


@compiled
def affine_rounded(
    tangents: Numbers,
    shared: bool,
    slopes: Numbers,
    lines: Places,
    weights: Words,
    segments: Places,
    made: Numbers,
    made_slopes: Numbers,
    keeps_idle: bool,
    grams: Wide,
) -> None:
    """The lines of a dense layer's units, times their own slopes: products of bfloat16, summed in float32.

    The processor takes numbers below 1e-38 as 0. Lines are kept in float32; what they give to Gram matrices is rounded.

    Arguments:
        tangents: [rows or 1, units before, stride]; lines of idle units are not read.
        shared: whether all rows have the same tangents, without their slopes.
        slopes: [rows, units before], already in the tangents, where they are 0 an input is left out; ones if shared.
        lines: [inputs], the unit that each input is, or -1.
        weights: [outputs, inputs filled up to a multiple of MASKED], the bits of bfloat16.
        segments: [segments, 4], as of `affine`, of which first and last output count.
        made: [rows, outputs, stride], written.
        made_slopes: [rows, outputs].
        keeps_idle: whether the lines of idle units are set to 0, else they are left as they are.
        grams: [rows, stride, stride] to add the units' Gram matrices to, in their lower triangles; or no rows.
    """
    rows, units = made_slopes.shape
    before, stride = tangents.shape[1], tangents.shape[2]
    inputs, width = len(lines), weights.shape[1]
    masked = width // MASKED
    most = 0
    for segment in range(len(segments)):
        most = max(most, segments[segment, 3] - segments[segment, 2])
    flat, flat_made, flat_weights = tangents.reshape(-1), made.reshape(-1), weights.reshape(-1)
    flat_slopes, flat_grams = made_slopes.reshape(-1), grams.reshape(-1)
    listed, listed_lines = np.empty(inputs + 1, np.int32), np.empty(inputs + 1, np.int32)
    counts = np.empty((rows, 1), np.int32)
    masks, places = np.zeros((rows, masked), np.uint32), np.zeros((rows, masked), np.int32)
    pairs = np.empty((rows, (inputs + 1) // 2 * stride), np.uint32)
    for row in range(rows):
        find_active(slopes[row], lines, 1, inputs, listed, listed_lines, counts[row])
        for at in range(counts[row, 0]):
            masks[row, listed[at] // MASKED] |= np.uint32(1) << np.uint32(listed[at] % MASKED)
            places[row, listed[at] // MASKED] += 1
        found = 0
        for at in range(masked):
            found, places[row, at] = found + places[row, at], found
        start = 0 if shared else row * before * stride
        round_lines(flat, start, stride, listed_lines, counts[row, 0], 4, pairs[row])
    words = width + MASKED
    compact = np.empty(most * words, np.uint16)
    compact_pairs = compact.view(np.uint32)
    every = np.arange(width, dtype=np.int32)
    active = np.empty(most + SPARE, np.int32)
    made_pairs = np.empty((most + 1) // 2 * stride, np.uint32)
    for segment in range(len(segments)):
        first, last = segments[segment, 2], segments[segment, 3]
        for row in range(rows):
            unit = row * units
            wanted = 0
            for output in range(first, last):
                active[wanted] = output
                wanted += flat_slopes[unit + output] != 0.0
            if keeps_idle and wanted < last - first:
                for output in range(first, last):
                    if flat_slopes[unit + output] == 0.0:
                        for at in range((unit + output) * stride, (unit + output + 1) * stride):
                            flat_made[at] = 0.0
            if wanted == 0:
                continue
            for spare in range(SPARE):
                active[wanted + spare] = active[wanted - 1]
            count = counts[row, 0]
            for chosen in range(wanted):
                begin, to = active[chosen] * width, (active[chosen] - first) * words
                for at in range(masked):
                    compress(flat_weights, begin + at * MASKED, masks[row, at], compact, to + places[row, at])
                compact[to + count] = 0
            paired = (count + 1) // 2
            vector = 0
            while vector < stride // LANES:
                wide = next_vectors(stride // LANES - vector)
                at = 0
                while at < wanted:
                    tall = next_lines(wanted - at, wide)
                    weighted_block(
                        (tall, wide), compact_pairs, (-first * (words // 2), words // 2), pairs[row],
                        (vector * LANES * paired, wide * LANES), (every, every), paired, active, at,
                        flat_made, (unit * stride + vector * LANES, stride), flat_slopes, unit,
                    )  # fmt: skip
                    at += tall
                vector += wide
            if len(grams):
                round_lines(flat_made, unit * stride, stride, active, wanted, stride // LANES, made_pairs)
                gram(made_pairs, 0, stride, (wanted + 1) // 2, flat_grams, row * stride * stride)
