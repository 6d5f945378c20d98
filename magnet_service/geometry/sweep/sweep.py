"""A prepared sweep: what to do for every value, and how the work is cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from magnet_service.generator import Generator
from magnet_service.generator.execution import Plan
from magnet_service.geometry.sweep.moves import Move
from magnet_service.geometry.sweep.program import Program

__all__ = ["Sweep"]


@dataclass(frozen=True)
class Sweep:
    """A prepared computation of J(z) for one manifold; immutable.

    Attributes:
        generator: with the weights, on its device.
        plan: of the pass over values, which ends where the affine tail begins if that is folded.
        gain: Frobenius norm of R, by which the tail stretches values at most; 1 where nothing is folded.
        target: the value whose tangents are wanted.
        moves: by value, in order; values that do not depend on the latent are absent, and so are those of an affine
            tail but the last, which then is the dense layer R of the tail's QR decomposition: singular values stay.
        program: the same moves as compiled kernels run them; None where torch does. Of the moves only those that say
            something of factors are kept then.
        uses: how many moves, and the target, read the tangents of a value.
        latent_dim: d, the columns.
        width: outputs of the matrix that the sweep gives, D or the tail's inputs.
        outputs: D, of the true Jacobian.
        finisher: the value whose layer multiplies in the target's factor while it has its tangents at hand; None where
            the end does.
        work: multiplications and additions of one row's tangents and Gram matrix, idle units included.
        dtype: of the tangents.
        row_by_row: whether rows are done one at a time, on one core each.
        cut: the value up to which all columns are pushed at once; 0 for none.
        block: columns of one push from there on.
        piece: rows of one push.
        numbers: numbers in the widest tangents of a column.
        scratch: numbers in a column of what the kernel of one move holds beside its input and output, at most.
        values: numbers in the widest value.
        unfolded: numbers in a row that a convolution of values lays out beside its input, where it does.
        kept: numbers in a row's factors and kept values.
    """

    generator: Generator
    plan: Plan
    gain: float
    target: int
    moves: Mapping[int, Move]
    program: Program | None
    uses: Mapping[int, int]
    latent_dim: int
    width: int
    outputs: int
    finisher: int | None
    work: float
    dtype: torch.dtype
    row_by_row: bool
    cut: int
    block: int
    piece: int
    numbers: int
    scratch: int
    values: int
    unfolded: int
    kept: int
