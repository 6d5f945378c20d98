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
