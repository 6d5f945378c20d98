"""One shard: a fixed range of rows as Parquet bytes, the same bytes for the same rows, that says itself what it is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import IOBase

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from magnet_service.errors import DamagedData
from magnet_service.sampling.banks.manifest import Manifest, ShardEntry
from magnet_service.sampling.banks.place import Place
from magnet_service.sampling.banks.rows import Rows

__all__ = [
    "ROWS",
    "ShardKey",
    "decode",
    "encode",
    "entry_of",
    "key_of",
    "matches",
    "read_shard",
    "shard_name",
    "span_of",
]

ROWS = "rows"
_KEY = b"magnet.shard"
# From here on a request for a few columns costs less than the whole.
_LARGE_BYTES = 16 * 2**20
_NAME = re.compile(r"rows-(\d{12})-(\d{9})\.parquet")


@dataclass(frozen=True)
class ShardKey:
    """What the rows of a shard are a function of.

    Attributes:
        bank: digest of generator, law, condition, manifold, precision, tile rows, threads, device and seed.
        engine: digest of the stamp of the engine that computed it.
        first: first row.
        count: rows.
    """

    bank: str
    engine: str
    first: int
    count: int


def key_of(manifest: Manifest, first: int, count: int) -> ShardKey:
    """The key of the shard of a bank that holds rows first to first + count - 1."""
    stamp = json.dumps(manifest.stamp, sort_keys=True).encode()
    return ShardKey(manifest.spec.id, hashlib.sha256(stamp).hexdigest()[:16], first, count)


def shard_name(first: int, count: int) -> str:
    """File name of the shard that holds rows first to first + count - 1."""
    return f"rows-{first:012d}-{count:09d}.parquet"


def span_of(name: str) -> tuple[int, int] | None:
    """First row and number of rows of the shard of a file name; None where it is no shard's."""
    match = _NAME.fullmatch(name)
    return (int(match.group(1)), int(match.group(2))) if match else None


def entry_of(key: ShardKey, data: bytes) -> ShardEntry:
    """The manifest's entry for a shard's bytes."""
    digest = hashlib.sha256(data).hexdigest()
    return ShardEntry(shard_name(key.first, key.count), key.first, key.count, digest, len(data))


def matches(data: bytes, entry: ShardEntry) -> bool:
    """Whether bytes are those of a manifest's entry: its size and its digest."""
    return len(data) == entry.bytes and hashlib.sha256(data).hexdigest() == entry.sha256


def encode(rows: Rows, key: ShardKey) -> bytes:
    """Rows as a Parquet file.

    Columns latent (list of float32), log_v_1 to log_v_d (float32, so that one k is read alone), rank (int16) and status
    (int8); the file's metadata hold the key and a digest of the numbers, under `magnet.shard`.

    Arguments:
        rows: as many as the key says.
        key: whose rows they are.

    Returns:
        The file's bytes: a function of rows, key and pyarrow's version.

    Raises:
        Nothing.

    Accuracy:
        Exact.
    """
    count, width = rows.latents.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * np.int32(width))
    volumes = np.ascontiguousarray(rows.log_volumes.T)
    columns = {
        "latent": pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(rows.latents).reshape(-1))),
        **{f"log_v_{index + 1}": pa.array(column) for index, column in enumerate(volumes)},
        "rank": pa.array(rows.rank),
        "status": pa.array(rows.status),
    }
    told = json.dumps({**asdict(key), "sha256": _digest(rows)}, sort_keys=True).encode()
    table, sink = pa.table(columns), pa.BufferOutputStream()
    # Numbers as random as these do not compress; dictionaries and statistics only cost.
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table, row_group_size=max(count, 1))
        writer.add_key_value_metadata({_KEY: told})
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(
    source: bytes | IOBase, latent: int, columns: int, *, ks: Sequence[int] | None = None, latents: bool = True
) -> tuple[Rows, ShardKey]:
    """Rows from a shard, with the key that it states.

    Arguments:
        source: from `encode`, whole or an open file of which only what is wanted is read.
        latent: width of a latent.
        columns: singular values of a row.
        ks: the log-volumes wanted, in this order; all where None. Others are not decoded.
        latents: whether latents are wanted; else they are zero columns wide.

    Returns:
        The rows, arrays read-only, and the key. The checksum of every page read is checked, and where everything is
        wanted the digest of the numbers too.

    Raises:
        DamagedData: not such a file.
        OSError: an open file cannot be read.

    Accuracy:
        Exact.
    """
    wanted = range(1, columns + 1) if ks is None else ks
    names = [*(["latent"] if latents else []), *(f"log_v_{k}" for k in wanted), "rank", "status"]
    try:
        file_like = pa.BufferReader(source) if isinstance(source, bytes) else source
        with pq.ParquetFile(file_like, pre_buffer=True, page_checksum_verification=True) as file:
            told = json.loads((file.metadata.metadata or {})[_KEY])
            if file.schema_arrow.names[-3:] != [f"log_v_{columns}", "rank", "status"]:
                raise ValueError(f"its volumes do not end with log_v_{columns}")
            table = file.read(columns=names, use_threads=False)
        rank = _vector(table, "rank", np.dtype(np.int16))
        volumes: Float32[np.ndarray, "rows columns"] = np.empty((len(rank), len(wanted)), np.float32)
        for place, k in enumerate(wanted):
            volumes[:, place] = _vector(table, f"log_v_{k}", np.dtype(np.float32))
        points = _matrix(table, latent) if latents else np.empty((len(rank), 0), np.float32)
        rows = Rows(points, volumes, rank, _vector(table, "status", np.dtype(np.int8)))
        digest = told.pop("sha256")
        key = ShardKey(**told)
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        # Parquet calls a page of another checksum an OSError, as one that the system raised, which has a number.
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
            raise
        raise DamagedData(f"not a shard of a bank: {error}") from error
    if latents and ks is None and digest != _digest(rows):
        raise DamagedData("a shard whose numbers are not those that it was written with")
    return rows, key


def read_shard(
    bank: Place, manifest: Manifest, entry: ShardEntry, *, ks: Sequence[int] | None = None, latents: bool = True
) -> Rows:
    """A shard from the bank's place, checked.

    A shard is read whole and its digest compared with the manifest's; of a large one of which few columns are wanted
    only these are read, and the checksums of their pages compared.

    Arguments:
        bank: the bank's place.
        manifest: the bank's.
        entry: one of its shards.
        ks, latents: as `decode`.

    Returns:
        The rows.

    Raises:
        FileNotFoundError: no such object.
        DamagedData: size, digest or content differ; the message names the file.

    Accuracy:
        Exact.
    """
    named = f"shard {entry.file} of bank {bank.name}"
    remedy = f"`magnet bank verify {manifest.spec.id} --repair` computes it again"
    if manifest.spec.imported:
        remedy = "delete the bank and import its file again"
    dim, columns, place = manifest.spec.base_law.dim, manifest.spec.columns, bank.child(ROWS)
    try:
        if entry.bytes >= _LARGE_BYTES and ks is not None and not latents:
            with place.opened(entry.file) as file:
                rows, key = decode(file, dim, columns, ks=ks, latents=False)
        else:
            data = place.read(entry.file)
            if not matches(data, entry):
                raise DamagedData("its digest is not the manifest's")
            rows, key = decode(data, dim, columns, ks=ks, latents=latents)
    except DamagedData as error:
        raise DamagedData(f"{named} is damaged: {error.message}; {remedy}") from error
    if len(rows) != entry.count or (key.bank, key.first) != (manifest.spec.id, entry.first):
        raise DamagedData(f"{named} holds {len(rows)} rows from {key.first} of bank {key.bank}; {remedy}")
    return rows


def _digest(rows: Rows) -> str:
    digest = hashlib.sha256()
    for array in (rows.latents, rows.log_volumes, rows.rank, rows.status):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _matrix(table: pa.Table, width: int) -> Float32[np.ndarray, "rows width"]:
    lists = table.column("latent").combine_chunks()
    flat: Float32[np.ndarray, " numbers"] = lists.flatten().to_numpy(zero_copy_only=False)
    if flat.dtype != np.float32 or (lists.value_lengths().to_numpy() != width).any():
        raise ValueError(f"latents are not {width} float32 numbers wide")
    return flat.reshape(len(lists), width)


def _vector(
    table: pa.Table, name: str, kind: np.dtype[np.int16] | np.dtype[np.int8] | np.dtype[np.float32]
) -> np.ndarray:
    values: np.ndarray = table.column(name).combine_chunks().to_numpy(zero_copy_only=False)
    if values.dtype != kind:
        raise ValueError(f"column {name} is {values.dtype}, not {kind}")
    return values
