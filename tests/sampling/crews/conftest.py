"""A small generator in a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sampling.crews.parts import add_small


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_small(tmp_path_factory.mktemp("crews"), "small", seed=1)
