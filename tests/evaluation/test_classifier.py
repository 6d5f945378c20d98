"""The classifier: classes, probabilities and features against the module itself, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from magnet_service.errors import InvalidInput, MagnetError, Refused
from magnet_service.evaluation import open_classifier
from tests.evaluation.conftest import exported, network

IMAGES = torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("head", [None, nn.Softmax(1), nn.LogSoftmax(1)])
def test_it_says_what_the_module_says(tmp_path: Path, head: nn.Module | None) -> None:
    module = network(classes=4)
    whole = module if head is None else nn.Sequential(*module, head)
    found = open_classifier(exported(whole, tmp_path / "c.pt2"), (1, 8, 8), ("a", "b", "c", "d"))
    judged = found.judge(IMAGES.numpy())
    with torch.no_grad():
        features = module[:3](IMAGES)
        likely = module[3](features).double().softmax(1)
    np.testing.assert_allclose(judged.features, features.numpy(), atol=1e-5)
    np.testing.assert_allclose(judged.top_probability, likely.amax(1).numpy(), atol=1e-6)
    assert (judged.classes == likely.argmax(1).numpy()).all()
    assert (found.classes, found.width, found.probabilities) == (4, 12, isinstance(head, nn.Softmax))


def test_a_convolution_may_be_the_last_affine_layer_and_a_linear_one_the_only_one(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        last = nn.Sequential(nn.Conv2d(1, 5, 4, 4), nn.ReLU(), nn.Conv2d(5, 3, 2), nn.Flatten()).eval()
        only = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    found = open_classifier(exported(last, tmp_path / "last.pt2"), (8, 8))
    with torch.no_grad():
        expected = last[:2](IMAGES).flatten(1).numpy()
    np.testing.assert_allclose(found.judge(IMAGES.numpy()).features, expected, atol=1e-6)
    plain = open_classifier(exported(only, tmp_path / "only.pt2"), (1, 8, 8))
    np.testing.assert_array_equal(plain.judge(IMAGES.numpy()).features, IMAGES.flatten(1).numpy())


def test_one_that_takes_a_row_of_numbers_serves_images(tmp_path: Path) -> None:
    module = network()
    flat = open_classifier(exported(module, tmp_path / "flat.pt2", (64,)), (1, 8, 8))
    shaped = open_classifier(exported(module, tmp_path / "shaped.pt2"), (1, 8, 8))
    ours, theirs = flat.judge(IMAGES.numpy()), shaped.judge(IMAGES.numpy())
    np.testing.assert_array_equal(ours.top_probability, theirs.top_probability)


def test_what_cannot_judge_is_named(tmp_path: Path, classifier: Path) -> None:
    cases: list[tuple[nn.Module, tuple[int, ...], tuple[str, ...], type[MagnetError], str]] = [
        (
            network(),
            (3, 8, 8),
            (),
            InvalidInput,
            r"it takes \[1, 8, 8\], and the generator's outputs have shape \[3, 8",
        ),
        (network(), (8, 9), (), InvalidInput, "resizing inside"),
        (
            network(),
            (1, 8, 8),
            ("a", "b", "c"),
            InvalidInput,
            "tells 2 classes apart, and the generator's card names 3",
        ),
        (network(classes=1), (1, 8, 8), (), InvalidInput, "two or more logits"),
        (nn.Sequential(nn.Conv2d(1, 2, 3)), (1, 8, 8), (), InvalidInput, r"shape \[2, 6, 6\]"),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), (1, 8, 8), (), Refused, "no affine layer"),
    ]
    for number, (module, shape, labels, error, message) in enumerate(cases):
        path = exported(module.eval(), tmp_path / f"{number}.pt2")
        with pytest.raises(error, match=message) as caught:
            open_classifier(path, shape, labels)
        assert caught.value.field == "classifier"


def test_files_that_hold_no_network(tmp_path: Path) -> None:
    with pytest.raises(MagnetError):
        open_classifier(tmp_path / "missing.pt2", (1, 8, 8))
    (tmp_path / "pickle.pt2").write_bytes(b"\x80\x04N.")
    with pytest.raises(MagnetError):
        open_classifier(tmp_path / "pickle.pt2", (1, 8, 8))


def test_outputs_that_are_no_numbers(tmp_path: Path, classifier: Path) -> None:
    found = open_classifier(classifier, (1, 8, 8))
    with pytest.raises(InvalidInput, match="not finite"):
        found.judge(np.full((2, 1, 8, 8), np.inf, np.float32))
