"""SIGTERM, which schedulers send, ends a long command as Ctrl-C does: by way of its own cleaning up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Terminated", "ended_by_sigterm"]


class Terminated(SystemExit):
    """The command was told to end; its exit code is that of a process that SIGTERM ended."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Raises Terminated inside the block when SIGTERM comes; once, so that a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():  # only there may signals be handled
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
