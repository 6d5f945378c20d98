"""The manifest of a bank: what the bank is, who computed it, and which shards hold it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from magnet_service.errors import DamagedData, InvalidInput, Refused, UnknownResource
from magnet_service.generator import Manifold, Precision
from magnet_service.sampling.accuracy import Accuracy
from magnet_service.sampling.banks.place import Place
from magnet_service.sampling.banks.spec import BankSpec

__all__ = [
    "FORMAT",
    "MANIFESTS",
    "Manifest",
    "ShardEntry",
    "in_force",
    "manifest_number",
    "read_manifest",
    "write_manifest",
]

FORMAT = 2
MANIFESTS = "manifest"
_NAME = re.compile(r"\d{12}\.json")


@dataclass(frozen=True)
class ShardEntry:
    """One shard.

    Attributes:
        file: its name in the bank's folder of rows.
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
    """What a bank's place says of it.

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


def write_manifest(bank: Place, number: int, manifest: Manifest) -> None:
    """Stores a manifest under a number that must be free, and removes those of smaller numbers.

    Manifests of a bank are numbered, and the highest number is the one in force. A writer that stalled while another
    took its place finds its next number taken, or lays its manifest below the one in force: it can replace nothing.

    Arguments:
        bank: the bank's place.
        number: one above that of the manifest in force.
        manifest: what to write.

    Returns:
        Nothing; from now on readers see it.

    Raises:
        Refused: another writer has written that number; reason LEASE_LOST.
        OutOfSpace, Unreachable: the store's; the manifest before stays in force.

    Accuracy:
        Equal manifests are equal bytes.
    """
    content = {
        "format": FORMAT,
        "id": manifest.spec.id,
        "spec": manifest.spec.content(),
        "stamp": manifest.stamp,
        "shard_rows": manifest.shard_rows,
        "shards": [asdict(shard) for shard in manifest.shards],
        "accuracy": None if manifest.accuracy is None else manifest.accuracy.content(),
    }
    place = bank.child(MANIFESTS)
    if not place.create(_name(number), (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()):
        raise Refused(
            f"bank {bank.name} was written by another: build again to go on from what it stored", reason="LEASE_LOST"
        )
    for name in place.names():
        if _NAME.fullmatch(name) and name < _name(number):
            place.remove(name)


def manifest_number(bank: Place) -> int:
    """The number of the manifest in force; 0 where there is none."""
    names = [name for name in bank.child(MANIFESTS).names() if _NAME.fullmatch(name)]
    return int(names[-1].removesuffix(".json")) if names else 0


def read_manifest(bank: Place) -> Manifest:
    """The manifest of a bank; raises as `in_force`, of which it is the second part."""
    return in_force(bank)[1]


def in_force(bank: Place, number: int | None = None) -> tuple[int, Manifest]:
    """The manifest of a bank and the number that it has.

    Arguments:
        bank: the bank's place.
        number: of a manifest that was in force a moment ago; looked up where None.

    Returns:
        Number and content of the manifest in force, which is consistent in itself.

    Raises:
        UnknownResource: no manifest there; field `bank_id`.
        Refused: written by a later version (NEWER_FORMAT), or before banks could lie elsewhere (OLDER_FORMAT).
        DamagedData: not what this program writes, or its id is not the digest of its recipe.

    Accuracy:
        Exact.
    """
    number = manifest_number(bank) if number is None else number
    while number:
        try:
            return number, _checked(bank, _name(number), bank.child(MANIFESTS).read(_name(number)))
        except FileNotFoundError:
            number = manifest_number(bank)  # its writer has put a later one in its place
    if "manifest.json" in bank.names():
        raise Refused(
            f"bank {bank.name} is of format 1, which is no longer read: delete it and build it again",
            reason="OLDER_FORMAT",
        )
    raise UnknownResource(f"{bank.name} holds no bank: it has no manifest", field="bank_id")


def _checked(bank: Place, name: str, data: bytes) -> Manifest:
    where = f"{MANIFESTS}/{name} of bank {bank.name}"
    try:
        content = json.loads(data)
    except ValueError as error:
        raise DamagedData(f"{where} is not JSON: {error}") from error
    version = content.get("format") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise DamagedData(f"{where} names no format")
    if version > FORMAT:
        raise Refused(
            f"bank {bank.name} is of format {version}, this program reads up to {FORMAT}: use a later one",
            reason="NEWER_FORMAT",
        )
    try:
        manifest = _parse(content)
    except (KeyError, TypeError, ValueError, InvalidInput) as error:
        raise DamagedData(f"{where} is not a bank's: {error!r}") from error
    _check_shards(where, manifest)
    if content.get("id") != manifest.spec.id:
        raise DamagedData(f"{where} says id {content.get('id')}, its recipe has {manifest.spec.id}")
    return manifest


def _name(number: int) -> str:
    return f"{number:012d}.json"


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


def _check_shards(where: str, manifest: Manifest) -> None:
    row = 0
    for index, shard in enumerate(manifest.shards):
        last = index == len(manifest.shards) - 1
        full = shard.count == manifest.shard_rows
        # A name with a folder in it would read files from elsewhere.
        plain = PurePath(shard.file).name == shard.file
        if shard.first != row or not plain or not (full or (last and 0 < shard.count < manifest.shard_rows)):
            raise DamagedData(f"{where} lists shards with gaps: {shard.file} at row {row}")
        row += shard.count
