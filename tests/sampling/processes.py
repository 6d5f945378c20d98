"""Processes that a test started, and those that they started."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["group_of", "until"]


def until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Waits until something holds, so many seconds at most; whether it does."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def group_of(leader: int) -> list[int]:
    """Processes of a process group that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(group) == leader and state not in "ZX":
                found.append(int(entry.name))
    return found
