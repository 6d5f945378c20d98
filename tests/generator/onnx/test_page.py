"""The page on ONNX lists the operators that are read, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from magnet_service.generator.onnx_table import OPERATORS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "onnx.md"
REFUSED = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
CONTROL = {"If", "Loop", "Scan", "SequenceMap"}


def test_the_page_lists_what_the_table_holds() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([A-Z][^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = [name for row in rows for name in row.split(", ")]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(OPERATORS) - REFUSED - CONTROL
