"""What a training script leaves next to its state dict: options, time and kind of machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

__all__ = ["machine", "write_record"]


def machine() -> str:
    """Return the kind of machine in words, from what the running process can see."""
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} CPU cores, {instructions}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def write_record(path: Path, **figures: float | str) -> None:
    """Write the figures and the machine as JSON."""
    path.write_text(json.dumps({**figures, "machine": machine()}, indent=2) + "\n")
