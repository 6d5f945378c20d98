"""Banks of the bundled generator in many small shards, built by the command line in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from magnet_service.config import BUNDLED
from magnet_service.generator import load_version
from magnet_service.geometry import stamp
from magnet_service.sampling import BankSpec, Store, engine_for, prior_law
from magnet_service.sampling.banks.lease import LEASES
from magnet_service.sampling.banks.manifest import MANIFESTS
from magnet_service.sampling.banks.place import Place
from magnet_service.sampling.banks.shard import ROWS
from tests.sampling.processes import group_of

ROOT = Path(__file__).parents[2]
SHARD_ROWS = 128


def begun(where: str | Path) -> Place:
    """An empty bank of the bundled generator, in shards so small that a build has many."""
    generator, card, _ = load_version(BUNDLED / "fashion")
    spec = BankSpec(generator_digest=generator.digest, law=prior_law(card.prior, generator).to_text(), threads=1)
    return Store(where).create(spec, stamp=stamp(engine_for(spec)), shard_rows=SHARD_ROWS).place


@contextmanager
def building(
    place: Place, rows: int, *way: str, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[str]]:
    """`magnet bank build` as a process that leads a group of its own, which is gone at the end whatever happens."""
    command = [sys.executable, "-m", "magnet_service.cli", "bank", "build", "fashion", "--rows", str(rows)]
    command += [*way, "--store", place.url.rsplit("/", 1)[0]]
    environment = {**environment, "MAGNET_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            for pid in group_of(process.pid):
                os.kill(pid, signal.SIGKILL)


def completed(place: Place, rows: int, *way: str) -> None:
    with building(place, rows, *way) as process:
        _, error = process.communicate()
    assert process.returncode == 0, error


def contents(place: Place) -> dict[str, bytes]:
    """All shards, and what the one manifest says whatever its number."""
    rows, manifests = place.child(ROWS), place.child(MANIFESTS)
    (manifest,) = manifests.names()
    return {"manifest": manifests.read(manifest), **{name: rows.read(name) for name in rows.names()}}


def stored(place: Place) -> int:
    """How many shards there are, told of or not."""
    return len(place.child(ROWS).names())


def leases(place: Place) -> list[str]:
    """Names of the leases, which change when a writer comes."""
    return place.child(LEASES).names()
