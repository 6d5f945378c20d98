"""Banks built through the package on small networks, and the two tests that draws from them must pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from magnet_service.generator import Generator, Manifold
from magnet_service.geometry import stamp
from magnet_service.sampling import (
    Bank,
    BankChoice,
    BankSpec,
    Draw,
    Law,
    Rows,
    SampleRequest,
    build,
    choose_bank,
    engine_for,
    resolve,
)
from tests.sampling.exact_tiles import Tile

TILE_ROWS = 1024


def bank_of(folder: Path, generator: Generator, law: Law, rows: int, seed: int = 0) -> Bank:
    spec = BankSpec(
        generator_digest=generator.digest,
        law=law.to_text(),
        manifold=Manifold.PRE_ACTIVATION,
        tile_rows=TILE_ROWS,
        seed=seed,
    )
    engine = engine_for(spec)
    bank = Bank.create(folder / spec.id, spec, stamp=stamp(engine))
    for _ in build(bank, generator, engine, rows, progress_rows=8 * TILE_ROWS):
        pass
    return bank.reload()


def draw_of(bank: Bank, prior: Law, request: SampleRequest, rows: Rows | None = None) -> Draw:
    choice: BankChoice | None = None
    if request.needs_bank:
        choice = choose_bank([bank.spec], request, prior, generator_digest=bank.spec.generator_digest)
    return resolve(
        request,
        prior,
        generator_digest=bank.spec.generator_digest,
        choice=choice,
        rows=bank.rows() if rows is None else rows,
    )


def tile_index(tiles: Sequence[Tile], latents: np.ndarray) -> np.ndarray:
    """The tile of each latent: the one whose edges it lies deepest behind."""
    depth = np.empty((len(tiles), len(latents)))
    points = latents.astype(np.float64)
    for row, tile in enumerate(tiles):
        edge = np.roll(tile.corners, -1, axis=0) - tile.corners
        inward = np.stack([-edge[:, 1], edge[:, 0]], axis=1)
        inward /= np.maximum(np.linalg.norm(edge, axis=1, keepdims=True), 1e-300)
        depth[row] = (points @ inward.T - (tile.corners * inward).sum(axis=1)).min(axis=1)
    return depth.argmax(axis=0)


def tile_law(tiles: Sequence[Tile], rho: float) -> np.ndarray:
    """P(tile) ~ area v^rho."""
    logs = np.log([tile.area for tile in tiles]) + rho * np.array([tile.log_volume for tile in tiles])
    law = np.exp(logs - logs.max())
    return law / law.sum()


def pooled(tiles: Sequence[Tile], law: np.ndarray, draws: int) -> np.ndarray:
    """The cell of each tile: tiles in order of log v, joined until a cell expects 20 draws and a thirtieth of all."""
    least = max(20.0, draws / 30.0)
    cells, cell, expected = np.empty(len(tiles), dtype=int), 0, 0.0
    order = np.argsort([tile.log_volume for tile in tiles], kind="stable")
    for tile in order:
        cells[tile] = cell
        expected += draws * law[tile]
        if expected >= least:
            cell, expected = cell + 1, 0.0
    if 0.0 < expected < least and cell > 0:
        cells[cells == cell] = cell - 1
    return cells


def g_test(tiles: Sequence[Tile], latents: np.ndarray, law: np.ndarray) -> tuple[float, int]:
    """p-value of the likelihood-ratio test of tile frequencies, and the number of cells."""
    cells = pooled(tiles, law, len(latents))
    count = int(cells.max()) + 1
    expected = np.bincount(cells, weights=law, minlength=count) * len(latents)
    observed = np.bincount(cells[tile_index(tiles, latents)], minlength=count).astype(np.float64)
    assert count <= 30
    assert expected.min() >= 20.0
    seen = observed > 0
    g = 2.0 * float((observed[seen] * np.log(observed[seen] / expected[seen])).sum())
    return float(stats.chi2.sf(g, count - 1)), count
