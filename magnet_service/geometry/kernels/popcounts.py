"""Distances between packed patterns, counted a word at a time, and the rows of a bank that are nearest by them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["BEYOND", "ROW_BITS", "keep_nearest", "pair_distances"]

Words = NDArray[np.uint64]
Keys = NDArray[np.int64]
Runs = NDArray[np.int64]

ROW_BITS = 40
"""Bits of a key that hold the row; the distance stands above them, so that keys are ordered by distance, then row."""

BEYOND = np.int64(2**63 - 1)
"""A key behind all others."""


@intrinsic  # type: ignore[untyped-decorator]
def ones_in(typing: Any, word: Any) -> Any:
    """How many bits of a word are 1."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.ctpop(given[0])

    return types.int64(types.uint64), generate


@compiled
def differing_bits(left: Words, start: int, right: Words, begin: int, words: int) -> int:
    """Bits in which some words differ.

    Places are unsigned: signed ones would be checked for counting from the end, and no vectors made of the words.
    """
    total, one, other = 0, np.uintp(start), np.uintp(begin)
    for word in range(words):
        at = np.uintp(word)
        total += ones_in(left[one + at] ^ right[other + at])
    return total


@compiled
def differing_pairs(left: Words, start: int, right: Words, begin: int, words: int) -> int:
    """Places in which two planes of so many words each, one after the other, differ."""
    total, one, other = 0, np.uintp(start), np.uintp(begin)
    for word in range(words):
        at, then = np.uintp(word), np.uintp(word + words)
        total += ones_in((left[one + at] ^ right[other + at]) | (left[one + then] ^ right[other + then]))
    return total


@compiled
def differing(left: Words, start: int, right: Words, begin: int, runs: Runs) -> int:
    """Units in which two rows of words differ.

    Arguments:
        left: flat.
        start: of the row in it.
        right: flat.
        begin: of the row in it.
        runs: first word, words of a plane, and planes of each run, one plane after another; each unit has one bit at
            the same place of each plane.
    """
    total = 0
    for run in range(runs.shape[0]):
        first, size, planes = runs[run, 0], runs[run, 1], runs[run, 2]
        if planes == 1:
            total += differing_bits(left, start + first, right, begin + first, size)
        elif planes == 2:
            total += differing_pairs(left, start + first, right, begin + first, size)
        else:
            one, other = np.uintp(start + first), np.uintp(begin + first)
            for word in range(size):
                at = np.uintp(word)
                bits = left[one + at] ^ right[other + at]
                for _ in range(1, planes):
                    at += np.uintp(size)
                    bits |= left[one + at] ^ right[other + at]
                total += ones_in(bits)
    return total


@compiled
def pair_distances(left: Words, right: Words, words: int, runs: Runs, made: Keys) -> None:
    """Units in which each row of `left` differs from the same row of `right`, both flat."""
    for row in range(made.shape[0]):
        made[row] = differing(left, row * words, right, row * words, runs)


@compiled
def keep_nearest(bank: Words, words: int, first: int, last: int, queries: Words, runs: Runs, keys: Keys) -> None:
    """Look at some rows of a bank and keep, for each query, the keys of the nearest seen so far.

    Arguments:
        bank: all its rows, flat.
        words: of a row.
        first, last: the rows to look at, `last` left out; as many as stay in cache while all queries look at them.
        queries: rows to find neighbours of, flat.
        runs: as `differing` wants them.
        keys: for each query a heap with the largest key first; begun with `BEYOND`.
    """
    plain = runs.shape[0] == 1 and runs[0, 2] == 1
    for query in range(keys.shape[0]):
        heap = keys[query]
        for row in range(first, last):
            if plain:
                distance = differing_bits(bank, row * words, queries, query * words, words)
            else:
                distance = differing(bank, row * words, queries, query * words, runs)
            key = (np.int64(distance) << ROW_BITS) | row
            if key < heap[0]:
                sift(heap, key)


@compiled
def sift(heap: Keys, key: np.int64) -> None:
    """Put a key in the place of the largest."""
    count, at = heap.shape[0], 0
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key
