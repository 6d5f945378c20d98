"""Which layers leave idle units out, and the weights of all layers in the order that kernels like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from magnet_service.generator import Generator
from magnet_service.generator.operations.subpixel import in_channels
from magnet_service.geometry.sweep.moves import Constant, Convolve, Dense, Move, Rearrange, Rule, Scale
from magnet_service.geometry.sweep.spots import find_spots

__all__ = ["choose_units", "finisher", "round_weights"]

NARROW_INPUTS = 256
"""Inputs of a dense layer from which leaving out idle units saves more than gathering weights costs."""

BLOCK_OUTPUTS = 1024
"""Outputs of a wide dense layer that are done at a time, so that the weights gathered for them stay in cache."""

SPARSE = frozenset({"relu", "clamp"})

Moves = dict[int, Move]
Shapes = Callable[[int], tuple[int, ...]]


def choose_units(moves: Moves, readers: Mapping[int, int], shape_of: Shapes) -> None:
    """Mark the dense layers whose idle inputs, and with them the outputs of layers before, need no product.

    Arguments:
        moves: by value; written to.
        readers: by value, how many read it.
        shape_of: shape of one row of a value.

    Raises:
        Nothing.

    Accuracy: exact: what is left out is multiplied by zero.
    """
    for index, move in list(moves.items()):
        if not isinstance(move, Dense) or move.weight.shape[1] < NARROW_INPUTS or len(shape_of(move.source)) != 1:
            continue
        chain = places(moves, move.source)
        run = run_of(moves, chain)
        if not is_sparse(run) or any(readers[at] != 1 for at in chain):
            continue
        before, layer = moves.get(chain[-1]), moves[index]
        if isinstance(layer, Dense):
            moves[index] = replace(layer, gathers=True)
        if isinstance(before, Dense):
            moves[chain[-1]] = replace(before, narrow=move.source)


def round_weights(moves: Moves, shape_of: Shapes, generator: Generator, dtype: torch.dtype, row_by_row: bool) -> None:
    """Round what moves read to the precision of the tangents and lay it out for the kernels.

    Arguments:
        moves: by value, with weights in float64; written to.
        shape_of: shape of one row of a value.
        generator: for its device, and its precision for constant slopes.
        dtype: of the tangents.
        row_by_row: whether rows are done one at a time, so that idle units may be left out.

    Raises:
        Nothing.

    Accuracy: one rounding.
    """
    device = generator.device
    for index, move in list(moves.items()):
        match move:
            case Dense():
                weight = move.weight.to(device=device, dtype=dtype).contiguous()
                columns: tuple[Tensor, ...] = ()
                if row_by_row and move.gathers and move.narrow is None:
                    columns = tuple(part.t().contiguous() for part in torch.split(weight, BLOCK_OUTPUTS))
                moves[index] = replace(move, weight=weight, columns=columns)
            case Convolve():
                choosing = row_by_row and is_sparse(slopes_before(moves, move.source))
                moves[index] = rounded(move, shape_of(move.source), shape_of(index), device, dtype, choosing)
            case Constant():
                tangents = move.tangents.to(device=device, dtype=dtype).contiguous()
                moves[index] = Constant(channels_last(tangents) if tangents.dim() == 5 else tangents)
            case Scale() if move.constant is not None:
                constant = move.constant.to(device=device, dtype=generator.precision.dtype)
                moves[index] = replace(move, constant=constant)
            case Rule():
                # A rule that reads values computes in their type.
                kind = generator.precision.dtype if move.reads_values else dtype
                constants = {
                    role: tensor.to(kind) if tensor.is_floating_point() else tensor
                    for role, tensor in generator.constants[index - 1].items()
                }
                moves[index] = replace(move, constants=constants)


def rounded(
    move: Convolve,
    given: tuple[int, ...],
    made: tuple[int, ...],
    device: torch.device,
    dtype: torch.dtype,
    choosing: bool,
) -> Convolve:
    """A convolution with its weights rounded, by places or in sub-pixel form where that is the faster."""
    spots = find_spots(move.node, move.weight, given, made, dtype) if choosing else None
    form = in_channels(move.node, move.weight) if spots is None else None
    weight, shuffle = (move.weight, None) if form is None else form
    weight = weight.to(device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    return replace(move, weight=weight, shuffle=shuffle, spots=spots)


def places(moves: Mapping[int, Move], index: int) -> list[int]:
    """A value and those before it, behind elementwise operations, down to the one whose tangents it carries."""
    chain = [index]
    while isinstance(move := moves.get(chain[-1]), Scale):
        chain.append(move.source)
    return chain


def finisher(moves: Mapping[int, Move], target: int) -> int | None:
    """The value whose layer can multiply the target's factor in as it goes: by blocks of outputs, or by phases.

    Arguments:
        moves: by value, their weights rounded.
        target: the value whose tangents are wanted.

    Returns:
        The value; None where nothing elementwise follows such a layer.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    root = places(moves, target)[-1]
    layer = moves.get(root)
    by_parts = (isinstance(layer, Dense) and len(layer.columns) > 1) or (
        isinstance(layer, Convolve) and layer.shuffle is not None
    )
    return root if root != target and by_parts else None


def run_of(moves: Mapping[int, Move], chain: Sequence[int]) -> list[Scale]:
    """The elementwise operations of a chain of values."""
    return [move for at in chain if isinstance(move := moves.get(at), Scale)]


def slopes_before(moves: Mapping[int, Move], index: int) -> list[Scale]:
    """The elementwise operations whose slopes make the factor of a value, rearranged or not."""
    found = []
    while isinstance(move := moves.get(index), Scale | Rearrange):
        found += [move] if isinstance(move, Scale) else []
        index = move.source
    return found


def is_sparse(run: Sequence[Scale]) -> bool:
    """Whether the slopes of a run are zero at some units."""
    return any(scale.node.operation in SPARSE for scale in run)


def channels_last(tangents: Tensor) -> Tensor:
    """[rows, columns, channels, height, width] with the channels next to each other in memory."""
    flat = tangents.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    spread: Tensor = flat.unflatten(0, (tangents.shape[0], tangents.shape[1]))
    return spread
