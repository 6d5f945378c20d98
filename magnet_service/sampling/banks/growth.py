"""How a bank grows: which rows are missing, shards put together from their parts, the manifest written last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import final

from magnet_service.errors import DamagedData
from magnet_service.sampling.accuracy import Accuracy
from magnet_service.sampling.banks.lease import Lease
from magnet_service.sampling.banks.manifest import MANIFESTS, Manifest, ShardEntry, in_force, write_manifest
from magnet_service.sampling.banks.place import Place
from magnet_service.sampling.banks.rows import Rows, concatenate
from magnet_service.sampling.banks.shard import ROWS, decode, encode, entry_of, key_of, read_shard, shard_name, span_of

__all__ = ["Growth"]

# A manifest of n shards costs n to write: of many shards only every so many-th writes it.
_SHARDS_A_MANIFEST = 256


@final
class Growth:
    """A bank between the rows that it has and those wanted. Parts may come in any order.

    A shard that is complete is stored at once; the manifest tells of it when all rows before it are stored too. What a
    killed writer stored without telling is found again by its name, checked, and not computed a second time.

    Arguments:
        bank: the bank's place.
        lease: held on it.
        to_rows: rows wanted in all, more than it has.
    """

    def __init__(self, bank: Place, lease: Lease, to_rows: int) -> None:
        self._bank, self._lease, self._to_rows = bank, lease, to_rows
        self.manifest: Manifest
        self._number, self.manifest = in_force(bank)
        self._known = self.manifest.rows
        self._parts: dict[int, list[tuple[int, Rows]]] = {}
        self._held: Counter[int] = Counter()  # rows of the parts of each shard
        self._complete: dict[int, ShardEntry] = {}
        for folder in (ROWS, MANIFESTS):
            bank.child(folder).tidy()
        self._clean()

    @property
    def rows_done(self) -> int:
        """Rows that are stored or at hand."""
        full = self.manifest.shard_rows
        shards, rest = divmod(self.manifest.rows, full)
        if shards in self._parts or shards in self._complete:
            rest = 0  # the short last shard is a part of the one in work
        complete = sum(entry.count for entry in self._complete.values())
        return shards * full + rest + complete + sum(self._held.values())

    def measured(self, accuracy: Accuracy) -> None:
        """Notes how exact the rows are; the next manifest says it."""
        self.manifest = replace(self.manifest, accuracy=accuracy)

    def spans(self, rows: int) -> Iterator[tuple[int, int]]:
        """What is to be computed, in order: spans of at most `rows` rows, from the beginning of a tile, in one shard.

        Arguments:
            rows: a multiple of the tile rows.

        Yields:
            First row and the one behind the last. Shards that are stored already are noted on the way.

        Raises:
            DamagedData: the short last shard is not what the manifest says.
            Refused, OutOfSpace, Unreachable: as `add`.
        """
        full, tile = self.manifest.shard_rows, self.manifest.spec.tile_rows
        stored = set(self._bank.child(ROWS).names())
        for shard in range(self._known // full, -(-self._to_rows // full)):
            first = row = shard * full
            stop = min(first + full, self._to_rows)
            found = self._adopted(first, stop - first) if shard_name(first, stop - first) in stored else None
            if found is not None:
                self._finish(shard, found)
                continue
            if first < self._known:
                row = self._known
                self._take(shard, first, read_shard(self._bank, self.manifest, self.manifest.shards[shard]))
            # A last tile that was stored in part is computed again, whole: same rows, same places, same bytes.
            for start in range(row - row % tile, stop, rows):
                yield start, min(start + rows, stop)

    def add(self, start: int, rows: Rows) -> None:
        """Takes the rows of a span; a shard that is complete by them is stored.

        Arguments:
            start: first row.
            rows: all rows of the span.

        Raises:
            Refused: the lease was lost; reason LEASE_LOST.
            OutOfSpace, Unreachable: the store's; the bank stays readable as it was.
        """
        shard = start // self.manifest.shard_rows
        known = max(0, self._known - start)
        self._take(shard, start + known, rows.span(known, len(rows)))
        first = shard * self.manifest.shard_rows
        count = min(self.manifest.shard_rows, self._to_rows - first)
        if self._held[shard] == count:
            parts = sorted(self._parts[shard], key=lambda part: part[0])
            entry = self._stored(first, concatenate([part for _, part in parts]))
            del self._parts[shard], self._held[shard]
            self._finish(shard, entry)

    def close(self) -> None:
        """Tells of all that is stored, and removes what nobody needs any more."""
        self._tell(whole=True)
        self._clean()

    def _take(self, shard: int, start: int, rows: Rows) -> None:
        self._parts.setdefault(shard, []).append((start, rows))
        self._held[shard] += len(rows)

    def _stored(self, first: int, rows: Rows) -> ShardEntry:
        key = key_of(self.manifest, first, len(rows))
        data, place = encode(rows, key), self._bank.child(ROWS)
        name = shard_name(first, len(rows))
        self._lease.check()
        if place.create(name, data):
            return entry_of(key, data)
        # A writer that stalled may have stored the same rows by another version of Parquet: theirs are as good.
        found = self._adopted(first, len(rows))
        if found is not None:
            return found
        place.put(name, data)
        return entry_of(key, data)

    def _adopted(self, first: int, count: int) -> ShardEntry | None:
        """The entry of a shard that is stored and whole; None where it is not."""
        spec, key = self.manifest.spec, key_of(self.manifest, first, count)
        try:
            data = self._bank.child(ROWS).read(shard_name(first, count))
            rows, stated = decode(data, spec.base_law.dim, spec.columns)
        except (FileNotFoundError, DamagedData):
            return None
        return entry_of(key, data) if stated == key and len(rows) == count else None

    def _finish(self, shard: int, entry: ShardEntry) -> None:
        self._complete[shard] = entry
        self._tell(whole=False)

    def _tell(self, *, whole: bool) -> None:
        """Writes the manifest where it has grown enough."""
        full = self.manifest.shard_rows
        shards = self.manifest.shards[: self.manifest.rows // full]
        ready: list[ShardEntry] = []
        while len(shards) + len(ready) in self._complete:
            ready.append(self._complete[len(shards) + len(ready)])
        if not ready or (not whole and len(ready) <= len(shards) // _SHARDS_A_MANIFEST):
            return
        self._lease.check()
        grown = replace(self.manifest, shards=(*shards, *ready))
        write_manifest(self._bank, self._number + 1, grown)
        old = set(self.manifest.shards) - set(grown.shards)
        self.manifest, self._number = grown, self._number + 1
        for index in range(len(shards), len(grown.shards)):
            del self._complete[index]
        for entry in old:
            self._bank.child(ROWS).remove(entry.file)

    def _clean(self) -> None:
        # A killed writer may leave shards that no manifest names and no later build would ask for: short ones, and such
        # of another size.
        self._lease.check()
        full = self.manifest.shard_rows
        first = self._to_rows - self._to_rows % full
        kept = {shard.file for shard in self.manifest.shards} | {shard_name(first, self._to_rows - first)}
        place = self._bank.child(ROWS)
        for name in place.names():
            span = span_of(name)
            if name not in kept and (span is None or span[0] % full or span[1] != full):
                place.remove(name)
