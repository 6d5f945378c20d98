"""One shard: a fixed range of rows as Parquet bytes, the same bytes for the same rows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from magnet_service.errors import DamagedData
from magnet_service.sampling.banks.manifest import ShardEntry
from magnet_service.sampling.banks.rows import Rows

__all__ = ["decode", "encode", "entry_of", "read_shard", "shard_name"]


def shard_name(first: int, count: int) -> str:
    """File name of the shard that holds rows first to first + count - 1."""
    return f"rows-{first:012d}-{count:06d}.parquet"


def entry_of(first: int, count: int, data: bytes) -> ShardEntry:
    """The manifest's entry for a shard's bytes."""
    return ShardEntry(shard_name(first, count), first, count, hashlib.sha256(data).hexdigest(), len(data))


def encode(rows: Rows) -> bytes:
    """Rows as a Parquet file of columns latent, log_volume (lists of float32), rank (int16) and status (int8).

    Arguments:
        rows: at least one row.

    Returns:
        The file's bytes: a function of the rows and of pyarrow's version.

    Raises:
        Nothing.

    Accuracy:
        Exact.
    """
    columns = {
        "latent": _lists(rows.latents),
        "log_volume": _lists(rows.log_volumes),
        "rank": pa.array(rows.rank),
        "status": pa.array(rows.status),
    }
    sink = pa.BufferOutputStream()
    # Numbers as random as these do not compress; dictionaries and statistics only cost.
    pq.write_table(
        pa.table(columns), sink, compression="none", use_dictionary=False, write_statistics=False, store_schema=False
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(data: bytes, latent: int, columns: int) -> Rows:
    """Rows from a shard's bytes.

    Arguments:
        data: from `encode`.
        latent: width of a latent.
        columns: singular values of a row.

    Returns:
        The rows; arrays are read-only.

    Raises:
        DamagedData: not such a file.

    Accuracy:
        Exact.
    """
    try:
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
        rows = Rows(
            _matrix(table.column("latent"), latent),
            _matrix(table.column("log_volume"), columns),
            _vector(table.column("rank"), np.dtype(np.int16)),
            _vector(table.column("status"), np.dtype(np.int8)),
        )
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise DamagedData(f"not a shard of a bank: {error}") from error
    return rows


def read_shard(folder: Path, entry: ShardEntry, latent: int, columns: int) -> Rows:
    """A shard from its file, checked against the manifest.

    Arguments:
        folder: the bank's folder.
        entry: the manifest's entry.
        latent: width of a latent.
        columns: singular values of a row.

    Returns:
        The rows.

    Raises:
        FileNotFoundError: no such file.
        DamagedData: size, digest or content differ; the message names the file.

    Accuracy:
        Exact.
    """
    data = (folder / entry.file).read_bytes()
    if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DamagedData(f"shard {entry.file} of bank {folder.name} is damaged: its digest is not the manifest's")
    rows = decode(data, latent, columns)
    if len(rows) != entry.count:
        raise DamagedData(f"shard {entry.file} of bank {folder.name} holds {len(rows)} rows, not {entry.count}")
    return rows


def _lists(matrix: Float32[np.ndarray, "rows width"]) -> pa.ListArray:
    count, width = matrix.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * np.int32(width))
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(matrix).reshape(-1)))


def _matrix(column: pa.ChunkedArray, width: int) -> Float32[np.ndarray, "rows width"]:
    lists = column.combine_chunks()
    flat: Float32[np.ndarray, " numbers"] = lists.flatten().to_numpy(zero_copy_only=False)
    if flat.dtype != np.float32 or (lists.value_lengths().to_numpy() != width).any():
        raise ValueError(f"a column of lists is not {width} float32 numbers wide")
    return flat.reshape(len(lists), width)


def _vector(column: pa.ChunkedArray, kind: np.dtype[np.int16] | np.dtype[np.int8]) -> np.ndarray:
    values: np.ndarray = column.combine_chunks().to_numpy(zero_copy_only=False)
    if values.dtype != kind:
        raise ValueError(f"a column is {values.dtype}, not {kind}")
    return values
