"""Forwards in tiles, threads, and what an engine says of itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from magnet_service.errors import Cancelled, InvalidInput
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine, forward, stamp
from magnet_service.geometry.tiles import packed_by_place, tiles
from tests.geometry.oracles import dense, random_latents


@pytest.fixture(scope="module")
def module() -> nn.Sequential:
    return dense(6, 32, 48, seed=1, head=nn.Tanh())


@pytest.fixture(scope="module")
def generator(module: nn.Sequential) -> Generator:
    return Generator.from_module(module, 6)


@pytest.mark.parametrize(("precision", "tolerance"), [(Precision.FLOAT32, 1e-6), (Precision.FLOAT64, 1e-14)])
def test_forward_equals_the_module(
    module: nn.Sequential, generator: Generator, precision: Precision, tolerance: float
) -> None:
    latents = random_latents(2, 37, 6)
    found = forward(Engine(precision=precision), generator, latents)
    assert found.dtype == precision.dtype
    assert not found.is_inference()
    expected = nn.Sequential(*module).double()(latents.double())
    module.float()
    torch.testing.assert_close(found.double(), expected.detach(), rtol=0, atol=tolerance)


def test_forward_to_before_the_head(module: nn.Sequential, generator: Generator) -> None:
    latents = random_latents(3, 5, 6)
    found = forward(Engine(), generator, latents, Manifold.PRE_ACTIVATION)
    torch.testing.assert_close(found.flatten(1), module[:-1](latents).detach(), rtol=0, atol=1e-6)


def test_forward_of_no_rows_has_the_output_shape(generator: Generator) -> None:
    assert forward(Engine(), generator, torch.empty(0, 6)).shape == (0, 48)


@pytest.mark.parametrize("tile_rows", [1, 3, 16])
def test_forward_pages_of_whole_tiles_are_the_same_bytes(generator: Generator, tile_rows: int) -> None:
    engine, latents = Engine(tile_rows=tile_rows), random_latents(4, 10 * tile_rows + 1, 6)
    whole = forward(engine, generator, latents)
    page = forward(engine, generator, latents[2 * tile_rows : 5 * tile_rows])
    assert torch.equal(page, whole[2 * tile_rows : 5 * tile_rows])
    assert torch.equal(forward(engine, generator, latents[-1:]), whole[-1:])


def test_tiles_are_filled_with_copies_of_their_last_row() -> None:
    rows = torch.arange(10.0).reshape(5, 2)
    first, second = tiles(rows, 3)
    assert torch.equal(first, rows[:3])
    assert torch.equal(second, rows[[3, 4, 4]])
    assert list(tiles(rows[:0], 3)) == []


@pytest.mark.parametrize("tile_rows", [1, 4, 16])
def test_packing_keeps_every_row_at_its_place(tile_rows: int) -> None:
    chosen = torch.rand(200, generator=torch.Generator().manual_seed(5)).lt(0.2).nonzero().flatten().tolist()
    packed = packed_by_place(chosen, tile_rows)
    own = packed[packed % tile_rows == torch.arange(tile_rows)]
    assert sorted(own.tolist()) == chosen
    assert set(packed.flatten().tolist()) == set(chosen)
    assert packed_by_place([], tile_rows).shape == (0, tile_rows)


def test_the_number_of_threads_is_set_and_restored() -> None:
    before = torch.get_num_threads()
    with Engine(threads=before + 1).activated():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_the_number_of_threads_is_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), Engine(threads=before + 1).activated():
        raise KeyError
    assert torch.get_num_threads() == before


def test_the_stamp_names_what_equal_bytes_need() -> None:
    found = stamp(Engine(threads=3))
    assert found["threads"] == "3"
    assert found["torch"] == torch.__version__
    assert found["instruction_set"] == torch.backends.cpu.get_cpu_capability()
    assert found["device"] == "cpu"
    assert all(found.values())


@pytest.mark.parametrize("field", ["tile_rows", "threads"])
def test_an_engine_refuses_sizes_below_one(field: str) -> None:
    with pytest.raises(InvalidInput, match="at least 1") as caught:
        Engine(**{field: 0})
    assert caught.value.field == field


@pytest.mark.parametrize("shape", [(3, 5), (3, 7), (6,), (1, 6, 1)])
def test_latents_of_another_width_are_refused(generator: Generator, shape: tuple[int, ...]) -> None:
    with pytest.raises((InvalidInput, TypeError)):
        forward(Engine(), generator, torch.zeros(shape))


def test_forward_stops_between_tiles_when_asked(generator: Generator) -> None:
    answers = iter([False, False, True])
    with pytest.raises(Cancelled):
        forward(Engine(), generator, random_latents(6, 100, 6), should_stop=lambda: next(answers))
    assert list(answers) == []
