"""Compacts copies of a bank in children, each killed with SIGKILL one step later than the one before.

Run as a program of its own: `FOLDER COPIES SHARD_ROWS`. A step is an object stored or removed among the bank's rows and
manifests. Writes one line of JSON: how many children were killed; copy i was killed before its step i.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

from magnet_service.sampling import Bank
from magnet_service.sampling.banks.local_place import LocalPlace
from magnet_service.sampling.banks.transfer import compact


class Deadly(LocalPlace):  # type: ignore[misc]  # final for others
    """A folder that kills who changes it at a step."""

    def __init__(self, folder: Path, moment: int, steps: list[str] | None = None) -> None:
        super().__init__(folder)
        self.moment = moment
        self.steps: list[str] = [] if steps is None else steps

    def child(self, name: str) -> Deadly:
        return Deadly(self.folder / name, self.moment, self.steps)

    def put(self, name: str, data: bytes) -> None:
        self.step(name)
        super().put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        self.step(name)
        return super().create(name, data)

    def remove(self, name: str) -> None:
        self.step(name)
        super().remove(name)

    def step(self, name: str) -> None:
        if self.folder.name in ("rows", "manifest"):
            if len(self.steps) == self.moment:
                os.kill(os.getpid(), signal.SIGKILL)
            self.steps.append(name)


def main(folder: Path, copies: Path, shard_rows: int) -> None:
    for moment in count():
        copy = Path(shutil.copytree(folder, copies / str(moment)))
        pid = os.fork()
        if pid == 0:
            compact(Bank.open(Deadly(copy, moment)), shard_rows)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            print(json.dumps({"killed": moment, "status": status}))
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
