"""Settings: where a value comes from, and what a wrong one says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from magnet_service.config import BUNDLED, Settings, load_settings
from magnet_service.errors import InvalidInput


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MAGNET_"):
            monkeypatch.delenv(name)


def test_defaults_listen_on_loopback_only() -> None:
    settings = load_settings()
    assert settings.host == "127.0.0.1"
    assert settings.port == 50051
    assert settings.threads == len(os.sched_getaffinity(0))
    assert settings.generator_folders == (BUNDLED,)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "magnet.toml"
    file.write_text("port = 1\nqueue_limit = 2\nmax_count = 3\n")
    monkeypatch.setenv("MAGNET_PORT", "10")
    monkeypatch.setenv("MAGNET_QUEUE_LIMIT", "20")
    settings = load_settings(config=file, port=100)
    assert (settings.port, settings.queue_limit, settings.max_count, settings.tile_rows) == (100, 20, 3, 16)
    monkeypatch.setenv("MAGNET_CONFIG", str(file))
    assert load_settings().max_count == 3


def test_a_flag_of_none_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGNET_PORT", "10")
    assert load_settings(port=None).port == 10


def test_repositories_are_separated_as_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGNET_REPOSITORIES", f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}")
    assert load_settings().generator_folders == (tmp_path / "a", tmp_path / "b", BUNDLED)
    assert load_settings(repositories=[tmp_path]).repositories == (tmp_path,)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1048576", 2**20),
        (3 * 2**20, 3 * 2**20),
        ("512M", 2**29),
        ("512 m", 2**29),
        ("1.5G", 3 * 2**29),
        ("2GiB", 2**31),
        ("1tb", 2**40),
    ],
)
def test_memory_is_read_in_bytes_or_in_powers_of_1024(
    value: object, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings(max_memory=value).max_memory == wanted
    monkeypatch.setenv("MAGNET_MAX_MEMORY", str(value))
    assert load_settings().max_memory == wanted


def test_memory_is_left_to_the_device_where_nothing_is_set() -> None:
    assert load_settings().max_memory is None


@pytest.mark.parametrize("value", ["7x", "-1", "", "1M2", "G", "100", 100, 1.5e7 + 0.5])
def test_memory_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="K, M, G or T") as caught:
        load_settings(max_memory=value)
    assert caught.value.field == "max_memory"


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", 70000), ("device", "gpu"), ("tile_rows", 0), ("drain_seconds", float("nan")), ("log_level", "loud")],
)
def test_a_wrong_value_names_its_setting(name: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(**{name: value})
    assert caught.value.field == name
    assert repr(value) in caught.value.message


def test_an_unknown_name_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "magnet.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(InvalidInput, match="prot is no setting") as caught:
        load_settings(config=file)
    assert caught.value.field == "prot"


@pytest.mark.parametrize("text", ["port = ", "\x00", "[port"])
def test_a_file_that_is_no_toml(tmp_path: Path, text: str) -> None:
    file = tmp_path / "magnet.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_settings(config=file)
    assert caught.value.field == "config"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no file") as caught:
        load_settings(config=tmp_path / "none.toml")
    assert caught.value.field == "config"


def test_settings_are_frozen_and_described() -> None:
    with pytest.raises(ValidationError):
        load_settings().port = 1  # type: ignore[misc]  # that it fails is the test
    assert all(field.description for field in Settings.model_fields.values())
