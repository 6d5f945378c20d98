"""ONNX operators carried out while the file is read: arithmetic of constants and of sizes, with the batch a symbol."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from magnet_service.generator.onnx_reading import Reading
from magnet_service.generator.onnx_sizes import RowCount
from magnet_service.generator.onnx_values import Array, Known, numpy_dtype, settled

__all__ = ["FOLDERS", "fold"]

_MOST_SIZES = 4096

Folder = Callable[[Reading, Sequence[Array]], Array]


def fold(reading: Reading, known: Sequence[Known]) -> Known:
    """Carry out a node of `FOLDERS` all of whose inputs are constants.

    Arguments:
        reading: the node.
        known: its inputs, in order.

    Returns:
        Its result.

    Raises:
        ValueError, TypeError, IndexError, OverflowError: the inputs do not fit, or a size depends on the number of
            rows in another way than as a multiple plus a constant.

    Accuracy: exact for integers; of the type of the constants for numbers.
    """
    arrays = [item.array for item in known]
    if any(array.dtype == object and array.size > _MOST_SIZES for array in arrays):
        raise ValueError(f"more than {_MOST_SIZES} sizes count rows")
    with np.errstate(all="ignore"):
        return Known(settled(np.asarray(FOLDERS[reading.node.op](reading, arrays))))


def plain(array: Array) -> list[int]:
    """A flat list of plain integers; ValueError where rows are counted or numbers are not whole."""
    items = array.reshape(-1).tolist()
    if array.size > 64 or not all(isinstance(item, int) for item in items):
        raise ValueError("a short list of plain integers is expected")
    return items


def room(reading: Reading, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape after its numbers are counted against the bound."""
    if len(shape) > 32 or any(size < 0 for size in shape):
        raise ValueError(f"a constant of shape {list(shape)[:8]}")
    reading.builder.spend(math.prod(shape))
    return tuple(shape)


def pointwise(function: Callable[..., object]) -> Folder:
    """Folder of a numpy function, element by element, with numpy's broadcasting."""

    def run(reading: Reading, arrays: Sequence[Array]) -> Array:
        room(reading, np.broadcast_shapes(*(array.shape for array in arrays)))
        wide = [array.astype(object) if array.dtype.kind in "iu" else array for array in arrays]
        if any(array.dtype == object for array in arrays):
            return np.asarray(function(*wide))
        result = np.asarray(function(*arrays))
        same = arrays[0].dtype
        return result.astype(same) if result.dtype.kind == "f" and same.kind == "f" else result

    return run


def divide(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Div: of integers towards zero."""
    left, right = arrays
    if left.dtype.kind == "f" or right.dtype.kind == "f":
        return pointwise(np.divide)(reading, arrays)
    if right.dtype != object and not np.all(right):
        raise ValueError("a division of sizes by zero")
    if left.dtype == object or right.dtype == object:
        return pointwise(np.floor_divide)(reading, arrays)
    room(reading, np.broadcast_shapes(left.shape, right.shape))
    towards_zero = np.sign(left) * np.sign(right) * (np.abs(left) // np.abs(right))
    return np.asarray(towards_zero, left.dtype)


def remainder(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Mod: with the sign of the divisor, or with fmod = 1 of the dividend."""
    right = arrays[1]
    if right.dtype.kind != "f" and right.dtype != object and not np.all(right):
        raise ValueError("a remainder of a division by zero")
    return pointwise(np.fmod if reading.node.integer("fmod", 0) else np.mod)(reading, arrays)


def cast(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Cast, CastLike: sizes that count rows stay as they are."""
    array = arrays[0]
    if reading.node.op == "CastLike":
        dtype = arrays[1].dtype
    else:
        found = numpy_dtype(reading.node.integer("to", 0))
        if found is None:
            raise ValueError(f"a cast to element type {reading.node.integer('to', 0)}")
        dtype = found
    return array if array.dtype == object else array.astype(np.int64 if dtype.hasobject else dtype)


def concatenate(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Concat."""
    room(reading, [sum(array.size for array in arrays)])
    return np.concatenate(list(arrays), reading.node.integer("axis", 0))


def gather(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Gather of whole slices along one axis."""
    data, indices = arrays
    axis = reading.node.integer("axis", 0)
    room(reading, [indices.size, data.size // max(data.shape[axis], 1)])
    return np.asarray(np.take(data, indices, axis))


def cut(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Slice, from attributes or from inputs."""
    data = arrays[0]
    if reading.node.opset < 10:
        lists = [reading.node.integers(name) for name in ("starts", "ends", "axes")]
        starts, ends = list(lists[0] or ()), list(lists[1] or ())
        axes = list(lists[2]) if lists[2] is not None else list(range(len(starts)))
        steps = [1] * len(starts)
    else:
        starts, ends = plain(arrays[1]), plain(arrays[2])
        axes = plain(arrays[3]) if len(arrays) > 3 and arrays[3].size else list(range(len(starts)))
        steps = plain(arrays[4]) if len(arrays) > 4 and arrays[4].size else [1] * len(starts)
    index = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        extent = data.shape[axis]
        if step == 0:
            raise ValueError("a slice of step 0")
        low = max(start + extent, 0 if step > 0 else -1) if start < 0 else start
        stop = (end + extent if end + extent >= 0 else (0 if step > 0 else None)) if end < 0 else end
        index[axis] = slice(low, stop, step)
    return np.asarray(data[tuple(index)])


def reshape(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Reshape; 0 keeps a size unless allowzero is set."""
    data, sizes = arrays[0], plain(arrays[1])
    keep = not reading.node.integer("allowzero", 0)
    return data.reshape([data.shape[place] if size == 0 and keep else size for place, size in enumerate(sizes)])


def axes_of(reading: Reading, arrays: Sequence[Array], until: int) -> list[int] | None:
    """Axes, an attribute up to that opset and an input after it."""
    written = reading.node.integers("axes")
    if written is not None or reading.node.opset <= until:
        return None if written is None else list(written)
    return plain(arrays[1]) if len(arrays) > 1 else None


def squeeze(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Squeeze."""
    axes = axes_of(reading, arrays, 12)
    return np.squeeze(arrays[0], None if axes is None else tuple(axes))


def unsqueeze(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Unsqueeze."""
    axes = axes_of(reading, arrays, 12)
    if axes is None or arrays[0].ndim + len(axes) > 32:
        raise ValueError("axes are missing or too many")
    return np.expand_dims(arrays[0], tuple(axes))


def transpose(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Transpose."""
    room(reading, arrays[0].shape)
    return np.transpose(arrays[0], reading.node.integers("perm"))


def steps(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Range."""
    start, limit, delta = (array.reshape(-1)[0] for array in arrays)
    if any(isinstance(item, RowCount) for item in (start, limit, delta)):
        raise ValueError("it counts up to the number of rows")
    if delta == 0 or not all(math.isfinite(item) for item in (start, limit, delta)):
        raise ValueError("a range of step 0")
    count = max(math.ceil((float(limit) - float(start)) / float(delta)), 0)
    room(reading, [count])
    return np.asarray(start + np.arange(count) * delta).astype(arrays[0].dtype)


def reduce(function: Callable[..., object], until: int) -> Folder:
    """Folder of a reduction over axes."""

    def run(reading: Reading, arrays: Sequence[Array]) -> Array:
        axes = axes_of(reading, arrays, until)
        if not axes and reading.node.integer("noop_with_empty_axes", 0):
            return arrays[0]
        keep = bool(reading.node.integer("keepdims", 1))
        return np.asarray(function(arrays[0], axis=tuple(axes) if axes else None, keepdims=keep))

    return run


def size(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Size of a constant."""
    return np.asarray(arrays[0].size, np.int64)


def shape(reading: Reading, arrays: Sequence[Array]) -> Array:
    """Shape of a constant."""
    start, end = reading.node.integer("start", 0), reading.node.integer("end", arrays[0].ndim)
    return np.asarray(arrays[0].shape[start:end], np.int64)


def choose(condition: Array, left: Array, right: Array) -> Array:
    """Where."""
    return np.where(condition.astype(bool), left, right)


FOLDERS: dict[str, Folder] = {
    "Abs": pointwise(np.abs),
    "Add": pointwise(np.add),
    "And": pointwise(np.logical_and),
    "Cast": cast,
    "CastLike": cast,
    "Ceil": pointwise(np.ceil),
    "Concat": concatenate,
    "Div": divide,
    "Equal": pointwise(np.equal),
    "Exp": pointwise(np.exp),
    "Floor": pointwise(np.floor),
    "Gather": gather,
    "Greater": pointwise(np.greater),
    "GreaterOrEqual": pointwise(np.greater_equal),
    "Less": pointwise(np.less),
    "LessOrEqual": pointwise(np.less_equal),
    "Mod": remainder,
    "Mul": pointwise(np.multiply),
    "Neg": pointwise(np.negative),
    "Not": pointwise(np.logical_not),
    "Or": pointwise(np.logical_or),
    "Pow": pointwise(np.power),
    "Range": steps,
    "Reciprocal": pointwise(np.reciprocal),
    "ReduceMax": reduce(np.max, 17),
    "ReduceMin": reduce(np.min, 17),
    "ReduceProd": reduce(np.prod, 17),
    "ReduceSum": reduce(np.sum, 12),
    "Reshape": reshape,
    "Shape": shape,
    "Size": size,
    "Slice": cut,
    "Sqrt": pointwise(np.sqrt),
    "Squeeze": squeeze,
    "Sub": pointwise(np.subtract),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    "Where": pointwise(choose),
}
