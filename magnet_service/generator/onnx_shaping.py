"""ONNX operators that move or repeat the numbers of a row: reshapes, transposes, expansions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from magnet_service.generator.onnx_reading import Reading, Translator
from magnet_service.generator.onnx_sizes import BATCH, Size, is_batch
from magnet_service.generator.onnx_values import Held, Known, Rows
from magnet_service.generator.program import BatchSize

__all__ = ["SHAPING", "reshaped"]


def reshaped(reading: Reading, value: Held, shape: tuple[int, ...]) -> Held:
    """The rows of a value in another shape."""
    return reading.emit("reshape.default", self=value, shape=(BatchSize(), *shape))


def translate_reshape(reading: Reading) -> Held:
    """Reshape of rows; a first size that is the batch, -1 or a batch of 1 baked into the file is the batch."""
    value = reading.rows(0)
    sizes = reading.sizes(1)
    keep = not reading.node.integer("allowzero", 0)
    whole: list[Size] = []
    for place, size in enumerate(sizes):
        if size == 0 and keep and place == 0:
            whole.append(BATCH)
        elif size == 0 and keep and place < value.rank:
            whole.append(value.shape[place - 1])
        elif size == 0:
            reading.refuse("it makes an empty tensor (a size of 0)")
        else:
            whole.append(size)
    first, rest = (whole[0], whole[1:]) if whole else (0, [])
    row = [size for size in rest if isinstance(size, int)]
    elements = math.prod(value.shape)
    known = math.prod(size for size in row if size != -1)
    if len(row) == len(rest) and row.count(-1) <= 1 and known > 0 and (is_batch(first) or isinstance(first, int)):
        if -1 in row and elements % known == 0 and first != -1:
            row = [elements // known if size == -1 else size for size in row]
        if -1 not in row and math.prod(row) == elements and all(size > 0 for size in row):
            return reshaped(reading, value, tuple(row))
    reading.refuse(
        f"it reshapes rows of shape {value.shape} to sizes {written(sizes)}: that mixes rows, or a batch was baked "
        f"into the file where it cannot follow the number of rows. Keep the batch as the first dimension of every "
        f"tensor and export again with a dynamic batch"
    )


def written(sizes: tuple[Size, ...]) -> str:
    """Sizes in words."""
    return (
        f"({', '.join(str(size) if isinstance(size, int) else 'batch' if is_batch(size) else '?' for size in sizes)})"
    )


def translate_flatten(reading: Reading) -> Held:
    """Flatten from an axis on."""
    value, axis = reading.rows(0), reading.node.integer("axis", 1)
    place = axis + value.rank if axis < 0 else axis
    if not 1 <= place <= value.rank or math.prod(value.shape[: place - 1]) != 1:
        reading.refuse(f"axis {axis} flattens the batch into a row of shape {value.shape}; write axis 1")
    if place == 1 and len(value.shape) > 0:
        return reading.emit("flatten.using_ints", self=value, start_dim=1)
    return reshaped(reading, value, (math.prod(value.shape),))


def translate_squeeze(reading: Reading) -> Held:
    """Squeeze of dimensions of a row."""
    value, axes = reading.rows(0), reading.axes(12)
    if axes is None:
        gone = tuple(place for place in range(1, value.rank) if value.shape[place - 1] == 1)
    else:
        gone = tuple(sorted(reading.axis(axis, value.rank) for axis in axes))
    if any(value.shape[place - 1] != 1 for place in gone):
        reading.node.damaged(f"axes {gone} of a row of shape {value.shape} are not all of size 1")
    return reading.emit("squeeze.dims", self=value, dim=gone) if gone else value


def translate_unsqueeze(reading: Reading) -> Held:
    """Unsqueeze within a row."""
    value, axes = reading.rows(0), reading.axes(12)
    if axes is None:
        reading.node.damaged("its axes are missing")
    rank = value.rank + len(axes)
    result: Held = value
    places = sorted(reading.axis(axis, rank) for axis in axes)
    if len(set(places)) != len(places):
        reading.node.damaged(f"axes {axes[:8]} name one place twice")
    for place in places:
        result = reading.emit("unsqueeze.default", self=result, dim=place)
    return result


def translate_transpose(reading: Reading) -> Held:
    """Transpose; one that moves the batch away from the front waits for another that brings it back."""
    value = reading.moved(0)
    order = reading.node.integers("perm") or tuple(reversed(range(value.rank)))
    if sorted(order) != list(range(value.rank)):
        reading.node.damaged(f"perm {order[:8]} does not fit a value of {value.rank} dimensions")
    if value.order:
        order = tuple(value.order[place] for place in order)
        value = replace(value, order=())
    if order == tuple(range(value.rank)):
        return value
    return replace(value, order=order) if order[0] != 0 else reading.emit("permute.default", self=value, dims=order)


def translate_expand(reading: Reading) -> Held:
    """Expand: of a row by broadcasting, or of a constant to a row for every latent."""
    held, sizes = reading.held(0), reading.sizes(1)
    shape = held.array.shape if isinstance(held, Known) else (1, *held.shape)
    rank = max(len(shape), len(sizes))
    if isinstance(held, Known) and not any(is_batch(size) for size in sizes):
        return folded_expand(reading, held, sizes)
    if isinstance(held, Rows) and len(sizes) > held.rank:
        reading.refuse(f"sizes {written(sizes)} put dimensions in front of the batch")
    have = (1,) * (rank - len(shape)) + shape
    want: tuple[Size, ...] = (1,) * (rank - len(sizes)) + tuple(sizes)
    row = []
    for old, new in zip(have[1:], want[1:], strict=True):
        if not isinstance(new, int) or (old != 1 and new not in (1, -1, old)):
            reading.refuse(f"a row of shape {have[1:]} does not expand to sizes {written(sizes)}")
        row.append(old if old != 1 or new == -1 else new)
    if have[0] != 1 or not (is_batch(want[0]) or want[0] in (1, -1)):
        reading.refuse(
            f"sizes {written(sizes)} hold a batch that was baked into the file; export again with a dynamic batch"
        )
    return reading.emit("expand.default", self=held, size=(BatchSize(), *row))


def folded_expand(reading: Reading, held: Known, sizes: tuple[Size, ...]) -> Held:
    """A constant broadcast to plain sizes."""
    plain = tuple(size for size in sizes if isinstance(size, int))
    if len(plain) != len(sizes):
        raise ValueError(f"a constant expanded to sizes {written(sizes)}")
    shape = np.broadcast_shapes(held.array.shape, plain)
    reading.builder.spend(math.prod(shape))
    return Known(np.ascontiguousarray(np.broadcast_to(held.array, shape)))


def translate_tile(reading: Reading) -> Held:
    """Tile within a row; of a constant with the number of rows in front, a row for every latent."""
    held, repeats = reading.held(0), reading.sizes(1)
    if isinstance(held, Known) and repeats and is_batch(repeats[0]):
        row = tuple(size for size in repeats[1:] if isinstance(size, int))
        if len(row) != len(repeats) - 1:
            reading.refuse("the number of rows stands in two of its repeats")
        return reading.emit("repeat.default", self=held, repeats=(BatchSize(), *row))
    plain = tuple(size for size in repeats if isinstance(size, int))
    if len(plain) != len(repeats) or any(size < 1 for size in plain):
        reading.refuse(f"repeats {written(repeats)} do not fit")
    if isinstance(held, Rows) and (len(plain) != held.rank or plain[0] != 1):
        reading.refuse(f"repeats {plain} do not leave the batch of a row of shape {held.shape} alone")
    return reading.emit("repeat.default", self=held, repeats=plain)


def translate_depth(reading: Reading) -> Held:
    """DepthToSpace (both orders) and SpaceToDepth."""
    node, value = reading.node, reading.rows(0)
    block, back = node.integer("blocksize", 0), node.op == "SpaceToDepth"
    if len(value.shape) != 3 or block < 1:
        node.damaged(f"blocks of {block} do not fit a row of shape {value.shape}")
    channels, height, width = value.shape
    if back:
        split = reshaped(reading, value, (channels, height // block, block, width // block, block))
        turned = reading.emit("permute.default", self=split, dims=(0, 3, 5, 1, 2, 4))
        return reshaped(reading, turned, (channels * block * block, height // block, width // block))
    if node.text("mode", "DCR") == "CRD":
        return reading.emit("pixel_shuffle.default", self=value, upscale_factor=block)
    depth = channels // (block * block)
    split = reshaped(reading, value, (block, block, depth, height, width))
    turned = reading.emit("permute.default", self=split, dims=(0, 3, 4, 1, 5, 2))
    return reshaped(reading, turned, (depth, height * block, width * block))


SHAPING: Mapping[str, Translator] = {
    "DepthToSpace": translate_depth,
    "Expand": translate_expand,
    "Flatten": translate_flatten,
    "Reshape": translate_reshape,
    "SpaceToDepth": translate_depth,
    "Squeeze": translate_squeeze,
    "Tile": translate_tile,
    "Transpose": translate_transpose,
    "Unsqueeze": translate_unsqueeze,
}
