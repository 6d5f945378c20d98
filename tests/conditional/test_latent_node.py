"""A condition that enters the mapping before an inner latent: every class has a law of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator, add_generator, export_module, read_archive
from magnet_service.generator.condition import Condition, ConditionCard
from magnet_service.registry import BuildRequest, Registry, Wanted, page
from magnet_service.sampling import Normal, SampleRequest

OUTER, INNER, CLASSES = 3, 4, 3
WANTED = Wanted(values=True, latents=True, log_volumes=True)


class Styled(nn.Module):
    """w = map(z + embedding of the class), and an image of w alone."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(CLASSES, OUTER)
        self.before = nn.Sequential(nn.Linear(OUTER, 8), nn.LeakyReLU(0.2), nn.Linear(8, INNER))
        self.after = nn.Sequential(nn.Linear(INNER, 16), nn.ReLU(), nn.Linear(16, 16))

    def mapped(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.before(latents + self.table(labels))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.after(self.mapped(latents, labels)).reshape(-1, 1, 4, 4)


def styled() -> Styled:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Styled().eval()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    export_module(styled(), OUTER, tmp_path / "styled.pt2", condition=torch.arange(CLASSES))
    card = ConditionCard("index", CLASSES)
    add_generator(tmp_path / "all", "styled", tmp_path / "styled.pt2", condition=card, latent_node=inner_name(tmp_path))
    return Registry([tmp_path / "all"], tmp_path / "store", threads=1)


def inner_name(folder: Path) -> str:
    summary = Generator.from_program(read_archive(folder / "styled.pt2")).summary
    return next(node.name for node in summary if node.shape == (INNER,))


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_latents_are_those_of_each_row_s_own_class(registry: Registry, rho: float) -> None:
    for index in range(CLASSES if rho else 0):
        build = registry.plan_build("styled", BuildRequest(rows=320, condition=Condition(index=index)))
        for _ in build.steps:
            pass
    plan = registry.plan("styled", SampleRequest(count=60, seed=1, rho=rho, top_k=1))
    found = page(plan, 0, 60, WANTED)
    assert found.latents is not None
    assert found.values is not None
    labels = torch.arange(60) % CLASSES
    if rho == 0.0:
        outer = torch.from_numpy(Normal(OUTER).rows(1, 0, 60))
        with torch.no_grad():
            np.testing.assert_allclose(found.latents, styled().mapped(outer, labels).numpy(), atol=1e-6)
    with torch.no_grad():
        images = styled().after(torch.from_numpy(found.latents)).reshape(-1, 1, 4, 4).numpy()
    np.testing.assert_allclose(found.values, images, atol=1e-5)
    cut = page(plan, 37, 23, WANTED)
    assert cut.latents is not None
    assert cut.values is not None
    assert cut.latents.tobytes() == found.latents[37:].tobytes()
    assert cut.values.tobytes() == found.values[37:].tobytes()
