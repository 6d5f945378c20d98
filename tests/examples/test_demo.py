"""The demo itself, on small banks: a real server process, real gRPC, everything written that it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from magnet_service.config import BUNDLED
from magnet_service.generator.card_file import read_card

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "name", "rho", "det_rho", "base", "top_k", "manifold", "bank_size", "ess", "khat", "distinct", "result",
    "class_shares", "tv", "tv_low", "tv_high", "rare_share", "top_probability",
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "examples.demo", "--out", str(out), "--count", "20", "--rows", "1024"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "server stopped" in done.stdout
    (out / "stdout").write_text(done.stdout, encoding="utf-8")
    return out


def test_the_summary_holds_every_draw(written: Path) -> None:
    summary = json.loads((written / "summary.json").read_text(encoding="utf-8"))
    shares = read_card(BUNDLED / "fashion").training_shares
    assert sorted(shares[c] for c in summary["rare_classes"]) == sorted(shares)[:3]
    draws = {draw["name"]: draw for draw in summary["draws"]}
    assert list(draws) == ["as_trained", "uniform", "mode", "anti_mode", "balanced"]
    for draw in draws.values():
        assert draw.keys() >= KEYS
        assert sum(draw["class_shares"]) == pytest.approx(1)
        assert draw["tv_low"] <= draw["tv_high"]
        assert draw["det_rho"] == draw["rho"] / 2
        assert draw["bank_size"] == (512 if draw["name"] == "uniform" else 1024)
    assert draws["mode"]["rho"] < 0 < draws["anti_mode"]["rho"]
    assert draws["mode"]["tv"] > draws["as_trained"]["tv"] > draws["balanced"]["tv"]


def test_the_pictures_are_there(written: Path) -> None:
    for name in ("contact_sheet.png", "class_shares.png", "ess.png"):
        with Image.open(written / name) as picture:
            assert max(picture.size) >= 900
            assert min(picture.size) > 100


def test_the_table_fits_eighty_columns(written: Path) -> None:
    printed = (written / "stdout").read_text(encoding="utf-8")
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed
    assert "p(top)" in printed


def test_the_server_was_drained(written: Path) -> None:
    log = (written / "server.log").read_text(encoding="utf-8")
    assert "stopped" in log
    assert "Traceback" not in log
