"""A conditional generator is evaluated one condition at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from magnet_service.errors import InvalidInput
from magnet_service.evaluation import EvaluationRequest, evaluate
from magnet_service.evaluation.sweep import draw, prepared
from magnet_service.generator.condition import Condition
from magnet_service.registry import Registry
from tests.conditional.pets import fill, module_of


@pytest.mark.long
def test_draws_norms_and_bank_are_of_the_condition(tmp_path: Path, classifier: Path) -> None:
    registry = Registry([fill(tmp_path / "generators", tmp_path / "files")], tmp_path / "store", threads=1)
    with pytest.raises(InvalidInput, match="takes a condition here") as caught:
        evaluate(registry, "pets", EvaluationRequest(count=100), classifier)
    assert caught.value.field == "condition"
    request = EvaluationRequest(
        rhos=(0.2,), psis=(), keeps=(0.5,), count=100, bank_rows=64, top_k=1, condition=Condition(label="cat")
    )
    ground = prepared(registry, "pets", request)
    assert ground.bank.spec.condition == "2"
    module = module_of("pets")
    for setting in request.settings:
        drawn = draw(ground, setting)
        with torch.no_grad():
            expected = module(torch.from_numpy(drawn.latents), torch.full((100,), 2)).numpy()
        np.testing.assert_allclose(drawn.images, expected, atol=1e-5)
    assert evaluate(registry, "pets", request, classifier).evaluation.condition == "2"
