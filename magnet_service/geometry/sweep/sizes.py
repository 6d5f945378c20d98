"""How much work and memory a sweep takes, and how it is cut for the caches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import torch

from magnet_service.geometry.sweep.moves import Constant, Convolve, Dense, Move, Rearrange, Rule, Scale, sources_of

__all__ = ["block_columns", "cut_before", "kept_numbers", "products", "scratch", "widest"]

Moves = Mapping[int, Move]
Shapes = Callable[[int], tuple[int, ...]]


def products(moves: Moves, shape_of: Shapes) -> float:
    """Products of one column on its way through dense layers and convolutions, idle units included."""
    total = 0.0
    for index, move in moves.items():
        if isinstance(move, Dense):
            total += move.weight.numel() * (prod(shape_of(move.source)) // move.weight.shape[1])
        elif isinstance(move, Convolve):
            shape = shape_of(move.source if move.node.flag("transposed") else index)
            total += move.weight.numel() * prod(shape[1:])
    return total


def widest(moves: Moves, shape_of: Shapes, target: int, width: int) -> int:
    """Numbers in the widest tangents of one column."""
    return max([width, *(prod(shape_of(index)) for index in moves if index != target)])


def kept_numbers(moves: Moves, shape_of: Shapes) -> int:
    """Numbers in a row's factors and in the values that rules read."""
    return sum(
        prod(shape_of(index))
        for index, move in moves.items()
        if isinstance(move, Scale | Rearrange) or (isinstance(move, Rule) and move.reads_values)
    )


def block_columns(columns: int, numbers: int, dtype: torch.dtype, limit: int) -> int:
    """Columns of one push: as many as fit the limit in bytes, in blocks of about equal size."""
    most = max(1, limit * 8 // (numbers * torch.finfo(dtype).bits))
    return -(-columns // -(-columns // most))


def scratch(moves: Moves, shape_of: Shapes, unfolds: bool) -> int:
    """Numbers in a column of what the kernel of one move holds beside its input and output, at most.

    Arguments:
        moves: by value.
        shape_of: shape of one row of a value.
        unfolds: whether convolutions lay patches of the input out beside each other, as those without oneDNN do.

    Returns:
        The largest over all moves.

    Raises:
        Nothing.

    Accuracy: an upper estimate.
    """
    held = [0]
    for index, move in moves.items():
        if isinstance(move, Convolve):
            made = prod(shape_of(index))
            if move.spots is not None:
                held.append(2 * made + max(weight.shape[1] for weight in move.spots.weights.values()))
                continue
            unfolded = prod(shape_of(move.source)) * prod(move.weight.shape[2:]) if unfolds else 0
            held.append((1 if move.shuffle is None else 2) * made + unfolded)
    return max(held)


def cut_before(moves: Moves, shape_of: Shapes, uses: Mapping[int, int], most: int) -> int:
    """The last value, alone on the way to the target, up to which a column has at most so many numbers; 0 for none."""
    cut, left, live = 0, dict(uses), set[int]()
    for index, move in sorted(moves.items()):
        if prod(shape_of(index)) > most:
            break
        live.add(index)
        for source in sources_of(move):
            left[source] -= 1
            if not left[source]:
                live.discard(source)
        later = any(isinstance(moves[after], Constant) for after in moves if after > index)
        if live == {index} and not later and not isinstance(move, Constant):
            cut = index
    return cut
