"""What the machine can do: products and convolutions a second, and the most memory a process ever held."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from magnet_service.generator.operations.kernels import product

__all__ = ["peak_rate", "resident"]


def best_time(run: Callable[[], object], tries: int = 5) -> float:
    """Least seconds of a few runs."""
    run()
    taken = []
    for _ in range(tries):
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken)


def peak_rate(kernel: str, dtype: torch.dtype, device: str) -> float:
    """Operations a second, additions and multiplications counted each, of large products or convolutions."""
    with torch.inference_mode():
        if kernel == "matmul":
            left, right = (torch.randn(2048, 1024, device=device).to(dtype) for _ in range(2))
            return 2.0 * 2048 * 2048 * 1024 / best_time(lambda: product(left, right))
        value = torch.randn(64, 256, 16, 16, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(256, 256, 3, 3, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
        work = 2.0 * 64 * 14 * 14 * 256 * 256 * 9
        return work / best_time(lambda: torch.conv2d(value, weight))


def resident(key: str) -> int:
    """Bytes by `VmRSS` (now) or `VmHWM` (the most so far) of this process; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = [line for line in status.read_text().splitlines() if line.startswith(key)]
    return int(lines[0].split()[1]) * 1024 if lines else 0
