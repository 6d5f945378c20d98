"""Free memory as Linux tells it, in trees of files made for the purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from magnet_service.geometry.memory import SHARE, default_max_memory, free_memory

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"
AVAILABLE = 8_000_000 * 1024


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(MEMINFO)
    return tmp_path / "proc"


def group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_without_a_limit_it_is_what_the_kernel_says(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/mine\n")
    group(tmp_path / "groups" / "mine", {"memory.max": "max\n", "memory.current": "5\n"})
    assert free_memory("cpu", proc=proc, cgroups=tmp_path / "groups") == AVAILABLE


def test_the_tightest_control_group_around_counts(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/outer/mine\n")
    groups = tmp_path / "groups"
    group(groups / "outer", {"memory.max": "3000000\n", "memory.current": "2500000\n"})
    group(groups / "outer" / "mine", {"memory.max": "2000000\n", "memory.current": "1200000\n"})
    assert free_memory("cpu", proc=proc, cgroups=groups) == 500_000
    # Pages that only cache files can be had back.
    group(groups / "outer", {"memory.stat": "anon 1\ninactive_file 600000\n"})
    assert free_memory("cpu", proc=proc, cgroups=groups) == 800_000


def test_the_first_version_of_control_groups(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("5:cpu,cpuacct:/\n4:memory:/mine\n0::/\n")
    files = {"memory.limit_in_bytes": "900000\n", "memory.usage_in_bytes": "300000\n"}
    group(tmp_path / "groups" / "memory" / "mine", {**files, "memory.stat": "total_inactive_file 50000\n"})
    assert free_memory("cpu", proc=proc, cgroups=tmp_path / "groups") == 650_000


def test_inside_a_container_the_root_tells(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/a/path/of/the/host\n")
    group(tmp_path / "groups", {"memory.max": "700000\n", "memory.current": "100000\n"})
    assert free_memory("cpu", proc=proc, cgroups=tmp_path / "groups") == 600_000


def test_a_group_over_its_limit_leaves_nothing(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/\n")
    group(tmp_path / "groups", {"memory.max": "100\n", "memory.current": "300\n"})
    assert free_memory("cpu", proc=proc, cgroups=tmp_path / "groups") == 0


def test_a_system_that_tells_nothing_has_all_its_memory(tmp_path: Path) -> None:
    assert free_memory("cpu", proc=tmp_path / "none", cgroups=tmp_path / "none") >= 2**28


def test_the_default_is_a_share_of_what_is_free_here() -> None:
    # Others take and give back memory between the two looks.
    assert default_max_memory("cpu") == pytest.approx(SHARE * free_memory("cpu"), rel=0.2)
