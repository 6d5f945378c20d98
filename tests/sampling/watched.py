"""Banks compared and looked at, and a folder that tells what is done to it."""

from __future__ import annotations

from pathlib import Path

from magnet_service.sampling import Bank, BankRows
from magnet_service.sampling.banks.inspection import inspect
from magnet_service.sampling.banks.local_place import LocalPlace
from magnet_service.sampling.banks.shard import ROWS

__all__ = ["Counting", "is_whole", "same_rows", "sizes", "unnamed_shards"]


def same_rows(one: BankRows, other: BankRows) -> bool:
    """Of every column, bit for bit."""
    rows, others = one.span(0, len(one)), other.span(0, len(other))
    names = ("latents", "log_volumes", "rank", "status")
    return all(getattr(rows, name).tobytes() == getattr(others, name).tobytes() for name in names)


def sizes(bank: Bank) -> list[int]:
    return [entry.count for entry in bank.manifest.shards]


def unnamed_shards(bank: Bank) -> list[str]:
    """Objects among the bank's rows that its manifest does not name: what a killed build left, and may yet take up."""
    named = {entry.file for entry in bank.manifest.shards}
    return [name for name in bank.place.child(ROWS).names() if name not in named]


def is_whole(bank: Bank) -> bool:
    return not any(finding.problem for finding in inspect(bank)) and not unnamed_shards(bank)


class Counting(LocalPlace):  # type: ignore[misc]  # final for others
    """A folder that notes which shards are read and written."""

    def __init__(self, folder: Path, read: list[str] | None = None, written: list[str] | None = None) -> None:
        super().__init__(folder)
        self.read_names: list[str] = [] if read is None else read
        self.written: list[str] = [] if written is None else written

    def child(self, name: str) -> Counting:
        return Counting(self.folder / name, self.read_names, self.written)

    def read(self, name: str) -> bytes:
        if name.endswith(".parquet"):
            self.read_names.append(name)
        return super().read(name)

    def put(self, name: str, data: bytes) -> None:
        if name.endswith(".parquet"):
            self.written.append(name)
        super().put(name, data)
