"""Memory that is free on a device, and the share of it that computations take unless told otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

__all__ = ["SHARE", "default_max_memory", "free_memory", "is_lack_of_memory"]

SHARE = 0.8
"""Share of the free memory that a server takes by default."""

_REFUSALS = ("can't allocate memory", "std::bad_alloc")
"""What torch's errors say on the CPU."""

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def default_max_memory(device: str) -> int:
    """The bound of an engine's memory where none is set: SHARE of what is free on the device now, at least 1 byte.

    Arguments:
        device: torch device, as `cpu` or `cuda:0`.

    Returns:
        Bytes.

    Raises:
        RuntimeError: a CUDA device that does not exist, from torch.

    Accuracy: as `free_memory`; others may take memory a moment later.
    """
    return max(1, int(SHARE * free_memory(device)))


def free_memory(device: str, *, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Bytes that can be had on a device without swapping and without being killed for it.

    Arguments:
        device: torch device, as `cpu` or `cuda:0`.
        proc, cgroups: where Linux tells about itself.

    Returns:
        On CUDA what the driver says is free; on the CPU the kernel's MemAvailable, or what the control groups of this
        process leave it where that is less. All of the machine's memory where the system tells neither.

    Raises:
        RuntimeError: a CUDA device that does not exist, from torch.

    Accuracy: the kernel's own estimate at this moment.
    """
    found = torch.device(device)
    if found.type == "cuda":
        return int(torch.cuda.mem_get_info(found)[0])
    return max(0, min([_available(proc), *_left_by_control_groups(proc, cgroups)]))


def is_lack_of_memory(problem: BaseException) -> bool:
    """Whether an error says that memory could not be had: Python's own, numpy's, or torch's on any device."""
    if isinstance(problem, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(problem) for words in _REFUSALS)


def _available(proc: Path) -> int:
    for line in _lines(proc / "meminfo"):
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_by_control_groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What each control group with a limit leaves, this process's own and those around it (versions 1 and 2)."""
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, usage, idle = cgroups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, limit = cgroups / "memory", "memory.limit_in_bytes"
            usage, idle = "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        own = root / path.lstrip("/")
        # Inside a container the path may be one of the host, whose files are not there: then only the root tells.
        for group in (own, *own.parents):
            most, used = _number(group / limit), _number(group / usage)
            if most is not None and used is not None:
                # File pages that nobody uses are given back before anyone is killed.
                yield most - max(0, used - _statistic(group / "memory.stat", idle))
            if group == root:
                break


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError:  # another system, or a file that this process may not read
        return []


def _number(file: Path) -> int | None:
    lines = _lines(file)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _statistic(file: Path, name: str) -> int:
    values = (line.split() for line in _lines(file))
    return next((int(value[1]) for value in values if value[0] == name), 0)
