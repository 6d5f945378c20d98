"""Writes the side files of a small bank and is killed on the way; run as a program of its own.

The first argument is the folder, the second after how many shards to die.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from magnet_service.sampling.banks.columns import MappedRows
from magnet_service.sampling.banks.reader import Piece, Wanted
from tests.sampling.shelves import made_up, reader_of


def main(folder: Path, last: int) -> None:
    rows = made_up(20_000)
    reader = reader_of(rows, 3000)

    def read(index: int, wanted: Wanted) -> Piece:
        if index == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return reader.read(index, wanted)

    MappedRows(folder, replace(reader, read=read), len(rows)).log_volume(2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
