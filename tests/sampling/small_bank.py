"""A small bank on a small generator: cheap enough to build again and again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from magnet_service.generator import Generator
from magnet_service.geometry import Engine, stamp
from magnet_service.sampling import Bank, BankSpec, Normal, build, engine_for
from tests.sampling.nets import generator_of, layers

SHARD_ROWS = 64
TILE_ROWS = 16


def small_generator(seed: int = 1) -> Generator:
    return generator_of(layers((3, 8, 8, 5), seed=seed))


def small_spec(generator: Generator, **changes: object) -> BankSpec:
    given = {"generator_digest": generator.digest, "law": Normal(3).to_text(), "tile_rows": TILE_ROWS, **changes}
    return BankSpec(**given)  # type: ignore[arg-type]  # any attribute


def small_engine(spec: BankSpec) -> Engine:
    return engine_for(spec)


def create(folder: Path, generator: Generator) -> Bank:
    spec = small_spec(generator)
    return Bank.create(folder, spec, stamp=stamp(small_engine(spec)), shard_rows=SHARD_ROWS)


def grow(bank: Bank, generator: Generator, rows: int, progress_rows: int = 32) -> Bank:
    for _ in build(bank, generator, small_engine(bank.spec), rows, progress_rows=progress_rows):
        pass
    return bank.reload()


def files(folder: Path) -> dict[str, str]:
    """Digests of everything in a bank's folder but its lock."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "lock"
    }
