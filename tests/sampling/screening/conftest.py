"""A small generator of full rank, one of low rank, and a surrogate of each."""

from __future__ import annotations

import pytest

from magnet_service.generator import Generator
from magnet_service.sampling import Normal, Rows
from magnet_service.sampling.screening.surrogate import Surrogate
from tests.sampling.nets import generator_of, layers
from tests.sampling.screening.surrogates import fitted, rows_of
from tests.sampling.small_bank import small_generator

PRIOR = Normal(3)


@pytest.fixture(scope="session")
def net() -> Generator:
    return small_generator()


@pytest.fixture(scope="session")
def known(net: Generator) -> Rows:
    """2,500 rows of it."""
    return rows_of(net, PRIOR, 2500, seed=41)


@pytest.fixture(scope="session")
def learned(net: Generator, known: Rows) -> Surrogate:
    return fitted(known, net)


@pytest.fixture(scope="session")
def lame() -> Generator:
    """A generator of four units: of some latents the rank is 2 or less, though they have three numbers."""
    return generator_of(layers((3, 4, 5), seed=3))


@pytest.fixture(scope="session")
def lame_rows(lame: Generator) -> Rows:
    return rows_of(lame, PRIOR, 2500, seed=41)


@pytest.fixture(scope="session")
def lame_surrogate(lame: Generator, lame_rows: Rows) -> Surrogate:
    return fitted(lame_rows, lame)
