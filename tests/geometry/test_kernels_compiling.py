"""Machine code on disk: what is stale is never run, and no disk is needed."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
from numba.core.caching import IndexDataCacheFile, _CacheLocator

from magnet_service.geometry.kernels.compiling import digest

CALLEE = """
from magnet_service.geometry.kernels.compiling import compiled

@compiled
def factor():
    return {factor}
"""
CALLER = """
from magnet_service.geometry.kernels.compiling import compiled
from kernel_callee import factor

@compiled
def scaled(number):
    return factor() * number
"""
NAMES = ("kernel_callee", "kernel_caller")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two modules, of which one calls the other."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Python's own looks at seconds only
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path, 2)
    (tmp_path / "kernel_caller.py").write_text(CALLER)
    yield tmp_path
    forget()


def write(folder: Path, factor: int) -> None:
    (folder / "kernel_callee.py").write_text(CALLEE.format(factor=factor))


def forget() -> None:
    for name in NAMES:
        sys.modules.pop(name, None)


def fresh() -> ModuleType:
    """The calling module as a new process has it."""
    forget()
    importlib.invalidate_caches()
    return importlib.import_module("kernel_caller")


def hits(function: Any) -> int:
    return sum(function.stats.cache_hits.values())


def full(*given: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "no space left on device")


def test_code_is_kept(folder: Path) -> None:
    first = fresh()
    assert first.scaled(3) == 6
    assert hits(first.scaled) == 0
    again = fresh()
    assert again.scaled(3) == 6
    assert hits(again.scaled) == 1


def test_an_edit_of_what_a_function_calls_makes_its_code_anew(folder: Path) -> None:
    assert fresh().scaled(3) == 6
    write(folder, 5)
    edited = fresh()
    assert edited.scaled(3) == 15
    assert hits(edited.scaled) == 0
    write(folder, 2)
    assert fresh().scaled(3) == 6


def test_nothing_is_kept_where_no_folder_can_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_CacheLocator, "ensure_cache_path", full)
    assert fresh().scaled(3) == 6
    assert not list(folder.rglob("*.nb?"))


def test_a_disk_that_is_full_later_does_no_harm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fresh()
    monkeypatch.setattr(IndexDataCacheFile, "save", full)
    assert made.scaled(3) == 6


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_files_cut_short_do_no_harm(folder: Path, ending: str) -> None:
    assert fresh().scaled(3) == 6
    kept = list(folder.rglob(f"*.{ending}"))
    assert len(kept) == 2
    for path in kept:
        path.write_bytes(b"")
    made = fresh()
    assert made.scaled(3) == 6
    assert hits(made.scaled) == 0


def test_the_digest_knows_names_and_contents(tmp_path: Path) -> None:
    seen = []
    for name, text in [("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("c.py", "")]:
        (tmp_path / name).write_text(text)
        seen.append(digest(tmp_path))
    (tmp_path / "notes.txt").write_text("no source")
    assert digest(tmp_path) == seen[-1]
    assert len(set(seen)) == 4


def test_there_is_no_digest_of_no_sources(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no Python files"):
        digest(tmp_path)
