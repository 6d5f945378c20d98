"""Builds one small bank in children that are killed at every kind of moment; run as a program of its own.

Each child grows the bank and is killed with SIGKILL: before a write, with half a temporary file, after the file's
rename but before the manifest's, after the manifest's but before the old shard is deleted, or at a random time. The
parent opens the bank after each kill and writes one line of JSON: how it was killed, rows before and after.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from magnet_service.geometry import volumes
from magnet_service.sampling import Bank, build
from magnet_service.sampling.banks.local_place import TEMPORARY, LocalPlace
from tests.sampling.small_bank import create, small_engine, small_generator

Written = TypeVar("Written")

STEPS = (40, 100, 100, 200, 200, 210, 500)
STAGES = ("before", "torn", "after")


class Deadly(LocalPlace):  # type: ignore[misc]  # final for others
    """A folder that kills its writer at one of the objects stored in it or below."""

    def __init__(self, folder: Path, stage: str, number: int, written: list[str] | None = None) -> None:
        super().__init__(folder)
        self.stage, self.number = stage, number
        self.written: list[str] = [] if written is None else written

    def child(self, name: str) -> Deadly:
        return Deadly(self.folder / name, self.stage, self.number, self.written)

    def put(self, name: str, data: bytes) -> None:
        self.deadly(name, data, lambda: LocalPlace.put(self, name, data))

    def create(self, name: str, data: bytes) -> bool:
        return self.deadly(name, data, lambda: LocalPlace.create(self, name, data))

    def deadly(self, name: str, data: bytes, write: Callable[[], Written]) -> Written:
        self.written.append(name)
        now = len(self.written) == self.number
        if now and self.stage == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if now and self.stage == "torn":
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{TEMPORARY}torn-{name}").write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        found = write()
        if now and self.stage == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return found


def main(folder: Path, seed: int) -> None:
    generator = small_generator()
    source = random.Random(seed)
    bank = create(folder, generator)
    engine = small_engine(bank.spec)
    # Threads that torch starts at its first call would be lost in a child.
    volumes(generator, torch.zeros(16, 3), engine=engine)

    def child(rows: int, stage: str, number: int, delay: float) -> None:
        end = time.monotonic() + delay
        place = bank.place if stage == "random" else Deadly(folder, stage, number)
        for _ in build(Bank.open(place), generator, engine, rows, progress_rows=16):
            while stage == "random" and time.monotonic() > end:
                os.kill(os.getpid(), signal.SIGKILL)

    plans = [(stage, number) for number in (1, 2, 3, 4, 5) for stage in STAGES] + [("random", 0)] * 6
    source.shuffle(plans)
    for index, (stage, number) in enumerate(plans):
        rows = STEPS[index * len(STEPS) // len(plans)]
        before = Bank.open(folder).revision
        pid = os.fork()
        if pid == 0:
            child(max(rows, before + 1), stage, number, source.uniform(0.0, 0.01))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        bank = Bank.open(folder)
        readable = len(bank.rows())
        killed = os.WIFSIGNALED(status)
        print(json.dumps({"stage": stage, "killed": killed, "before": before, "after": readable, "to": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
