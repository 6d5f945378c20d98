from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from magnet_service.errors import DamagedData
from magnet_service.generator import Generator
from magnet_service.sampling import Normal
from magnet_service.sampling.banks.place import Place, place_of
from magnet_service.sampling.screening.choices import Choices
from magnet_service.sampling.screening.keeping import MOST_KEPT, Keeping
from magnet_service.sampling.screening.screened import Screened
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget
from tests.sampling.screening.surrogates import target_of


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield place_of(tmp_path / "bank")
    elif request.param == "s3":
        yield place_of(request.getfixturevalue("bucket") + f"/{request.node.name.partition('[')[0]}")
    else:
        yield place_of("memory://bank")
        fsspec.filesystem("memory").store.clear()


@pytest.fixture(scope="module")
def chosen(net: Generator, learned: Surrogate) -> Choices:
    return Screened(learned).choose(target_of(net, Normal(3), 1.0, 2), Budget(20, 100), 1)


def of_revision(surrogate: Surrogate, revision: int) -> Surrogate:
    return replace(surrogate, origin=surrogate.origin | {"revision": str(revision)})


def test_surrogates_come_back_by_digest_those_of_most_rows_first(place: Place, learned: Surrogate) -> None:
    keeping = Keeping(place)
    assert keeping.digests(10**9) == []
    assert keeping.surrogate(learned.digest) is None
    each = [of_revision(learned, revision) for revision in (4000, 2500, 100_000)]
    for one in each:
        keeping.keep_surrogate(one)
    small, least, large = (one.digest for one in each)
    again = Keeping(place)
    assert again.digests(100_000) == [large, small, least]
    assert again.digests(99_999) == [small, least]
    assert again.digests(2499) == []
    found = again.surrogate(small)
    assert found is not None
    assert found.to_bytes() == each[0].to_bytes()
    assert again.surrogate("0" * 16) is None


def test_a_surrogate_is_kept_once(place: Place, learned: Surrogate) -> None:
    keeping = Keeping(place)
    for _ in range(2):
        keeping.keep_surrogate(learned)
    assert keeping.digests(10**9) == [learned.digest]
    assert len(place.child("surrogates").names()) == 1


def test_files_of_others_are_no_surrogates(place: Place, learned: Surrogate) -> None:
    keeping = Keeping(place)
    keeping.keep_surrogate(learned)
    for name in ("README.txt", "notes.npz", "a-b-c.npz"):
        place.child("surrogates").put(name, b"")
    assert keeping.digests(10**9) == [learned.digest]


@pytest.mark.parametrize("kind", ["cut", "flipped", "another"])
def test_a_damaged_surrogate_is_told(kind: str, place: Place, learned: Surrogate) -> None:
    keeping = Keeping(place)
    keeping.keep_surrogate(learned)
    (name,) = place.child("surrogates").names()
    data = learned.to_bytes()
    damaged = {
        "cut": data[:-100],
        "flipped": data[:3000] + bytes([data[3000] ^ 1]) + data[3001:],
        "another": of_revision(learned, 1).to_bytes(),
    }
    place.child("surrogates").put(name, damaged[kind])
    with pytest.raises(DamagedData, match=learned.digest):
        keeping.surrogate(learned.digest)


def test_volumes_come_back_by_their_key(place: Place, chosen: Choices) -> None:
    keeping = Keeping(place)
    assert keeping.volumes("a" * 32) is None
    keeping.keep_volumes("a" * 32, chosen, 1000.5)
    found = Keeping(place).volumes("a" * 32)
    assert found is not None
    assert found.to_bytes() == chosen.to_bytes()
    assert keeping.volumes("b" * 32) is None


def test_damaged_volumes_are_computed_again(place: Place, chosen: Choices) -> None:
    keeping = Keeping(place)
    keeping.keep_volumes("a" * 32, chosen, 1000.5)
    (name,) = place.child("screened").names()
    for data in (b"", chosen.to_bytes()[:-50], b"PK\x03\x04"):
        place.child("screened").put(name, data)
        assert keeping.volumes("a" * 32) is None


def test_no_more_than_64_draws_are_kept_and_the_oldest_goes(place: Place, chosen: Choices) -> None:
    keeping = Keeping(place)
    # Not in the order of their names, and across a change of their digits.
    times = [999.0 + 0.25 * number for number in range(MOST_KEPT + 3)]
    for number, now in enumerate(times):
        keeping.keep_volumes(f"{MOST_KEPT + 3 - number:032x}", chosen, now)
    names = place.child("screened").names()
    assert len(names) == MOST_KEPT == 64
    kept = [keeping.volumes(f"{MOST_KEPT + 3 - number:032x}") is not None for number in range(len(times))]
    assert kept == [False] * 3 + [True] * MOST_KEPT
