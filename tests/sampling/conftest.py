"""The small generator, a bank of it, and an S3."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from magnet_service.generator import Generator
from magnet_service.sampling import Bank
from tests.sampling.s3 import bucket_at, s3
from tests.sampling.small_bank import ROWS, create, folder_of, grow, small_generator

__all__ = ["bank", "bucket", "generator", "s3", "whole"]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return small_generator()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, generator: Generator) -> Bank:
    """A bank of 300 rows that no test changes."""
    return grow(create(tmp_path_factory.mktemp("whole") / "b", generator), generator, ROWS)


@pytest.fixture
def bank(whole: Bank, tmp_path: Path) -> Bank:
    """A copy of `whole`."""
    return Bank.open(Path(shutil.copytree(folder_of(whole), tmp_path / "b")))


@pytest.fixture(scope="module")
def bucket(s3: str) -> Iterator[str]:
    with bucket_at(s3, "bucket") as url:
        yield url
