"""What a command says when it was written wrongly or cannot be done: one line, exit code 2 or 1, no traceback."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from magnet_service.cli import app
from magnet_service.config import Settings
from tests.cli.conftest import Magnet


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sample", "toy"), "exactly one of preset, rho and det_rho"),
        (("sample", "toy", "--rho", 1, "--preset", "uniform"), "preset and rho are given"),
        (("sample", "toy", "--rho", 1, "--det-rho", 1), "rho and det_rho are given"),
        (("sample", "toy", "--rho", "nan"), "finite"),
        (("sample", "toy", "--rho", "inf"), "finite"),
        (("sample", "toy", "--rho", 1, "--count", 0), "count must be an integer, at least 1"),
        (("sample", "toy", "--rho", 1, "--count", 2001), "2,000"),
        (("sample", "toy", "--rho", 0.5, "--top-k", 5), "top_k"),
        (("sample", "../toy", "--rho", 1), "name@version"),
        (("sample", "toy", "--rho", 1, "--base", "uniform", "--box", "1"), "--box=LOW,HIGH"),
        (("sample", "toy", "--rho", 1, "--base", "uniform", "--box=2,1"), "low < high"),
        (("sample", "toy", "--rho", 1, "--ball-radius", 1), "base='uniform'"),
        (("sample", "toy", "--rho", 1, "--out", "x.jpg"), ".png"),
        (("sample", "toy", "--rho", 1, "--store", "x"), "--local"),
        (("sample", "toy", "--rho", 1, "--local", "--address", "x"), "both are given"),
        (("bank", "show", "../x"), "16 hexadecimal"),
        (("bank", "build", "toy", "--rows", 0), "rows must be an integer"),
        (("generator", "show", "toy", "--rank-latents", 2000), "rank_latents"),
        (("serve", "--port", 70000), "port"),
        (("serve", "--config", "/nowhere.toml"), "/nowhere.toml"),
        (("serve", "--device", "tpu"), "device"),
    ],
)
def test_misuse_is_said_in_one_line(magnet: Magnet, arguments: tuple[object, ...], says: str) -> None:
    assert says in magnet.error(2, *arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sample", "nobody", "--rho", 1), "there are: "),
        (("sample", "toy@7", "--rho", 1), "toy@1"),
        (("sample", "toy", "--rho", 1, "--manifold", "pre_activation"), "magnet bank build toy"),
        (("sample", "toy", "--rho", 1, "--bank", "0123456789abcdef"), "0123456789abcdef"),
        (("sample", "toy", "--rho", 0, "--address", "127.0.0.1:1"), "magnet serve"),
        (("sample", "toy", "--rho", 0, "--count", 2000, "--timeout", "1e-9"), "timeout"),
        (("health", "--service", "nobody"), "no service"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    magnet: Magnet, bank: dict[str, Any], arguments: tuple[object, ...], says: str
) -> None:
    assert says in magnet.error(1, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [("sample",), ("sample", "toy", "--preset", "even"), ("sample", "toy", "--rho", "much"), ("draw",), ("bank", "x")],
)
def test_unknown_words_are_misuse(magnet: Magnet, arguments: tuple[object, ...]) -> None:
    result = magnet(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("magnet_service.rpc.server", ("serve",)),
        ("magnet_service.generator", ("generator", "add", "x", "x.pt2")),
        ("magnet_service.registry", ("generator", "verify", "x")),
        ("magnet_service.rpc.server", ("generator", "list", "--local")),
    ],
)
def test_without_the_servers_parts_only_options_that_a_command_has_are_advised(
    magnet: Magnet, monkeypatch: pytest.MonkeyPatch, missing: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # so that an import of it fails as where it is not installed
    error = magnet.error(1, *arguments)
    assert "pip install 'magnet-service[server]'" in error
    assert ("--address" in error) == ("--local" in error) == ("--local" in arguments)


def test_help_of_serve_is_true_of_its_variables(magnet: Magnet) -> None:
    text = " ".join(magnet.done("serve", "--help").replace("│", " ").split())
    assert "Every flag but --port-file is also an environment variable" in text
    assert "that of --repository is MAGNET_REPOSITORIES" in text
    assert set(re.findall(r"MAGNET_([A-Z]+)", text)) <= {name.upper() for name in Settings.model_fields}


def test_a_file_that_cannot_be_written_is_said_in_one_line(magnet: Magnet, tmp_path: Path) -> None:
    target = tmp_path / "no" / "x.png"
    assert str(target) in magnet.error(1, "sample", "toy", "--rho", 0, "--count", 1, "--out", target)


def test_the_server_still_serves(magnet: Magnet) -> None:
    assert "is serving" in magnet.done("health")


def test_nothing_in_a_help_text_is_taken_for_markup(magnet: Magnet) -> None:
    def check(command: Any, path: tuple[str, ...]) -> None:
        shown = " ".join(magnet.done(*path, "--help").replace("│", " ").split())
        for option in command.params:
            bracketed = re.findall(r"\[[^\]]*\]", getattr(option, "help", None) or "")
            assert [text for text in bracketed if text not in shown] == [], (path, option.name)
        for name, below in getattr(command, "commands", {}).items():
            check(below, (*path, name))

    check(get_command(app), ())
