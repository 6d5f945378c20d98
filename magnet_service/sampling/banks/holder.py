"""Who holds a lease: a process, told apart from one that had its number before."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Holder", "this_process"]


@dataclass(frozen=True)
class Holder:
    """A process.

    Attributes:
        host: name of its machine, for messages.
        machine: boot and process-number space of the machine; empty where the system does not tell them.
        process: its number.
        started: when it started, in the machine's own count.
    """

    host: str
    machine: str
    process: int
    started: str

    def __str__(self) -> str:
        """For messages."""
        return f"process {self.process} on {self.host}"

    @property
    def ended(self) -> bool:
        """Whether it is known to have ended: seen only from its own machine."""
        here = this_process()
        return bool(self.machine) and self.machine == here.machine and _started(self.process) != self.started

    def content(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)


@cache
def this_process() -> Holder:
    """The process that asks; workers are spawned and never forked, so that none has another's answer."""
    return Holder(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()))


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(process: int) -> str:
    # Field 22 of proc(5); the second, the program's name in parentheses, may hold spaces.
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rsplit(")", 1)[-1].split()[19]
