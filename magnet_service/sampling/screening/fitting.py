"""Fitting a surrogate on a bank's rows: a function of the rows and the seed, at one thread."""

from __future__ import annotations

import math
from collections.abc import Generator as Steps
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from magnet_service.errors import Refused
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine
from magnet_service.geometry.tiles import tiles
from magnet_service.sampling.banks.rows import OK, BankRows
from magnet_service.sampling.screening.features import FEATURE_TILE_ROWS, features, features_version
from magnet_service.sampling.screening.surrogate import Surrogate, guessed, standardised

__all__ = ["LEAST_ROWS", "MOST_ROWS", "fitting"]

LEAST_ROWS = 2_000
"""Rows from which a surrogate is fitted."""

MOST_ROWS = 16_384
"""Rows beyond these are not read: more gained less than a tenth of the residual on the generators tried."""

_FOLDS = 3
_WIDTH = 128
_EPOCHS = 24
_BATCH = 256
_RATE = 2e-3
_DECAY = 1e-2
_RANK_WEIGHT = 0.2
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class _Examples:
    """What the networks learn from: standardised features, standardised log v_k, and whether the rank reaches k."""

    seen: Float[Tensor, "rows kept"]
    wanted: Float[Tensor, "rows columns"]
    ranked: Float[Tensor, "rows columns"]


def fitting(
    rows: BankRows,
    generator: Generator,
    engine: Engine,
    *,
    manifold: Manifold,
    bank_id: str,
    seed: int = 0,
) -> Steps[float, None, Surrogate]:
    """Fits a surrogate, step by step.

    Arguments:
        rows: of the bank; the first 16,384 of them are read.
        generator: the one of the bank, of its condition.
        engine: where the features are computed; the networks are fitted on the CPU at one thread.
        manifold: of the bank.
        bank_id: of the bank.
        seed: of initial weights, folds and the order of examples.

    Yields:
        The share that is done, 0 to 1, after steps of some milliseconds.

    Returns:
        The surrogate.

    Raises:
        Refused: below 2,000 rows (SMALL_BANK); no column of finite log-volumes (NO_WEIGHT).

    Accuracy: a guess; its out-of-fold residuals say how good.
    Cost: one forward a row and some 20 passes over the features; half a minute for 12,000 rows of 1,600 features.
    """
    if len(rows) < LEAST_ROWS:
        raise Refused(
            f"bank {bank_id} has {len(rows):,} rows, and a surrogate is fitted on {LEAST_ROWS:,} or more: grow it, or "
            "use method RESAMPLE.",
            field="method",
            reason="SMALL_BANK",
            metadata={"least_rows": str(LEAST_ROWS)},
        )
    engine = replace(engine, precision=Precision.FLOAT32)
    revision, rows = len(rows), rows.first(min(len(rows), MOST_ROWS))
    logs, usable = _targets(rows)
    seen = np.empty((len(rows), 0), np.float32)
    for start in range(0, len(rows), FEATURE_TILE_ROWS):
        stop = min(start + FEATURE_TILE_ROWS, len(rows))
        some = _features(rows, start, stop, generator, engine, manifold)
        seen = np.empty((len(rows), some.shape[1]), np.float32) if start == 0 else seen
        seen[start:stop] = some
        yield 0.1 * stop / len(rows)
    centre, scale = _moments(seen)
    kept = np.flatnonzero((scale > _FLAT) & np.isfinite(scale))
    centre, scale = centre[kept].astype(np.float32), scale[kept].astype(np.float32)
    parts = (torch.from_numpy(array) for array in (seen[:, kept], centre, scale))
    held = standardised(*parts)
    del seen
    log_centre, log_scale = _column_moments(logs, usable)
    wanted = np.where(usable, (logs - log_centre) / log_scale, 0.0)
    examples = _Examples(held, torch.from_numpy(wanted).float(), torch.from_numpy(usable).float())
    random = torch.Generator().manual_seed(seed % 2**63)
    fold = torch.randperm(len(rows), generator=random) % _FOLDS
    members: list[tuple[Tensor, ...]] = []
    outputs = torch.empty(len(rows), 2 * logs.shape[1])
    for index in range(_FOLDS):
        member = _initial(examples, random)
        places = torch.nonzero(fold != index)[:, 0]
        for done in _descending(member, examples, places, random, engine):
            yield 0.1 + 0.9 * (index + done) / _FOLDS
        left = torch.nonzero(fold == index)[:, 0]
        with engine.activated(alone=True), torch.no_grad():
            outputs[left] = guessed(member, held[left])
        members.append(tuple(part.detach() for part in member))
    columns = logs.shape[1]
    found = outputs.double().numpy()
    guesses = found[:, :columns] * log_scale + log_centre
    return Surrogate(
        origin={
            "bank_id": bank_id,
            "revision": str(revision),
            "seed": str(seed),
            "manifold": str(manifold),
            "features": features_version,
        },
        kept=kept.astype(np.int64),
        centre=centre,
        scale=scale,
        members=tuple(members),
        log_centre=log_centre,
        log_scale=log_scale,
        residuals=np.where(usable, logs - guesses, np.nan).astype(np.float16),
        log_ranks=(-np.logaddexp(0.0, -found[:, columns:])).astype(np.float16),
    )


def _targets(rows: BankRows) -> tuple[Float64[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"]]:
    """log v_k for every k whose rank half of the rows have, and where it counts."""
    usable = rows.states() == OK
    ranks = np.where(usable, rows.ranks(), 0)
    shares = [(ranks >= k).mean() for k in range(1, rows.columns + 1)]
    columns = max((k for k, share in enumerate(shares, 1) if share >= 0.5), default=0)
    if columns == 0:
        raise Refused(
            "half of the bank's rows have no volume at all (rank 0): there is nothing to fit a surrogate on.",
            field="method",
            reason="NO_WEIGHT",
        )
    logs = np.stack([rows.log_volume(k).astype(np.float64) for k in range(1, columns + 1)], axis=1)
    counts = (ranks[:, None] >= np.arange(1, columns + 1)) & np.isfinite(logs)
    return np.where(counts, logs, 0.0), counts


def _features(
    rows: BankRows, start: int, stop: int, generator: Generator, engine: Engine, manifold: Manifold
) -> Float32[np.ndarray, "some features"]:
    latents = rows.latents_at(np.arange(start, stop))
    with engine.activated(alone=True), torch.inference_mode():
        placed, some = engine.place(generator, torch.from_numpy(latents))
        tile = next(iter(tiles(some, FEATURE_TILE_ROWS)))
        found: Float32[np.ndarray, "some features"] = (
            features(placed, tile, manifold)[: stop - start].float().cpu().numpy()
        )
    return np.where(np.isfinite(found), found, 0.0).astype(np.float32)


def _moments(
    seen: Float32[np.ndarray, "rows features"],
) -> tuple[Float64[np.ndarray, " features"], Float64[np.ndarray, " features"]]:
    return seen.mean(0, dtype=np.float64), seen.std(0, dtype=np.float64)


def _column_moments(
    logs: Float64[np.ndarray, "rows columns"], usable: Bool[np.ndarray, "rows columns"]
) -> tuple[Float64[np.ndarray, " columns"], Float64[np.ndarray, " columns"]]:
    counts = usable.sum(0)
    centre = logs.sum(0) / counts
    spread = np.sqrt((np.where(usable, logs - centre, 0.0) ** 2).sum(0) / counts)
    return centre, np.maximum(spread, 1e-9)  # a generator that stretches everything alike


def _initial(examples: _Examples, random: torch.Generator) -> tuple[Tensor, ...]:
    widths = (examples.seen.shape[1], _WIDTH, _WIDTH, 2 * examples.wanted.shape[1])
    parts: list[Tensor] = []
    for entering, leaving in pairwise(widths):
        weight = (torch.rand(leaving, entering, generator=random) * 2.0 - 1.0) / math.sqrt(max(1, entering))
        parts += [weight.requires_grad_(), torch.zeros(leaving).requires_grad_()]
    return tuple(parts)


def _descending(
    member: tuple[Tensor, ...],
    examples: _Examples,
    places: Int64[Tensor, " some"],
    random: torch.Generator,
    engine: Engine,
) -> Steps[float, None, None]:
    batches = max(1, len(places) // _BATCH)
    optimizer = torch.optim.AdamW(member, lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_EPOCHS * batches, pct_start=0.1)
    columns = examples.wanted.shape[1]
    for epoch in range(_EPOCHS):
        order = places[torch.randperm(len(places), generator=random)]
        for batch, chosen in enumerate(order[: batches * _BATCH].tensor_split(batches)):
            with engine.activated(alone=True):
                found = guessed(member, examples.seen[chosen])
                ranked = examples.ranked[chosen]
                errors = (ranked * (found[:, :columns] - examples.wanted[chosen]) ** 2).mean()
                ranks = binary_cross_entropy_with_logits(found[:, columns:], ranked)
                optimizer.zero_grad()
                (errors + _RANK_WEIGHT * ranks).backward()
                optimizer.step()
                schedule.step()
            yield (epoch * batches + batch + 1) / (_EPOCHS * batches)
