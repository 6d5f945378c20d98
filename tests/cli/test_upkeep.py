"""`magnet bank verify|compact|copy`, `--workers` and `--store`: what they print, exit codes, one line for misuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from magnet_service.sampling import Bank, Store
from tests.cli.conftest import Magnet
from tests.sampling.s3 import bucket_at, s3_server

NOBODY = "0123456789abcdef"


@pytest.fixture
def alone() -> Magnet:
    """`magnet` without a server."""
    return Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")


@pytest.fixture(scope="module")
def small_store(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one bank of three shards, that no test changes."""
    folder = tmp_path_factory.mktemp("small") / "banks"
    magnet = Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")
    built = magnet.json("bank", "build", "toy", "--rows", 80, "--local", "--repository", repository, "--store", folder)
    magnet.done("bank", "compact", built["bank_id"], "--shard-rows", 32, "--store", folder)
    return folder


@pytest.fixture
def here(small_store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_store, tmp_path / "banks"))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as server, bucket_at(server, "upkeep") as url:
        yield url


@pytest.fixture
def fresh_clients() -> Iterator[None]:
    """Clients of object stores read the environment when they are made."""
    fsspec.filesystem("s3").clear_instance_cache()
    yield
    fsspec.filesystem("s3").clear_instance_cache()


def only(store: Path | str) -> Bank:
    (bank,) = Store(store).banks()
    return bank


def shards(store: Path) -> list[Path]:
    return sorted(store.glob("*/rows/*"))


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])


# Verify


def test_a_store_that_is_whole_is_said_to_be(alone: Magnet, here: Path) -> None:
    told = alone.done("bank", "verify", "--store", here)
    assert only(here).id in told
    assert "whole" in told
    (report,) = alone.json("bank", "verify", "--store", here)
    assert report == {"bank_id": only(here).id, "rows": 80, "shards": 3, "damaged": {}, "repaired": False}
    assert alone.json("bank", "verify", only(here).id, "--store", here) == [report]


def test_no_banks_are_no_damage(alone: Magnet, tmp_path: Path) -> None:
    assert alone.done("bank", "verify", "--store", tmp_path) == "no banks here\n"
    assert alone.json("bank", "verify", "--store", tmp_path) == []


def test_damage_is_named_by_text_and_json_and_exit_code(alone: Magnet, here: Path) -> None:
    first, _, last = shards(here)
    flip(first)
    last.unlink()
    result = alone("bank", "verify", "--store", here)
    assert result.exit_code == 1
    assert result.stderr == ""
    assert "2 damaged" in result.stdout
    assert f"shard {first.name} of bank {only(here).id} is damaged" in result.stdout
    assert f"shard {last.name} of bank {only(here).id} is missing" in result.stdout
    result = alone("bank", "verify", "--store", here, "--json")
    assert result.exit_code == 1
    (report,) = json.loads(result.stdout)
    assert set(report["damaged"]) == {first.name, last.name}
    assert report["repaired"] is False


@pytest.mark.parametrize("told", ["text", "json"])
def test_damage_is_repaired_to_the_same_bytes(told: str, alone: Magnet, here: Path, repository: Path) -> None:
    before = [path.read_bytes() for path in shards(here)]
    flip(shards(here)[1])
    arguments = ("bank", "verify", "--repair", "--repository", repository, "--store", here)
    if told == "text":
        assert "1 damaged, computed again" in alone.done(*arguments)
    else:
        (report,) = alone.json(*arguments)
        assert report["repaired"] is True
        assert list(report["damaged"]) == [shards(here)[1].name]
    assert [path.read_bytes() for path in shards(here)] == before
    assert "whole" in alone.done("bank", "verify", "--store", here)


def test_a_repair_without_the_generator_names_the_option(alone: Magnet, here: Path, tmp_path: Path) -> None:
    flip(shards(here)[0])
    empty = tmp_path / "none"
    empty.mkdir()
    error = alone.error(1, "bank", "verify", "--repair", "--repository", empty, "--store", here)
    assert "--repository" in error
    assert only(here).spec.generator_digest[:12] in error


def test_banks_that_cannot_be_opened_are_told_and_make_it_fail(alone: Magnet, here: Path) -> None:
    bad = here / ("a" * 16) / "manifest"
    bad.mkdir(parents=True)
    (bad / "000000000001.json").write_text("{")
    result = alone("bank", "verify", "--store", here)
    assert result.exit_code == 1
    assert "whole" in result.stdout
    assert f"unreadable: {'a' * 16}: " in result.stderr


# Compact


def test_shards_of_another_size(alone: Magnet, here: Path) -> None:
    bank = only(here)
    told = alone.done("bank", "compact", bank.id, "--store", here)
    assert told.startswith(f"bank {bank.id}: 80 rows in 1 shards, 3 before (")
    facts = alone.json("bank", "compact", bank.id, "--shard-rows", 48, "--store", here)
    after = only(here)
    assert facts == {"bank_id": bank.id, "rows": 80, "shards": 2, "bytes": after.bytes}
    assert after.rows().span(0, 80).log_volumes.tobytes() == bank.rows().span(0, 80).log_volumes.tobytes()


def test_sizes_that_cannot_be_name_the_option(alone: Magnet, here: Path) -> None:
    for size in (0, 17, 2**40):
        error = alone.error(2, "bank", "compact", only(here).id, "--shard-rows", size, "--store", here)
        assert f"shard_rows is {size}: write " in error
    assert len(shards(here)) == 3


# Copy


def test_banks_are_copied_by_text_and_json(alone: Magnet, here: Path, bucket: str, tmp_path: Path) -> None:
    bank, there = only(here), f"{bucket}/copied"
    assert bank.id in alone.done("bank", "copy", here, there)
    facts = [{"bank_id": bank.id, "rows": 80, "bytes": bank.bytes}]
    assert alone.json("bank", "copy", here, there) == facts
    assert alone.json("bank", "copy", there, tmp_path / "back", "--bank", bank.id) == facts
    assert "whole" in alone.done("bank", "verify", "--store", there)
    assert bank.id in alone.error(1, "bank", "copy", there, here, "--bank", NOBODY)
    assert [path.read_bytes() for path in shards(tmp_path / "back")] == [path.read_bytes() for path in shards(here)]
    assert alone.done("bank", "copy", tmp_path / "nothing", tmp_path / "more") == "no banks here\n"


@pytest.mark.parametrize("written", ["{}", "{}/", "file://{}"])
def test_one_store_twice_is_refused(written: str, alone: Magnet, here: Path) -> None:
    error = alone.error(2, "bank", "copy", here, written.format(here))
    assert "write two stores" in error


def test_a_damaged_shard_stops_a_copy(alone: Magnet, here: Path, tmp_path: Path) -> None:
    flip(shards(here)[1])
    error = alone.error(1, "bank", "copy", here, tmp_path / "copy")
    assert shards(here)[1].name in error
    assert "verify" in error


@pytest.mark.parametrize("command", [("verify",), ("compact",)])
def test_unknown_banks_are_told_with_those_there_are(command: tuple[str, ...], alone: Magnet, here: Path) -> None:
    error = alone.error(1, "bank", *command, NOBODY, "--store", here)
    assert NOBODY in error
    assert only(here).id in error


# Workers


def test_a_number_of_workers_is_so_many_processes_here(
    alone: Magnet, small_store: Path, repository: Path, tmp_path: Path
) -> None:
    arguments = ("--rows", 80, "--workers", "2", "--repository", repository, "--store", tmp_path)
    assert alone.json("bank", "build", "toy", *arguments)["revision"] == 80
    one, two = (only(store) for store in (tmp_path, small_store))
    assert one.id == two.id
    assert one.rows().span(0, 80).log_volumes.tobytes() == two.rows().span(0, 80).log_volumes.tobytes()


@pytest.mark.parametrize("words", ["0", "-1", "many", "local:0", "ray:nowhere", "ray:http://head:1", "2.5"])
@pytest.mark.parametrize("command", [("bank", "build", "toy"), ("serve",)])
def test_other_words_for_workers_are_misuse(
    command: tuple[str, ...], words: str, alone: Magnet, tmp_path: Path
) -> None:
    error = alone.error(2, *command, "--workers", words, "--store", tmp_path)
    assert error.startswith(f"error workers is '{words}': write COUNT or local:COUNT")
    assert not list(tmp_path.iterdir())


def test_workers_and_an_address_exclude_each_other(alone: Magnet) -> None:
    error = alone.error(2, "bank", "build", "toy", "--workers", 2, "--address", "127.0.0.1:1")
    assert "either --address or --workers" in error
    error = alone.error(2, "bank", "build", "toy", "--local", "--address", "127.0.0.1:1")
    assert "either --address or --local" in error


# Stores

_COMMANDS = {
    "list": ("bank", "list", "--local", "--store", "{}"),
    "build": ("bank", "build", "toy", "--local", "--store", "{}"),
    "verify": ("bank", "verify", "--store", "{}"),
    "compact": ("bank", "compact", NOBODY, "--store", "{}"),
    "copy from": ("bank", "copy", "{}", "elsewhere"),
    "copy to": ("bank", "copy", "SMALL", "{}"),
    "serve": ("serve", "--port", 0, "--store", "{}"),
}


@pytest.fixture(params=_COMMANDS)
def command(request: pytest.FixtureRequest, repository: Path, small_store: Path) -> tuple[object, ...]:
    found = [small_store if word == "SMALL" else word for word in _COMMANDS[request.param]]
    if request.param == "build":
        found += ["--repository", repository]
    return tuple(found)


def at(command: tuple[object, ...], url: str) -> list[object]:
    return [url if word == "{}" else word for word in command]


@pytest.mark.parametrize("url", ["nosuch://bucket/banks", "file://host/banks", "s4://x"])
def test_urls_of_no_store_are_misuse(url: str, command: tuple[object, ...], alone: Magnet) -> None:
    error = alone.error(2, *at(command, url))
    assert f"the store is '{url}'" in error
    assert "file:///PATH" in error


def test_a_bucket_that_is_not_there_is_told(command: tuple[object, ...], alone: Magnet, bucket: str) -> None:
    error = alone.error(1, *at(command, "s3://nosuchbucket/banks"))
    assert "there is no 'nosuchbucket'" in error
    assert "name another store" in error


@pytest.mark.parametrize("url", ["s3://", "s3:///banks"])
def test_a_url_without_a_bucket_is_misuse(url: str, command: tuple[object, ...], alone: Magnet) -> None:
    error = alone.error(2, *at(command, url))
    assert f"the store is '{url}': it names no bucket. Write " in error


def test_missing_credentials_are_told(
    command: tuple[object, ...],
    alone: Magnet,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fresh_clients: None,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    error = alone.error(1, *at(command, f"{bucket}/banks"))
    assert "AWS_ACCESS_KEY_ID" in error
    assert error.startswith("error --store: ")


def test_a_store_that_does_not_answer_is_told(
    command: tuple[object, ...], alone: Magnet, bucket: str, monkeypatch: pytest.MonkeyPatch, fresh_clients: None
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    error = alone.error(1, *at(command, f"{bucket}/banks"))
    assert f"the store at {bucket}/banks" in error
    assert "cannot be reached" in error


def test_a_store_in_a_bucket_lists_its_banks(alone: Magnet, bucket: str, here: Path) -> None:
    there = f"{bucket}/listed"
    assert alone.done("bank", "list", "--local", "--store", there).startswith("no banks yet")
    alone.done("bank", "copy", here, there)
    assert only(here).id in alone.done("bank", "list", "--local", "--store", there)
    found: list[dict[str, Any]] = alone.json("bank", "list", "--local", "--store", there)
    assert found == alone.json("bank", "list", "--local", "--store", here)
