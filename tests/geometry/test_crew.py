"""Work side by side: in order, stopped at once, and half as much at a time when memory runs out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import Cancelled, OutOfMemory
from magnet_service.generator import Generator, Manifold
from magnet_service.geometry import Engine
from magnet_service.geometry.budget import within_memory
from magnet_service.geometry.crew import Measure, joined, over_tiles
from magnet_service.geometry.sweep import Sweep, Trace, preparation, prepare
from magnet_service.geometry.tiles import tiles
from tests.geometry.oracles import dense, random_latents

COPY: Measure[tuple[Tensor, ...]] = Measure(lambda _, tile: (tile,), joined)


@pytest.fixture(scope="module", autouse=True)
def rows_one_by_one() -> Iterator[None]:
    """Rows of networks that a test can afford are done one at a time too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "ROW_WORK", 60e6)
        patch.setattr(preparation, "COMPILED_ROW_WORK", 60e6)
        yield


@pytest.fixture(scope="module", params=[False, True], ids=["operations", "compiled"])
def compiles(request: pytest.FixtureRequest) -> Iterator[bool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "COMPILES", request.param)
        yield request.param


@pytest.fixture(scope="module", params=[False, True], ids=["tiles", "rows"])
def sweep(request: pytest.FixtureRequest, compiles: bool) -> Sweep:
    sizes = (12, 512, 512, 5000) if request.param else (12, 30, 40)
    found = prepare(Generator.from_module(dense(*sizes, seed=1, head=nn.Tanh()), 12), Manifold.OUTPUT)
    assert found.row_by_row == request.param
    assert (found.program is not None) == compiles
    return found


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_tiles_come_back_in_order(sweep: Sweep, workers: int) -> None:
    latents = random_latents(2, 50, 12)
    found = list(over_tiles(sweep, tiles(latents, 4), COPY, workers))
    assert torch.equal(torch.cat([tile for (tile,) in found])[:50], latents)


@pytest.mark.parametrize("workers", [1, 3])
def test_stopping_ends_the_work(sweep: Sweep, workers: int) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 6

    with pytest.raises(Cancelled):
        list(over_tiles(sweep, tiles(random_latents(2, 400, 12), 4), COPY, workers, stop))
    assert len(asked) < 40


@pytest.mark.parametrize("workers", [1, 3])
def test_what_goes_wrong_in_a_piece_is_raised(sweep: Sweep, workers: int) -> None:
    def measure(found: Trace, tile: Tensor) -> tuple[Tensor, ...]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(over_tiles(sweep, tiles(random_latents(2, 9, 12), 4), Measure(measure, joined), workers))


def test_threads_of_torch_are_what_they_were(sweep: Sweep) -> None:
    before = torch.get_num_threads()
    with Engine(threads=2).activated(alone=True):
        assert torch.get_num_threads() == 1
        list(over_tiles(sweep, tiles(random_latents(2, 9, 12), 4), COPY, 2))
    assert torch.get_num_threads() == before


def test_half_as_many_from_the_tile_at_which_memory_ran_out(sweep: Sweep) -> None:
    rows = list(random_latents(3, 9, 12))
    tried: list[int] = []

    def work(workers: int, left: Iterable[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        tried.append(workers)
        for place, row in enumerate(left):
            if workers > 2 and place == 2:
                raise torch.OutOfMemoryError("no more")
            yield (row,)

    found = [row for (row,) in within_memory(sweep, Engine(), 8, work, rows)]
    assert tried == [8, 4, 2]
    assert torch.equal(torch.stack(found), torch.stack(rows))


def test_one_tile_that_does_not_fit_says_so(sweep: Sweep) -> None:
    def work(workers: int, left: Iterable[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        yield

    with pytest.raises(OutOfMemory, match=r"One tile of 16 latents needs about \d+ MiB .* there is less"):
        list(within_memory(sweep, Engine(), 4, work, list(random_latents(3, 2, 12))))


def test_other_errors_are_not_taken_for_a_lack_of_memory(sweep: Sweep) -> None:
    def work(workers: int, left: Iterable[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        raise RuntimeError("shapes do not fit")
        yield

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        list(within_memory(sweep, Engine(), 4, work, list(random_latents(3, 2, 12))))
