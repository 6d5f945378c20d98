"""The server's log: one line a call, for people or for programs."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest

from magnet_service.config import LogFormat, LogLevel, load_settings
from magnet_service.rpc.logs import make_logger
from magnet_service.rpc.server import running_server
from tests.rpc.calls import Services, draw, failure


def test_each_call_is_one_line_of_json(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(
        port=0, repositories=[repository], store=tmp_path, builder=True, threads=1, log_format="json", max_memory="300M"
    )
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        services = Services(channel)
        draw(services, generator="grey", count=7, rho=0.0)
        found = failure(lambda: draw(services, generator="nothing", count=7, rho=0.0))
    captured = capsys.readouterr()
    assert not captured.out
    lines = [json.loads(line) for line in captured.err.splitlines() if line.startswith("{")]
    well, badly = (line for line in lines if line["event"] == "call")
    assert (well["method"], well["code"], well["rows"]) == ("/magnet.v1.SamplingService/Sample", "OK", 7)
    assert well["ms"] > 0
    assert (badly["code"], badly["request_id"]) == ("NOT_FOUND", found.request_id)
    assert "rows" not in badly
    (started,) = (line for line in lines if line["event"] == "serving")
    assert started["max_memory"] == "300 MiB"
    assert [line["event"] for line in lines if line["event"] != "call"] == ["serving", "draining", "stopped"]


def test_a_server_open_to_the_network_says_so(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(host="0.0.0.0", port=0, repositories=[repository], store=tmp_path, builder=True, threads=1)
    with running_server(settings):
        pass
    assert "neither encrypted nor authenticated" in capsys.readouterr().err


def test_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    log = make_logger(LogLevel.WARNING, LogFormat.CONSOLE)
    log.info("quiet")
    log.warning("loud")
    assert "quiet" not in (said := capsys.readouterr().err)
    assert "loud" in said
