"""Where the zero sets of functions cross edges.

A function is affine on every edge, so it crosses where its signs at the two ends differ, at the place that linear
interpolation says. Both tiles of an edge take the same crossings from here.
"""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.geometry.planar.bits import ones_in, trailing_zeros

__all__ = ["plan_crossings"]

FEW = 32
"""Numbers that are sorted by insertion."""


@compiled
def crossing_bits(edge, word, ends, allowed, positive, negative):  # type: ignore[no-untyped-def]
    """Functions of one word that cross an edge."""
    first, second = ends[edge, 0], ends[edge, 1]
    bits = (positive[first, word] & negative[second, word]) | (negative[first, word] & positive[second, word])
    return bits & allowed[edge, word] if allowed.shape[0] > 0 else bits


@compiled
def share(edge, function, ends, values, columns, levels):  # type: ignore[no-untyped-def]
    """Where along an edge, from 0 to 1, a function reaches its level."""
    first = values[ends[edge, 0], columns[function]] - levels[function]
    second = values[ends[edge, 1], columns[function]] - levels[function]
    return first / (first - second)


@compiled
def length(edge, ends, points):  # type: ignore[no-untyped-def]
    """Length of an edge."""
    first, second = ends[edge, 0], ends[edge, 1]
    return np.hypot(points[second, 0] - points[first, 0], points[second, 1] - points[first, 1])


@compiled
def plan_crossings(ends, allowed, positive, negative, values, columns, levels, points, near):  # type: ignore[no-untyped-def]
    """All crossings of all edges.

    Arguments:
        ends: [edges, 2], vertices.
        allowed: [edges, words] bits of the functions that may cross an edge; no rows for all.
        positive, negative: [vertices, words] signs; those of vertices nearer than `near` to a crossing are cleared.
        values, columns, levels: [vertices, width] values, each function's column of them, and its level.
        points: [vertices, 2].
        near: nearest distance of two vertices.

    Returns:
        How often two were taken for one; where the list of each edge begins; the lists: each crossing's function, and
        which of its edge's new vertices it is at; the share of its edge at which new vertex i of an edge lies, at
        starts[edge] + i; new vertices of each edge.
    """
    edges = ends.shape[0]
    merged = snap(ends, allowed, positive, negative, values, columns, levels, points, near)
    starts = np.empty(edges + 1, np.int64)
    starts[0] = 0
    for edge in range(edges):
        found = 0
        for word in range(positive.shape[1]):
            found += ones_in(crossing_bits(edge, word, ends, allowed, positive, negative))
        starts[edge + 1] = starts[edge] + found
    total = starts[edges]
    functions, ordinals = np.empty(total, np.int32), np.empty(total, np.int32)
    places, made = np.empty(total, np.float64), np.empty(edges, np.int64)
    lines = (ends, allowed, positive, negative)
    merged += place_crossings(*lines, values, columns, levels, points, near, starts, functions, ordinals, places, made)
    return merged, starts, functions, ordinals, places, made


@compiled
def snap(ends, allowed, positive, negative, values, columns, levels, points, near):  # type: ignore[no-untyped-def]
    """Take vertices for lying on every line that crosses one of their edges nearer than `near`; says how often.

    A vertex's sign is cleared, so that all tiles around it agree.
    """
    snapped = 0
    for edge in range(ends.shape[0]):
        size = -1.0
        for word in range(positive.shape[1]):
            bits = crossing_bits(edge, word, ends, allowed, positive, negative)
            while bits != 0:
                bit = trailing_zeros(bits)
                bits &= bits - np.uint64(1)
                if size < 0:
                    size = length(edge, ends, points)
                along = share(edge, 64 * word + bit, ends, values, columns, levels)
                for end in range(2):
                    if (along if end == 0 else 1.0 - along) * size <= near:
                        vertex = ends[edge, end]
                        positive[vertex, word] &= ~(np.uint64(1) << np.uint64(bit))
                        negative[vertex, word] &= ~(np.uint64(1) << np.uint64(bit))
                        snapped += 1
    return snapped


@compiled
def place_crossings(  # type: ignore[no-untyped-def]
    ends, allowed, positive, negative, values, columns, levels, points, near, starts, functions, ordinals, places, made
):
    """List the crossings of each edge in order of their place; those nearer to one another than `near` are one.

    Arguments:
        starts: [edges + 1], where the list of an edge begins.
        functions, ordinals: written to: the function of each crossing, and which of its edge's new vertices it is at.
        places: written to: share of the edge at which new vertex i of the edge lies, at starts[edge] + i.
        made: [edges], written to: new vertices of each edge.

    Returns:
        Crossings that fell together with another one.
    """
    merged = 0
    for edge in range(ends.shape[0]):
        first, last = starts[edge], starts[edge + 1]
        made[edge] = 0
        if first == last:
            continue
        at = first
        for word in range(positive.shape[1]):
            bits = crossing_bits(edge, word, ends, allowed, positive, negative)
            while bits != 0:
                functions[at] = 64 * word + trailing_zeros(bits)
                places[at] = share(edge, functions[at], ends, values, columns, levels)
                bits &= bits - np.uint64(1)
                at += 1
        sort_pairs(places[first:last], functions[first:last])
        size = length(edge, ends, points)
        count = 0
        for at in range(first, last):
            place = places[at]
            if count > 0 and (place - places[first + count - 1]) * size <= near:
                merged += 1
            else:
                places[first + count] = place
                count += 1
            ordinals[at] = count - 1
        made[edge] = count
    return merged


@compiled
def sort_pairs(keys, partners):  # type: ignore[no-untyped-def]
    """Sort keys ascending in place, partners along with them; equal keys keep their order."""
    count = keys.shape[0]
    if count > FEW:
        order = np.argsort(keys, kind="mergesort")
        keys[:] = keys[order]
        partners[:] = partners[order]
        return
    for last in range(1, count):
        key, partner = keys[last], partners[last]
        at = last
        while at > 0 and keys[at - 1] > key:
            keys[at] = keys[at - 1]
            partners[at] = partners[at - 1]
            at -= 1
        keys[at] = key
        partners[at] = partner
