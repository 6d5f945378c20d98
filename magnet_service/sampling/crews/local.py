"""Workers that are processes of this machine: spawned, never forked, and gone when the driver is."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import TypeVar

import torch

from magnet_service.errors import InvalidInput, MagnetError
from magnet_service.sampling.banks.rows import Rows
from magnet_service.sampling.crews.crew import Span
from magnet_service.sampling.crews.recipe import Recipe
from magnet_service.sampling.crews.team import Presence, Team, WorkerDied

__all__ = ["Process", "local_crew", "serve"]

Answer = TypeVar("Answer")

_END_SECONDS = 5.0


def local_crew(recipe: Recipe, count: int | None = None, tell: Callable[[str], None] | None = None) -> Team:
    """Starts workers that are processes of this machine, each with an interpreter of its own.

    Arguments:
        recipe: what they compute; the generator's folder is read by each.
        count: how many; None for one a GPU, or as many as the cores have room for with the recipe's threads.
            Several on one device share its memory: each takes its part of the engine's bound.
        tell: given a line whenever a worker dies.

    Returns:
        The crew, whose workers load the recipe meanwhile. Close it. They end by themselves when this process is killed,
        and leave Ctrl-C to it.

    Raises:
        InvalidInput: a CUDA recipe on a machine without a GPU (field `workers`).
        OSError: no process can be started.

    Accuracy: rows equal those of one process bit for bit.
    Cost: some seconds and a few hundred MB a worker for the libraries.
    """
    devices = _devices(recipe)
    room = len(devices) if devices != ["cpu"] else max(1, _cores() // recipe.engine.threads)
    size = room if count is None else count
    each = [recipe.on(devices[number % len(devices)], -(-size // len(devices))) for number in range(size)]
    return Team(lambda number: Process(each[number], f"magnet-crew-{number}"), size, tell=tell)


class Process:
    """One worker: a process that answers one span after another over a pipe.

    Arguments:
        recipe: what it loads.
        name: of the process.
    """

    def __init__(self, recipe: Recipe, name: str) -> None:
        context = get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there, recipe), name=name, daemon=True)
        with _interrupts_held():
            self._process.start()
        there.close()  # so that the pipe ends with the process
        self._thread = ThreadPoolExecutor(1, name)
        self._open = True
        self.ready: Future[Presence] = self._thread.submit(self._heard, Presence)

    def submit(self, span: Span) -> Future[Rows]:
        """Computes a span behind those before it; see `Hand.submit`."""
        return self._thread.submit(self._asked, span)

    def close(self) -> None:
        """Kills the process, which holds nothing that could be lost; see `Hand.close`."""
        if not self._open:
            return
        self._open = False
        self._process.kill()
        self._thread.shutdown(cancel_futures=True)
        self._process.join(_END_SECONDS)
        self._pipe.close()

    def _asked(self, span: Span) -> Rows:
        try:
            self._pipe.send(span)
        except OSError as error:
            raise WorkerDied(self._end()) from error
        return self._heard(Rows)

    def _heard(self, kind: type[Answer]) -> Answer:
        try:
            wait([self._pipe, self._process.sentinel])
            # What the process sent before its death still counts.
            answer = self._pipe.recv() if self._pipe.poll() else None
        except (EOFError, OSError) as error:
            raise WorkerDied(self._end()) from error
        if isinstance(answer, MagnetError):
            raise answer
        if not isinstance(answer, kind):
            raise WorkerDied(self._end())
        return answer

    def _end(self) -> str:
        self._process.join(_END_SECONDS)
        code = self._process.exitcode
        if code is None:
            return "stopped answering"
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def serve(pipe: Connection, recipe: Recipe) -> None:
    """What a worker's process does: load the recipe, say so, and answer spans until nobody asks.

    Arguments:
        pipe: spans come in; Rows, or the MagnetError raised instead, go out.
        recipe: what is computed.

    Raises:
        Whatever is no MagnetError: the process then ends with a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all processes: the driver decides
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    try:
        bench = recipe.bench()
    except MagnetError as error:
        pipe.send(error)
        return
    answer: Presence | Rows | MagnetError = Presence(socket.gethostname(), os.getpid())
    while True:
        try:
            pipe.send(answer)
            span = pipe.recv()
        except (EOFError, OSError):  # the driver has left
            return
        try:
            answer = bench.rows(*span)
        except MagnetError as error:
            answer = error


def _end_with_the_driver() -> None:
    driver = parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Signals of Ctrl-C held back in the block, and in a process started there until it says what to do with them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _devices(recipe: Recipe) -> list[str]:
    kind = torch.device(recipe.engine.device).type
    if kind != "cuda":
        return [kind]
    found = torch.cuda.device_count()
    if not found:
        raise InvalidInput("workers: this machine has no GPU for a bank of device cuda.", field="workers")
    return [f"cuda:{number}" for number in range(found)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
