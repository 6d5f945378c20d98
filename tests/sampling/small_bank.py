"""A small bank on a small generator: cheap enough to build again and again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from magnet_service.generator import Generator
from magnet_service.geometry import Engine, stamp
from magnet_service.sampling import Bank, BankSpec, Normal, build, engine_for
from tests.sampling.nets import generator_of, layers

ROWS = 300
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
    """Digests of everything in a bank's folder but its leases; of manifests the content counts, not the number."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.parent.name != "lease":
            name = "manifest" if path.parent.name == "manifest" else f"{path.parent.name}/{path.name}"
            assert name not in found, "two manifests"
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def folder_of(bank: Bank) -> Path:
    return Path(bank.place.url)


def shard_file(bank: Bank, index: int) -> Path:
    return folder_of(bank) / "rows" / bank.manifest.shards[index].file


def manifest_file(bank: Bank) -> Path:
    """The one manifest of a bank at rest."""
    (path,) = (folder_of(bank) / "manifest").iterdir()
    return path
