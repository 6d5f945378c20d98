"""The README's Python runs as written, against a real server, and prints what it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from magnet_service.config import load_settings
from magnet_service.rpc.server import running_server

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def test_the_code_prints_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == len(re.findall(r"```python\n", text)) == 1
    monkeypatch.chdir(tmp_path)
    with running_server(load_settings(port=0, store=tmp_path / "banks", builder=True, threads=2)) as address:
        monkeypatch.setenv("MAGNET_ADDRESS", address)
        for code, output in blocks:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(README), "exec"), {})
            assert printed.getvalue() == output
    with Image.open(tmp_path / "draw.png") as sheet:
        assert sheet.size[0] >= 4 * 28


def test_pictures_and_files_that_the_readme_names_exist() -> None:
    text = README.read_text(encoding="utf-8")
    for name in re.findall(r"!\[.*?\]\((.*?)\)", text):
        with Image.open(ROOT / name) as picture:
            picture.verify()
        assert (ROOT / name).stat().st_size < 150_000, name
    for name in (
        "constraints.txt",
        "docs/generators.md",
        "protos/magnet/v1",
        "protos/vendor",
        "protos/buf",
        "training",
    ):
        assert name in text
        assert (ROOT / name).exists()
