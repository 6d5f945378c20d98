"""The shelf of exported nets."""

from __future__ import annotations

import os

import pytest

from tests.families.exports import Shelf


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    # Workers of xdist have a folder each inside the run's own, which is where they meet.
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "families"
    folder.mkdir(exist_ok=True)
    return Shelf(folder)
