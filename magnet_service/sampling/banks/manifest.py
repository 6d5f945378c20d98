"""The manifest of a bank: what the bank is, who computed it, and which shards hold it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from magnet_service.errors import DamagedData, InvalidInput, Refused, UnknownResource
from magnet_service.generator import Manifold, Precision
from magnet_service.sampling.accuracy import Accuracy
from magnet_service.sampling.banks.files import Writer, write_atomically
from magnet_service.sampling.banks.spec import BankSpec

__all__ = ["FORMAT", "MANIFEST", "Manifest", "ShardEntry", "read_manifest", "write_manifest"]

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ShardEntry:
    """One shard.

    Attributes:
        file: its name in the bank's folder.
        first: its first row.
        count: its rows.
        sha256: digest of its bytes, hexadecimal.
        bytes: its size.
    """

    file: str
    first: int
    count: int
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        spec: the bank's recipe.
        stamp: engine version, torch build, instruction set, device and threads that computed it.
        shard_rows: rows of a full shard, a multiple of the tile rows.
        shards: in order, without gaps.
        accuracy: the arithmetic that the rows are computed in and its error, from the first shard on; None for a bank
            that was built before errors were measured.
    """

    spec: BankSpec
    stamp: dict[str, str]
    shard_rows: int
    shards: tuple[ShardEntry, ...]
    accuracy: Accuracy | None = None

    def __post_init__(self) -> None:
        """Refuses shards that are not whole tiles."""
        if self.shard_rows < 1 or self.shard_rows % self.spec.tile_rows:
            raise InvalidInput(
                f"shard_rows is {self.shard_rows}: write a multiple of tile_rows, {self.spec.tile_rows}",
                field="shard_rows",
            )

    @property
    def precision_used(self) -> Precision:
        """The arithmetic of the rows: the recipe's, or the one that took its place."""
        return self.spec.precision if self.accuracy is None else self.accuracy.used

    @property
    def rows(self) -> int:
        """Rows in all shards: the bank's revision."""
        return sum(shard.count for shard in self.shards)


def write_manifest(folder: Path, manifest: Manifest, write: Writer = write_atomically) -> None:
    """Puts a manifest in place of the one before, atomically.

    Arguments:
        folder: the bank's folder.
        manifest: what to write.
        write: how files are put in place.

    Returns:
        Nothing.

    Raises:
        OutOfSpace: the device is full; the manifest before stays.

    Accuracy:
        Equal manifests are equal bytes.
    """
    content = {
        "format": FORMAT,
        "id": manifest.spec.id,
        "spec": asdict(manifest.spec),
        "stamp": manifest.stamp,
        "shard_rows": manifest.shard_rows,
        "shards": [asdict(shard) for shard in manifest.shards],
        "accuracy": None if manifest.accuracy is None else manifest.accuracy.content(),
    }
    write(folder / MANIFEST, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bank's folder.

    Arguments:
        folder: the bank's folder.

    Returns:
        The manifest, consistent in itself.

    Raises:
        UnknownResource: no manifest there.
        Refused: written by a later version; reason NEWER_FORMAT.
        DamagedData: not what this program writes, or its id is not the digest of its recipe.

    Accuracy:
        Exact.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UnknownResource(f"{folder.name} holds no bank: it has no {MANIFEST}", field="bank_id") from None
    except ValueError as error:
        raise DamagedData(f"{path.name} of bank {folder.name} is not JSON: {error}") from error
    version = content.get("format") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise DamagedData(f"{path.name} of bank {folder.name} names no format")
    if version > FORMAT:
        raise Refused(
            f"bank {folder.name} is of format {version}, this program reads up to {FORMAT}: use a later one",
            reason="NEWER_FORMAT",
        )
    try:
        manifest = _parse(content)
        _check_shards(folder, manifest)
    except (KeyError, TypeError, ValueError, InvalidInput) as error:
        raise DamagedData(f"{path.name} of bank {folder.name} is not a bank's: {error!r}") from error
    if content.get("id") != manifest.spec.id:
        raise DamagedData(
            f"{path.name} of bank {folder.name} says id {content.get('id')}, its recipe has {manifest.spec.id}"
        )
    return manifest


def _parse(content: dict[str, Any]) -> Manifest:
    spec = dict(content["spec"])
    spec["manifold"] = Manifold(spec["manifold"])
    spec["precision"] = Precision(spec["precision"])
    return Manifest(
        spec=BankSpec(**spec),
        stamp={str(key): str(value) for key, value in content["stamp"].items()},
        shard_rows=int(content["shard_rows"]),
        shards=tuple(ShardEntry(**shard) for shard in content["shards"]),
        accuracy=None if content.get("accuracy") is None else Accuracy.of_content(content["accuracy"]),
    )


def _check_shards(folder: Path, manifest: Manifest) -> None:
    row = 0
    for index, shard in enumerate(manifest.shards):
        last = index == len(manifest.shards) - 1
        full = shard.count == manifest.shard_rows
        # A name with a folder in it would read files from elsewhere.
        plain = Path(shard.file).name == shard.file
        if shard.first != row or not plain or not (full or (last and 0 < shard.count < manifest.shard_rows)):
            raise DamagedData(f"{MANIFEST} of bank {folder.name} lists shards with gaps: {shard.file} at row {row}")
        row += shard.count
