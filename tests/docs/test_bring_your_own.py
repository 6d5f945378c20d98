"""The README's passage on a generator of one's own works as written; the descriptions in docs are what is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from torch import nn

from magnet_service.cli.terminal import STDOUT
from tests.cli.conftest import Magnet

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESCRIPTIONS = (ROOT / "docs" / "generators.md").read_text(encoding="utf-8")


@pytest.fixture
def magnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Magnet:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(STDOUT, "width", 80)
    return Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1", XDG_DATA_HOME=str(tmp_path / "data"))


def dcgan() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.ConvTranspose2d(100, 8, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh()
        )


def test_the_readmes_way_to_a_generator_of_ones_own(magnet: Magnet) -> None:
    passage = README[README.index("## Bring your own generator") : README.index("## Serving")]
    (code,) = re.findall(r"```python no-run\n(.*?)```", passage, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"module": dcgan()})
    commands = [shlex.split(line, comments=True) for line in passage.splitlines() if line.startswith("magnet ")]
    assert [" ".join(words[1:3]) for words in commands] == [
        "generator add", "generator verify", "generator show", "serve --builder",
    ]  # fmt: skip
    printed = [magnet.done(*words[1:]) for words in commands[:-1]]
    assert "dcgan@1" in printed[0]
    without_folder = printed[1].partition("verified dcgan@1 in")[0]
    assert without_folder.split() == printed[0].partition("verified dcgan@1 in")[0].split()
    assert without_folder.split() == printed[2].split()


@pytest.mark.parametrize("name", ["fashion", "rings"])
def test_the_bundled_generators_are_described_as_printed(magnet: Magnet, name: str) -> None:
    (shown,) = re.findall(rf"```text\n(generator +{name}@1.*?)```", DESCRIPTIONS, flags=re.DOTALL)
    printed = magnet.done("generator", "show", name, "--local")
    # Errors and the last digits of volumes are those of one machine, and the banks are not here.
    facts = shown[: shown.index("AUTO at rho 1")].splitlines()
    same = {line.rstrip() for line in printed.splitlines()}
    differing = [line for line in facts if line.rstrip() not in same]
    assert all(re.match(r"differences|  +|bits depend on|sigma_|condition|\d+", line) for line in differing)
    assert len(differing) <= 8
