"""Small generators in a repository, their recipes, and rows compared byte by byte."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from magnet_service.generator import Generator, GeneratorCard, add_generator, export_module, load_version
from magnet_service.sampling import BankSpec, Rows, compute_rows, engine_for, prior_law
from magnet_service.sampling.banks.rows import concatenate
from magnet_service.sampling.crews.origin import Kept
from magnet_service.sampling.crews.recipe import Recipe, recipe_of
from tests.sampling.nets import layers, module_of

SPAN = 64


def add_small(repository: Path, name: str, seed: int) -> Path:
    """A dense generator of three latents, added to a repository; its folder."""
    repository.mkdir(parents=True, exist_ok=True)
    file = repository / f"{name}.pt2"
    module: nn.Module = module_of(layers((3, 8, 8, 5), seed=seed))
    export_module(module, 3, file)
    add_generator(repository, name, file)
    file.unlink()
    return repository / name


def spec_of(folder: Path, **changes: object) -> BankSpec:
    generator, card, _ = load_version(folder)
    law = prior_law(card.prior, generator).to_text()
    return BankSpec(**{"generator_digest": generator.digest, "law": law, **changes})  # type: ignore[arg-type]


def recipe(folder: Path, **changes: object) -> Recipe:
    spec = spec_of(folder, **changes)
    return recipe_of(spec, engine_for(spec), folder, 1)


def spans(rows: int, each: int = SPAN) -> list[tuple[int, int]]:
    return [(start, min(start + each, rows)) for start in range(0, rows, each)]


def joined(parts: Iterable[tuple[int, Rows]]) -> tuple[bytes, ...]:
    """The bytes of rows that came in any order; each span once."""
    found = sorted(parts, key=lambda part: part[0])
    starts = [start for start, _ in found]
    assert starts == [sum(len(rows) for _, rows in found[:index]) for index in range(len(found))]
    return bytes_of(concatenate([rows for _, rows in found]))


def bytes_of(rows: Rows) -> tuple[bytes, ...]:
    return tuple(array.tobytes() for array in (rows.latents, rows.log_volumes, rows.rank, rows.status))


def expected(generator: Generator, spec: BankSpec, rows: int) -> tuple[bytes, ...]:
    """One call, in this process."""
    return bytes_of(compute_rows(generator, engine_for(spec), spec, 0, rows))


@dataclass(frozen=True)
class Deadly(Kept):
    """A generator that kills the process that loads it."""

    def load(self) -> tuple[Generator, GeneratorCard]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().load()


def gone(pid: int) -> bool:
    """Whether a process has ended, whoever has or has not taken notice."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"
