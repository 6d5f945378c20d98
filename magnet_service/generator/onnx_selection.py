"""ONNX operators that take parts of rows or join them: slices, gathers, splits, concatenations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from magnet_service.generator.onnx_pointwise import spread
from magnet_service.generator.onnx_reading import Reading, Translator
from magnet_service.generator.onnx_shaping import reshaped
from magnet_service.generator.onnx_sizes import Size, is_batch
from magnet_service.generator.onnx_values import Array, Held, Known, Rows

__all__ = ["SELECTION"]

_FAR = 1 << 31


def translate_slice(reading: Reading) -> Held:
    """Slice of dimensions of a row, with attributes before opset 10 and inputs from then on."""
    node, value = reading.node, reading.rows(0)
    starts: tuple[Size, ...] | None
    ends: tuple[Size, ...] | None
    if node.opset < 10:
        starts, ends, axes = (node.integers(name) for name in ("starts", "ends", "axes"))
        steps: tuple[int, ...] | None = None
    else:
        starts, ends = reading.sizes(1), reading.sizes(2)
        axes = reading.integers(3) if reading.given(3) else None
        steps = reading.integers(4) if reading.given(4) else None
    if starts is None or ends is None:
        node.damaged("its starts or ends are missing")
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    result: Held = value
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        whole = is_batch(end) or (isinstance(end, int) and end >= _FAR)
        if axis in (0, -value.rank) and start == 0 and step == 1 and whole:
            continue
        place = reading.axis(axis, value.rank)
        if not isinstance(start, int) or not isinstance(end, int) or step == 0:
            reading.refuse("it cuts a row at the number of rows")
        result = sliced(reading, result, place, slice(start, end, step), value.shape[place - 1])
    return result


def sliced(reading: Reading, held: Held, place: int, wanted: slice, extent: int) -> Held:
    """One dimension cut; backwards by indices."""
    step = wanted.step
    if step > 0:
        first, last, step = wanted.indices(extent)
        if (first, last, step) == (0, extent, 1):
            return held
        if last <= first:
            reading.refuse("it leaves nothing of a row")
        return reading.emit("slice.Tensor", self=held, dim=place, start=first, end=last, step=step)
    # Below minus the extent an end of a backward slice means "to the very first", as None does in Python.
    end = None if wanted.stop < -extent else wanted.stop
    indices = np.arange(extent)[slice(wanted.start, end, step)]
    if indices.size == 0:
        reading.refuse("it leaves nothing of a row")
    if indices.size == extent:
        return reading.emit("flip.default", self=held, dims=(place,))
    return reading.emit("index_select.default", self=held, dim=place, index=Known(indices))


def translate_gather(reading: Reading) -> Held:
    """Gather from a row by constant indices, or from a table by a condition that is an index."""
    data, picked = reading.held(0), reading.held(1)
    axis = reading.node.integer("axis", 0)
    if isinstance(data, Known) and isinstance(picked, Rows):
        if axis != 0 or data.array.ndim != 2:
            reading.refuse("an index is looked up in a table of another form than [classes, width]")
        return reading.emit("embedding.default", weight=data, indices=picked)
    value, indices = reading.rows(0), reading.known(1).array
    place = reading.axis(axis, value.rank)
    extent = value.shape[place - 1]
    if indices.dtype.kind not in "iu":
        reading.refuse("its indices are not plain integers")
    indices = constant_index(reading, indices, extent)
    if indices.ndim == 0:
        return reading.emit("select.int", self=value, dim=place, index=int(indices))
    chosen = reading.emit("index_select.default", self=value, dim=place, index=Known(indices.reshape(-1)))
    if indices.ndim == 1:
        return chosen
    return reshaped(reading, chosen, (*value.shape[: place - 1], *indices.shape, *value.shape[place:]))


def translate_gather_nd(reading: Reading) -> Held:
    """GatherND of whole slices by constant indices along the first dimensions, where the batch is not among them."""
    node, value, indices = reading.node, reading.moved(0), reading.known(1).array
    order = value.order or tuple(range(value.rank))
    depth = indices.shape[-1] if indices.ndim else 0
    if not 1 <= depth <= value.rank or indices.dtype.kind not in "iu" or node.integer("batch_dims", 0):
        reading.refuse(f"indices of shape {indices.shape} into {value.rank} dimensions are not supported")
    places = [reading.axis(place, value.rank) for place in order[:depth]]
    if places != list(range(places[0], places[0] + depth)):
        reading.refuse(f"its indices go into dimensions {places}, and only neighbouring ones are supported")
    picked = tuple(
        Known(constant_index(reading, indices[..., number], value.shape[place - 1]))
        for number, place in enumerate(places)
    )
    chosen = reading.emit("index.Tensor", self=replace(value, order=()), indices=(*(None,) * places[0], *picked))
    # What stood behind the places indexed has moved by as many dimensions as the indices have more, or fewer.
    width = indices.ndim - 1
    rest = tuple(place if place < places[0] else place + width - depth for place in order[depth:])
    found = (*range(places[0], places[0] + width), *rest)
    if not isinstance(chosen, Rows) or found == tuple(range(chosen.rank)):
        return chosen
    return replace(chosen, order=found)


def constant_index(reading: Reading, indices: Array, extent: int) -> Array:
    """Indices counted from 0; those outside are refused."""
    if indices.size == 0 or indices.min() < -extent or indices.max() >= extent:
        reading.node.damaged(f"an index is outside of {extent} entries")
    return np.asarray(np.where(indices < 0, indices + extent, indices), np.int64)


def translate_concat(reading: Reading) -> Held:
    """Concat along a dimension of a row; constants of one row stand for every row."""
    held = [spread(reading, reading.held(index)) for index in range(len(reading.node.inputs))]
    ranks = {item.rank for item in held if isinstance(item, Rows)}
    if len(ranks) != 1:
        reading.node.damaged(f"it joins values of {sorted(ranks)} dimensions")
    place = reading.axis(reading.node.integer("axis", 1), ranks.pop())
    return reading.emit("cat.default", tensors=tuple(held), dim=place)


def translate_split(reading: Reading) -> tuple[Held, ...]:
    """Split into the sizes written, or evenly."""
    node, value = reading.node, reading.rows(0)
    place = reading.axis(node.integer("axis", 0), value.rank)
    extent, count = value.shape[place - 1], len(node.outputs)
    sizes = node.integers("split") if node.opset < 13 or not reading.given(1) else reading.integers(1)
    if sizes is None:
        count = node.integer("num_outputs", count)
        part = -(-extent // max(count, 1))
        sizes = tuple(max(min(part, extent - start * part), 0) for start in range(min(count, extent)))
    if sum(sizes) != extent or len(sizes) < len(node.outputs) or any(size < 1 for size in sizes):
        node.damaged(f"sizes {sizes[:8]} do not fit {extent} entries and {len(node.outputs)} outputs")
    return reading.emit_many("split_with_sizes.default", len(sizes), self=value, split_sizes=sizes, dim=place)


SELECTION: Mapping[str, Translator] = {
    "Concat": translate_concat,
    "Gather": translate_gather,
    "GatherND": translate_gather_nd,
    "Slice": translate_slice,
    "Split": translate_split,
}
