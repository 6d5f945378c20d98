"""Rows in memory, read as if from shards, with a note of what was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from magnet_service.sampling import Normal, Rows
from magnet_service.sampling.banks.columns import MappedRows
from magnet_service.sampling.banks.reader import Piece, ShardReader, Wanted
from tests.sampling.synthetic import rows_of

PRIOR = Normal(4)
Asked = list[tuple[int, Wanted]]


def made_up(count: int) -> Rows:
    """Rows of which some are of low rank and some not finite."""
    source = np.random.default_rng(8)
    rows = rows_of(PRIOR, count, [1.0, 0.5, 0.2, 0.1], rank=np.minimum(source.integers(1, 9, count), 4))
    status = (source.random(count) < 0.01).astype(np.int8)
    return Rows(rows.latents, rows.log_volumes, rows.rank, status)


def reader_of(rows: Rows, shard_rows: int, asked: Asked | None = None) -> ShardReader:
    spans = tuple((start, min(shard_rows, len(rows) - start)) for start in range(0, len(rows), shard_rows))

    def read(index: int, wanted: Wanted) -> Piece:
        if asked is not None:
            asked.append((index, wanted))
        first, count = spans[index]
        part = rows.span(first, first + count)
        return Piece(
            part.latents if wanted.latents else None,
            {k: np.ascontiguousarray(part.log_volumes[:, k - 1]) for k in wanted.ks},
            part.rank if wanted.rank else None,
            part.status if wanted.rank else None,
        )

    return ShardReader(rows.dim, rows.columns, spans, read)


def mapped_rows(
    folder: Path, rows: Rows, shard_rows: int = 3000, asked: Asked | None = None, **limits: int
) -> MappedRows:
    return MappedRows(folder, reader_of(rows, shard_rows, asked), len(rows), **limits)
