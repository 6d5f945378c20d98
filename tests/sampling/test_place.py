"""Places: one meaning of every call, on a folder and on an object store over HTTP."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from magnet_service.errors import InvalidInput, Refused, Unreachable
from magnet_service.sampling.banks.local_place import TEMPORARY
from magnet_service.sampling.banks.place import Place, place_of
from tests.sampling.s3 import bucket_at


@pytest.fixture
def bucket(s3: str, request: pytest.FixtureRequest) -> Iterator[str]:
    with bucket_at(s3, f"b{abs(hash(request.node.name)) % 10**9}") as url:
        yield url


@pytest.fixture(params=["folder", "s3", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield place_of(tmp_path / "banks")
    elif request.param == "s3":
        yield place_of(request.getfixturevalue("bucket") + "/some/banks")
    else:
        yield place_of("memory://banks")
        fsspec.filesystem("memory").store.clear()


def test_objects_come_and_go(place: Place) -> None:
    assert (place.names(), place.folders()) == ([], [])
    place.put("b", b"1")
    place.put("a", b"2")
    place.put("b", b"33")
    place.child("inner").child("deeper").put("c", b"")
    assert (place.names(), place.folders()) == (["a", "b"], ["inner"])
    assert (place.read("b"), place.child("inner").child("deeper").read("c")) == (b"33", b"")
    place.remove("a")
    place.remove("a")
    assert place.names() == ["b"]
    for name in ("a", "nowhere"):
        with pytest.raises(FileNotFoundError):
            place.read(name)
    place.child("inner").remove_all()
    place.child("inner").remove_all()
    assert place.folders() == []


def test_what_is_there_is_not_made_again(place: Place) -> None:
    assert place.create("a", b"1")
    assert not place.create("a", b"2")
    assert place.read("a") == b"1"


def test_of_many_at_once_one_makes_it(place: Place) -> None:
    if place.url.startswith("memory"):
        pytest.skip("fsspec's memory looks and then writes, which is why it is for tests alone")
    start, made = threading.Barrier(8), []

    def run(number: int) -> None:
        start.wait()
        made.append(place.create("a", str(number).encode()))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]


def test_drafts_of_killed_writers_are_no_objects(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    (tmp_path / f"{TEMPORARY}x-a").write_bytes(b"half")
    assert place.names() == []
    place.tidy()
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_is_not_there_is_told(s3: str, bucket: str) -> None:
    gone = place_of("s3://nosuchbucket/banks")
    for call in (gone.names, lambda: gone.put("a", b""), lambda: gone.create("a", b"")):
        with pytest.raises(Unreachable, match="nosuchbucket"):
            call()


def test_a_store_that_does_not_answer_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(Unreachable, match="cannot be reached"):
        place_of(bucket).names()


def test_missing_credentials_are_told(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(Refused, match="AWS_ACCESS_KEY_ID") as caught:
        place_of(bucket).names()
    assert (caught.value.reason, caught.value.field) == ("NO_CREDENTIALS", "store")


@pytest.mark.parametrize("url", ["nosuch://bucket/banks", "file://host/banks"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        place_of(url)
    assert caught.value.field == "store"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o500)
    with pytest.raises(Refused) as caught:
        place_of(tmp_path / "a").put("x", b"")
    assert caught.value.reason == "STORE_DENIED"
