"""The memory bound: kept at the measured peak, without a trace in the bytes, and named where one tile is too large."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from magnet_service.errors import OutOfMemory
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine, volumes
from magnet_service.geometry.budget import piece_bytes, tile_bytes
from magnet_service.geometry.sweep import prepare
from tests.geometry.oracles import dense, random_latents
from tests.geometry.peak_memory import FORGET

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not os.access(FORGET, os.W_OK), reason="the peak of the resident set cannot be measured here")
@pytest.mark.parametrize(
    ("precision", "tile_rows", "threads", "workers"),
    [
        (Precision.FLOAT32, 16, 1, 1),
        (Precision.FLOAT32, 16, 2, 1),
        (Precision.FLOAT32, 16, 2, 2),
        (Precision.FLOAT32, 2, 2, 2),
        (Precision.BFLOAT16, 16, 2, 2),
        (Precision.FLOAT64, 4, 1, 1),
        (Precision.FLOAT64, 16, 2, 1),
    ],
)
def test_the_peak_stays_within_the_bound(precision: Precision, tile_rows: int, threads: int, workers: int) -> None:
    command = [sys.executable, "-m", "tests.geometry.peak_memory", precision, *map(str, (tile_rows, threads, workers))]
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    measured = json.loads(ran.stdout)
    assert measured["compiled"] == (precision is not Precision.FLOAT64)
    # Some MiB are the allocator's own; an estimate that forgot a layer is off by much more.
    assert measured["growth"] <= measured["bound"] + 2**22, measured


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_module(dense(12, 200, 300, seed=1), 12)


def needed(generator: Generator, engine: Engine) -> int:
    with torch.inference_mode():
        placed, _ = engine.place(generator, torch.zeros(1, 12))
        sweep = prepare(placed, Manifold.OUTPUT)
        return piece_bytes(sweep, engine.tile_rows) + tile_bytes(sweep, engine.tile_rows)


@pytest.mark.parametrize("precision", list(Precision))
def test_no_byte_depends_on_the_bound(generator: Generator, precision: Precision) -> None:
    free = Engine(precision=precision, threads=2)
    # Rows that are done again in float64 need as much there.
    most = max(needed(generator, replace(free, precision=one)) for one in (precision, Precision.FLOAT64))
    tight = replace(free, max_memory=most)
    latents = random_latents(3, 70, 12)
    found, wanted = (volumes(generator, latents, engine=engine) for engine in (tight, free))
    assert found.log_singular_values.numpy().tobytes() == wanted.log_singular_values.numpy().tobytes()


def test_a_tile_above_the_bound_says_what_to_write_instead(generator: Generator) -> None:
    engine = Engine(threads=1, tile_rows=64)
    least = needed(generator, engine)
    latents = random_latents(3, 5, 12)
    with pytest.raises(OutOfMemory, match=r"64 latents .* raise max_memory, or write fewer tile rows") as caught:
        volumes(generator, latents, engine=replace(engine, max_memory=least - 1))
    assert int(caught.value.metadata["needed_bytes"]) == least
    assert caught.value.reason == "OUT_OF_MEMORY"
    volumes(generator, latents, engine=replace(engine, max_memory=least))
    volumes(generator, latents, engine=replace(engine, tile_rows=16, max_memory=least - 1))
