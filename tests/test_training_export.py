"""What the training scripts write is what a repository holds: a probe in each version folder, and nothing beside it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from magnet_service.generator.versions import verify_version
from training import export
from training.networks import Classifier, fashion_generator, rings_generator


def test_versions_get_their_probe_and_the_classifier_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"fashion": fashion_generator(), "rings": rings_generator(), "classifier": Classifier()}
    for name, module in made.items():
        torch.save(module.state_dict(), tmp_path / f"{name}.pt")
        (tmp_path / f"{name}.json").write_text(json.dumps({"seed": 0}))
    options = {"states": tmp_path, "bundled": tmp_path / "bundled", "classifier": tmp_path / "classifier"}
    words = [word for name, folder in options.items() for word in (f"--{name}", str(folder))]
    monkeypatch.setattr(sys, "argv", ["export", *words])
    export.main()
    for name in ("fashion", "rings"):
        home = tmp_path / "bundled" / name / "1"
        assert sorted(file.name for file in home.iterdir()) == ["generator.pt2", "probe.npz"]
        assert verify_version(home.parent)[0].reference == "probe"
    assert [file.name for file in (tmp_path / "classifier").iterdir()] == ["classifier.pt2"]
