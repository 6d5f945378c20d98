"""Gram matrices of badly conditioned Jacobians, from lines that a first one has made nearly orthonormal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.kernels.blocks import weighted_block
from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.geometry.kernels.layers import LANES, SEGMENT, SPARE, gram, next_lines, next_vectors

__all__ = ["refined_grams"]

Numbers = NDArray[np.float32]
Wide = NDArray[np.float64]
Places = NDArray[np.int64]
Truths = NDArray[np.bool_]


@compiled
def factor(matrix: Wide, upper: Wide) -> bool:
    """U with U^T U = G, its diagonal positive; False where there is none."""
    side = len(matrix)
    for line in range(side):
        for place in range(line, side):
            upper[line, place] = matrix[place, line]
    for line in range(side):
        pivot = upper[line, line]
        if not pivot > 0.0 or pivot == np.inf:
            return False
        root = np.sqrt(pivot)
        for place in range(line, side):
            upper[line, place] /= root
        for below in range(line + 1, side):
            weight = upper[line, below]
            for place in range(below, side):
                upper[below, place] -= weight * upper[line, place]
    return True


@compiled
def invert(upper: Wide, inverse: Wide) -> None:
    """U^-1, upper triangular."""
    side = len(upper)
    inverse[:, :] = 0.0
    for line in range(side - 1, -1, -1):
        inverse[line, line] = 1.0
        for below in range(line + 1, side):
            weight = upper[line, below]
            for place in range(below, side):
                inverse[line, place] -= weight * inverse[below, place]
        for place in range(line, side):
            inverse[line, place] /= upper[line, line]


@compiled
def turned_gram(lines: Numbers, turn: Numbers, triangular: bool, scratch: Numbers, grams: Wide) -> None:
    """The Gram matrix of lines times a matrix.

    Arguments:
        lines: [units, stride].
        turn: [stride, stride].
        triangular: whether all below its diagonal is 0.
        scratch: [SEGMENT, stride].
        grams: [stride, stride], float64, zeros; its lower triangle is written.
    """
    units, stride = lines.shape
    places = np.arange(stride).astype(np.int32)
    outputs = np.arange(SEGMENT + SPARE).astype(np.int32)
    ones = np.ones(SEGMENT, np.float32)
    flat, flat_turn, flat_scratch = lines.reshape(-1), turn.reshape(-1), scratch.reshape(-1)
    for first in range(0, units, SEGMENT):
        count = min(SEGMENT, units - first)
        for spare in range(count, SEGMENT + SPARE):  # what a block that is not full repeats
            outputs[spare] = count - 1
        vector = 0
        while vector < stride // LANES:
            wide = next_vectors(stride // LANES - vector)
            terms = (vector + wide) * LANES if triangular else stride
            at = 0
            while at < count:
                tall = next_lines(count - at, wide)
                weighted_block(
                    (tall, wide), flat, (first * stride, stride), flat_turn, (vector * LANES, stride), (places, places),
                    terms, outputs, at, flat_scratch, (vector * LANES, stride), ones, 0,
                )  # fmt: skip
                at += tall
            vector += wide
        gram(flat_scratch, 0, stride, count, grams.reshape(-1), 0)


@compiled
def refined_grams(
    lines: Numbers, rows: Places, first: Wide, bases: Wide, distance: float, made: Wide, found: Truths
) -> None:
    """G = U^T (Y^T Y) U with Y = J U^-1, where U^T U is a first Gram matrix of rounded products.

    The columns of Y are nearly orthonormal, so that their own Gram matrix is exact enough in float32 (CholeskyQR2,
    Yamamoto et al. 2015, without its second triangular factor); all else is float64.

    Arguments:
        lines: [rows, units, stride], the Jacobians J.
        rows: which of them.
        first: [these, side, side], first Gram matrices of J, or of J B^T.
        bases: [these or 0, side, columns], directions B to restrict J to; none for all columns.
        distance: how far from the identity an entry of Y^T Y may be.
        made: [these, side, side], written, symmetric.
        found: [these], written: False where there is no U, or Y is too far from orthonormal.
    """
    stride, side = lines.shape[2], first.shape[1]
    upper, inverse = np.zeros((side, side)), np.empty((side, side))
    turn, scratch = np.empty((stride, stride), np.float32), np.empty((SEGMENT, stride), np.float32)
    product, half, second = np.empty((stride, side)), np.empty((side, side)), np.empty((stride, stride))
    for number in range(len(rows)):
        found[number] = False
        if not factor(first[number], upper):
            continue
        invert(upper, inverse)
        turn[:, :] = 0.0
        if len(bases):
            product[:, :] = 0.0
            for line in range(side):
                for place in range(bases.shape[2]):
                    weight = bases[number, line, place]
                    for column in range(line, side):
                        product[place, column] += weight * inverse[line, column]
            turn[: bases.shape[2], :side] = product[: bases.shape[2]]
        else:
            turn[:side, :side] = inverse
        second[:, :] = 0.0
        turned_gram(lines[rows[number]], turn, len(bases) == 0, scratch, second)
        near = True
        for line in range(side):
            for place in range(line + 1):
                near &= abs(second[line, place] - (1.0 if line == place else 0.0)) < distance
                second[place, line] = second[line, place]
        if not near:
            continue
        half[:, :] = 0.0  # (Y^T Y) U
        for line in range(side):
            for below in range(side):
                weight = second[line, below]
                for place in range(below, side):
                    half[line, place] += weight * upper[below, place]
        made[number] = 0.0
        for below in range(side):
            for line in range(below, side):
                weight = upper[below, line]
                for place in range(side):
                    made[number, line, place] += weight * half[below, place]
        for line in range(side):
            for place in range(line):
                made[number, place, line] = made[number, line, place]
        found[number] = True
