"""Shards as a reader sees them: ranges of rows, of which only the columns asked for are decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int8, Int16, Int64

from magnet_service.sampling.banks.rows import Rows

__all__ = ["Piece", "ShardReader", "Wanted", "rows_of"]


@dataclass(frozen=True)
class Wanted:
    """What is read of a shard.

    Attributes:
        latents: the latents.
        ks: the k of each log v_k.
        rank: rank and status.
    """

    latents: bool = False
    ks: tuple[int, ...] = ()
    rank: bool = False


@dataclass(frozen=True)
class Piece:
    """What was read of a shard; what was not wanted is None or not there.

    Attributes:
        latents: float32, [rows, latent].
        log_volumes: log v_k by k, nats.
        rank: numerical rank.
        status: as `Rows.status`.
    """

    latents: Float32[np.ndarray, "rows latent"] | None = None
    log_volumes: Mapping[int, Float32[np.ndarray, " rows"]] = field(default_factory=dict)
    rank: Int16[np.ndarray, " rows"] | None = None
    status: Int8[np.ndarray, " rows"] | None = None


@dataclass(frozen=True)
class ShardReader:
    """The shards of a bank at one revision.

    Attributes:
        dim: width of a latent.
        columns: singular values of a row.
        spans: first row and number of rows of each shard, in order and without gaps.
        read: what is wanted of the shard at a place of `spans`, its first rows as many as the span says; raises
            DamagedData where it is missing or not what the manifest says.
        drawn: latents of some rows drawn anew, equal to those stored; None where only the shards have them.
    """

    dim: int
    columns: int
    spans: tuple[tuple[int, int], ...]
    read: Callable[[int, Wanted], Piece]
    drawn: Callable[[Int64[np.ndarray, " answer"]], Float32[np.ndarray, "answer latent"]] | None = None


def rows_of(piece: Piece) -> Rows:
    """The rows of a piece of which everything was wanted."""
    if piece.latents is None or piece.rank is None or piece.status is None:
        raise TypeError("all columns were wanted")
    volumes = np.stack([piece.log_volumes[k] for k in sorted(piece.log_volumes)], axis=1)
    return Rows(piece.latents, volumes, piece.rank, piece.status)
