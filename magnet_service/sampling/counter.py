"""Counter-based uniform numbers: what row i gets depends on the seed, the stream and i, and on nothing else."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from jaxtyping import Float64

from magnet_service.errors import InvalidInput

__all__ = ["MAX_ROW", "MAX_SEED", "Stream", "check_seed", "uniforms"]

MAX_SEED = 2**64 - 1
MAX_ROW = 2**63

_WORDS_PER_BLOCK = 4


class Stream(IntEnum):
    """Independent streams under one seed; a number, once given, is never given again."""

    LATENTS = 0
    RESAMPLE = 1
    GUMBEL = 2
    SCREEN = 3
    CHAIN = 4


def check_seed(seed: int) -> int:
    """The seed itself, where it is one.

    Arguments:
        seed: integer from 0 to 2^64 - 1.

    Returns:
        The same integer.

    Raises:
        InvalidInput: outside that range; field `seed`.

    Accuracy:
        Exact.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= int(seed) <= MAX_SEED:
        raise InvalidInput(f"seed is {seed!r}: write an integer from 0 to {MAX_SEED}", field="seed")
    return int(seed)


def uniforms(seed: int, stream: Stream, start: int, rows: int, words: int) -> Float64[np.ndarray, "rows words"]:
    """Uniform numbers of the open interval (0, 1), addressed by row.

        u[i, j] = (floor(w / 2^12) + 1/2) 2^-52
        w = Philox-4x64-10(key = (seed, stream), counter = i B + j // 4)[j mod 4]

    with B = ceil(words / 4) blocks a row, so that rows lie one after the other in the counter's sequence and a page of
    them is one vectorised call. 52 bits are kept: with 53 the largest would round to 1.

    Arguments:
        seed: first word of the key, 0 to 2^64 - 1.
        stream: second word of the key.
        start: index of the first row, 0 to 2^63.
        rows: number of rows.
        words: numbers in a row. Two calls see the same numbers only with the same `words`.

    Returns:
        Numbers from 2^-53 to 1 - 2^-53, shape [rows, words]; equal on every machine.

    Raises:
        InvalidInput: seed, start, rows or words out of range.

    Accuracy:
        Exact: integers and a scaling by a power of two.

    References:
        Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    Example:
        >>> page = uniforms(7, Stream.LATENTS, start=0, rows=6, words=3)
        >>> bool((uniforms(7, Stream.LATENTS, start=4, rows=2, words=3) == page[4:]).all())
        True
    """
    check_seed(seed)
    if not 0 <= start <= MAX_ROW:
        raise InvalidInput(f"the first row is {start}: write an index from 0 to {MAX_ROW}", field="offset")
    if rows < 0 or words < 1:
        raise InvalidInput(f"{rows} rows of {words} numbers: write rows >= 0 and words >= 1", field="count")
    blocks = -(-words // _WORDS_PER_BLOCK)
    key = np.array([seed, int(stream)], dtype=np.uint64)
    # numpy adds one to the counter before it makes a block, so the counter given is the one before the first block.
    counter = (start * blocks - 1) % 2**256
    raw = np.random.Philox(key=key, counter=counter).random_raw(rows * blocks * _WORDS_PER_BLOCK)
    bits = (raw >> np.uint64(12)).reshape(rows, blocks * _WORDS_PER_BLOCK)[:, :words]
    return (bits.astype(np.float64) + 0.5) * 2.0**-52
