"""The bytes of a row depend on that row and its place in the tile alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from magnet_service.errors import Cancelled
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine, Volumes, crew, volumes
from magnet_service.geometry.sweep import preparation, prepare
from tests.generator.families import by_name
from tests.geometry.oracles import dense, random_latents

FIELDS = ("log_singular_values", "rank", "recomputed", "finite")


@pytest.fixture(scope="module", autouse=True, params=[False, True], ids=["operations", "compiled"])
def compiles(request: pytest.FixtureRequest) -> Iterator[bool]:
    """The rule holds for sweeps that are compiled and for those that are not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "COMPILES", request.param)
        yield request.param


@pytest.fixture(scope="module")
def generator(compiles: bool) -> Generator:
    """Some rows of it need float64, some do not."""
    return Generator.from_module(dense(12, 22, 80, 70, seed=1), 12)


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return random_latents(2, 64, 12)


def assert_same_bytes(found: Volumes, expected: Volumes, rows: slice = slice(None)) -> None:
    for name in FIELDS:
        assert torch.equal(getattr(found, name), getattr(expected, name)[rows]), name


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("rows", [slice(16, 48), slice(48, 64), slice(32, 37), slice(0, 1)])
def test_pages_that_begin_on_a_tile(
    generator: Generator, latents: torch.Tensor, compiles: bool, precision: Precision, rows: slice
) -> None:
    engine = Engine(precision=precision)
    whole = volumes(generator, latents, engine=engine)
    rough = precision is Precision.BFLOAT16 and not compiles
    assert 0 < int(whole.recomputed.sum()) < 64 or rough
    assert_same_bytes(volumes(generator, latents[rows], engine=engine), whole, rows)


@pytest.mark.parametrize("tile_rows", [1, 3, 8])
def test_other_tiles_too(generator: Generator, latents: torch.Tensor, tile_rows: int) -> None:
    engine = Engine(tile_rows=tile_rows)
    whole = volumes(generator, latents, engine=engine)
    rows = slice(2 * tile_rows, 7 * tile_rows)
    assert_same_bytes(volumes(generator, latents[rows], engine=engine), whole, rows)


def test_neighbours_do_not_matter(generator: Generator, latents: torch.Tensor) -> None:
    whole = volumes(generator, latents)
    others = random_latents(3, 64, 12)
    others[5::16] = latents[5::16]
    assert_same_bytes(volumes(generator, others), volumes(generator, others))
    found = volumes(generator, others)
    for name in FIELDS:
        assert torch.equal(getattr(found, name)[5::16], getattr(whole, name)[5::16])


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_how_many_tiles_are_solved_together_does_not_matter(
    generator: Generator, latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    engine = Engine(tile_rows=4, threads=1)
    whole = volumes(generator, latents, engine=engine)
    assert chunk < crew.CHUNK
    monkeypatch.setattr(crew, "CHUNK", chunk)
    assert_same_bytes(volumes(generator, latents, engine=engine), whole)


def test_being_asked_whether_to_stop_does_not_matter(generator: Generator, latents: torch.Tensor) -> None:
    asked = []
    found = volumes(generator, latents, should_stop=lambda: bool(asked.append(1)))
    assert_same_bytes(found, volumes(generator, latents))
    assert len(asked) > 4


@pytest.mark.parametrize("after", [0, 1, 3, 4])
def test_a_computation_stops_within_a_tile(generator: Generator, latents: torch.Tensor, after: int) -> None:
    # Four tiles in the first pass; the fifth question comes from the second.
    answers = iter([False] * after + [True])
    with pytest.raises(Cancelled):
        volumes(generator, latents, should_stop=lambda: next(answers))
    assert list(answers) == []


def test_results_may_be_written_to(generator: Generator, latents: torch.Tensor) -> None:
    found = volumes(generator, latents[:3])
    found.log_singular_values.zero_()
    assert not any(getattr(found, name).is_inference() for name in FIELDS)


def test_no_rows_are_answered_with_no_rows(generator: Generator) -> None:
    found = volumes(generator, torch.empty(0, 12))
    assert found.log_singular_values.shape == (0, 12)
    assert all(len(getattr(found, name)) == 0 for name in FIELDS)


def test_bfloat16_that_is_compiled_is_float32(generator: Generator, latents: torch.Tensor, compiles: bool) -> None:
    single, rough = (volumes(generator, latents, engine=Engine(precision=name)) for name in tuple(Precision)[:2])
    same = all(torch.equal(getattr(single, name), getattr(rough, name)) for name in FIELDS)
    assert same == compiles


def test_latents_in_float64_are_rounded_to_the_precision_first(generator: Generator) -> None:
    latents = random_latents(4, 20, 12, torch.float64)
    assert_same_bytes(volumes(generator, latents), volumes(generator, latents.float()))


def test_blocks_of_columns_change_nothing_beyond_rounding(
    generator: Generator, latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(precision=Precision.FLOAT64)
    whole = volumes(generator, latents, engine=engine)
    monkeypatch.setattr(preparation, "ROW_WORK", 0.0)
    monkeypatch.setattr(preparation, "BLOCK_BYTES", 80 * 8 * 5)
    anew = Generator(generator.graph, precision=Precision.FLOAT64)
    sweep = preparation.prepare(anew, Manifold.OUTPUT)
    assert sweep.row_by_row
    assert sweep.block < 12
    blocked = volumes(anew, latents, engine=engine)
    assert torch.equal(blocked.rank, whole.rank)
    finite = whole.log_singular_values.isfinite()
    difference = (blocked.log_singular_values - whole.log_singular_values)[finite]
    assert float(difference.abs().max()) < 1e-6
    assert_same_bytes(volumes(anew, latents[16:32], engine=engine), blocked, slice(16, 32))


@pytest.mark.parametrize("name", ["dcgan", "residual", "pooled"])
def test_convolutions_too(name: str, compiles: bool) -> None:
    family = by_name(name)
    # A new one: what is kept of others may have been prepared otherwise.
    generator = Generator.from_module(family.build(), family.latent_dim, family.latent_shape)
    latents = family.latents(48).float()
    compiled = compiles and name != "pooled"  # which looks for the largest
    assert compiled == (prepare(generator, Manifold.OUTPUT).program is not None)
    whole = volumes(generator, latents)
    assert_same_bytes(volumes(generator, latents[16:40]), whole, slice(16, 40))
    other = family.latents(16, seed=5).float()
    other[3] = latents[19]
    assert torch.equal(volumes(generator, other).log_singular_values[3], whole.log_singular_values[19])
