"""The matrix product that everything dense goes through, by the fastest kernel that the build has."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["product"]


def _has_onednn() -> bool:
    """Whether this build of torch offers oneDNN's linear layer."""
    return bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


ONEDNN = _has_onednn()


def product(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """value weight^T + bias, as `functional.linear`.

    On the CPU float32 goes to oneDNN, which `functional.linear` uses for bfloat16 only: MKL runs at 0.3 to 0.5 of its
    speed on AMD processors. Transposed (column-major) weights are taken as they are.

    Arguments:
        value: [..., n].
        weight: [m, n].
        bias: [m] or None.

    Returns:
        [..., m], in the dtype of the value.

    Raises:
        RuntimeError: shapes or dtypes do not fit, from torch.

    Accuracy: rounding of the dtype, sums in float32 for bfloat16.
    """
    if ONEDNN and value.dtype == torch.float32 and value.device.type == "cpu" and value.numel() > 0:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(value, weight, bias, "none", [], "")
        return result
    return functional.linear(value, weight, bias)
