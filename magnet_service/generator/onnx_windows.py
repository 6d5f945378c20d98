"""Windows of ONNX convolutions and pools: kernel, stride, dilation and padding in all its spellings."""

from __future__ import annotations

from dataclasses import dataclass

from magnet_service.generator.onnx_reading import Reading

__all__ = ["Window", "far_pads", "read_window"]

_WORDS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
_LARGEST = 1 << 15  # of kernels, strides and pads: their products stay within 32 bits, as torch computes with


@dataclass(frozen=True)
class Window:
    """How a window moves over a map, one entry a spatial dimension.

    Attributes:
        kernel: extents.
        stride: steps.
        dilation: distances of the kernel's entries.
        begin: padding before.
        end: padding behind.
        output_padding: of a transposed convolution, else zeros.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    output_padding: tuple[int, ...]


def read_window(
    reading: Reading, kernel: tuple[int, ...] | None, extents: tuple[int, ...], *, transposed: bool = False
) -> Window:
    """Read the attributes of a window.

    Arguments:
        reading: the node.
        kernel: of the weight; None for pools, which write it.
        extents: of the value.
        transposed: whether it is a transposed convolution.

    Returns:
        The window, with `auto_pad` and `output_shape` worked out.

    Raises:
        DamagedData: an attribute does not fit the value.

    Accuracy: exact.
    """
    node, dims = reading.node, len(extents)
    if kernel is None:
        kernel = _listed(reading, "kernel_shape", dims, None, 1)
    elif (written := node.integers("kernel_shape")) is not None and written != tuple(kernel):
        node.damaged(f"kernel_shape {written} is not that of the weight, {tuple(kernel)}")
    stride = _listed(reading, "strides", dims, 1, 1)
    dilation = _listed(reading, "dilations", dims, 1, 1)
    output_padding = _listed(reading, "output_padding", dims, 0, 0) if transposed else (0,) * dims
    word = node.text("auto_pad", "NOTSET")
    if word not in _WORDS:
        node.damaged(f"auto_pad is {word[:40]!r}, which is none of {', '.join(_WORDS)}")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    totals: list[int] | None = None
    if transposed:
        wanted = node.integers("output_shape")
        if wanted is not None and len(wanted) == dims + 2:
            wanted = wanted[2:]
        if wanted is None and word.startswith("SAME"):
            wanted = tuple(extent * step for extent, step in zip(extents, stride, strict=True))
        if wanted is not None:
            if len(wanted) != dims:
                node.damaged(f"output_shape {wanted} does not have {dims} entries")
            full = [s * (e - 1) + o + n for s, e, o, n in zip(stride, extents, output_padding, spans, strict=True)]
            totals = [have - want for have, want in zip(full, wanted, strict=True)]
    elif word.startswith("SAME"):
        totals = [
            max((-(-extent // step) - 1) * step + span - extent, 0)
            for extent, step, span in zip(extents, stride, spans, strict=True)
        ]
    if totals is None:
        pads = node.integers("pads") if word == "NOTSET" else None
        pads = (0,) * (2 * dims) if pads is None else pads
        if len(pads) != 2 * dims or any(abs(amount) > _LARGEST for amount in pads):
            node.damaged(f"pads {pads[:8]} do not have {2 * dims} entries")
        return Window(kernel, stride, dilation, pads[:dims], pads[dims:], output_padding)
    if transposed and any(total < 0 for total in totals):
        reading.refuse("its output_shape is larger than what its input reaches; write output_padding instead")
    # Of an odd padding the larger half lies behind for SAME_UPPER, else in front of what is padded or cut.
    behind = word == "SAME_UPPER"
    begin = tuple(total // 2 if behind else total - total // 2 for total in totals)
    end = tuple(total - first for total, first in zip(totals, begin, strict=True))
    return Window(kernel, stride, dilation, begin, end, output_padding)


def far_pads(begin: tuple[int, ...], end: tuple[int, ...]) -> tuple[int, ...]:
    """Pads as torch writes them: the last dimension first, each with its begin and its end."""
    return tuple(amount for pair in zip(reversed(begin), reversed(end), strict=True) for amount in pair)


def _listed(reading: Reading, name: str, dims: int, default: int | None, least: int) -> tuple[int, ...]:
    items = reading.node.integers(name)
    if items is None and default is not None:
        return (default,) * dims
    if items is None or len(items) != dims or not all(least <= item <= _LARGEST for item in items):
        reading.node.damaged(f"{name} is {None if items is None else items[:8]}, and {dims} entries are expected")
    return items
