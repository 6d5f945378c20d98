"""The bound on memory of slices whose columns are many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.geometry.peak_memory import FORGET

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not os.access(FORGET, os.W_OK), reason="the peak of the resident set cannot be measured here")
def test_patches_of_convolutions_stay_within_the_bound() -> None:
    bound = 256 << 20
    command = [sys.executable, "-m", "tests.geometry.peak_slice", "12", str(bound)]
    # Freed memory goes back at once, so that what is resident is what is held.
    given = {**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_MMAP_THRESHOLD_": str(1 << 18), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    assert found["tiles"] > 3000
    assert not found["truncated"]
    # Patches of all columns at once would take 400 MB.
    assert bound / 4 < found["growth"] <= bound


LIMITED = """
import json, resource, sys
import torch
from magnet_service.errors import OutOfMemory
from magnet_service.generator import Generator
from magnet_service.geometry import slice_along, tessellate
from tests.geometry.oracles import dense

square = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
tessellate(Generator.from_module(dense(2, 8, 8, 2, seed=0), 2), square, threads=1)
generator = Generator.from_module(dense(2, 80, 80, 80, 2, seed=0), 2)
held = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[1]) * 2**20, resource.RLIM_INFINITY))
try:
    found = tessellate(generator, square, threads=1)
    print(json.dumps([found.tiles, found.extent, bool((found.points[:4] == square.window.numpy()).all())]))
except OutOfMemory as error:
    print(json.dumps([0, str(error), False]))
"""


def limited(megabytes: int) -> list[object]:
    """Tiles, extent, and whether they were found in one piece, with so much more memory at most."""
    command = [sys.executable, "-c", LIMITED, str(megabytes)]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found: list[object] = json.loads(ran.stdout)
    return found


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited otherwise here")
def test_memory_that_cannot_be_had_makes_pieces_or_ends_in_an_error() -> None:
    tiles, extent, one_piece = limited(2000)
    assert (extent, one_piece) == ("complete", True)
    assert isinstance(tiles, int)
    assert tiles > 10_000
    assert limited(25) == [tiles, "complete", False]
    nothing, said, _ = limited(1)
    assert nothing == 0
    assert "smaller" in str(said)
