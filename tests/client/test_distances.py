"""Distances to hyperplanes by the client: as the core has them, drawn and saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from magnet_client import AsyncClient, Client, HyperplaneDistances, InvalidInput, Refused, UnknownResource
from magnet_service.generator import add_generator, export_module, load_version
from magnet_service.geometry import hyperplane_distances
from tests.client.toy import LATENT_DIM, served

LATENTS = np.random.RandomState(4).normal(size=(20, LATENT_DIM))


@pytest.mark.parametrize("space", ["latent", "layer"])
def test_distances_are_those_of_the_core(client: Client, repository: Path, space: Any) -> None:
    found = client.hyperplane_distances("toy", LATENTS, space=space)
    expected = hyperplane_distances(load_version(repository / "toy")[0], torch.tensor(LATENTS), space=space)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.root_mean_square, expected.root_mean_square, rtol=1e-12)
    assert found.counted.tolist() == expected.counted.tolist() == [20 * 32]
    assert found.without.tolist() == [0]
    assert [(layer.name, layer.units) for layer in found.layers] == [("relu", 32)]
    assert (found.space, found.rows, found.left_out) == (space, 20, {})
    assert (found.computed.generator, found.computed.manifold) == ("toy@1", "pre_activation")


def test_the_other_client_answers_the_same(address: str, client: Client) -> None:
    async def ask() -> HyperplaneDistances:
        async with AsyncClient(address) as awaiting:
            return await awaiting.hyperplane_distances("toy", LATENTS, space="layer")

    np.testing.assert_array_equal(
        asyncio.run(ask()).mean, client.hyperplane_distances("toy", LATENTS, space="layer").mean
    )


@pytest.mark.parametrize(
    ("call", "error", "field"),
    [
        (lambda c: c.hyperplane_distances("toy", LATENTS[0]), InvalidInput, "latents"),
        (lambda c: c.hyperplane_distances("toy", LATENTS[:, :3]), InvalidInput, "latents"),
        (lambda c: c.hyperplane_distances("toy", LATENTS * np.nan), InvalidInput, "latents"),
        (lambda c: c.hyperplane_distances("toy", LATENTS, space="pixel"), InvalidInput, "space"),
        (lambda c: c.hyperplane_distances("toy", LATENTS, condition=1), InvalidInput, "condition"),
        (lambda c: c.hyperplane_distances("toy", LATENTS, manifold="output"), Refused, None),
        (lambda c: c.hyperplane_distances("nobody", LATENTS), UnknownResource, None),
    ],
)
def test_what_cannot_be_names_the_argument(
    client: Client, call: Callable[[Client], object], error: type[Exception], field: str | None
) -> None:
    with pytest.raises(error) as caught:
        call(client)
    assert field is None or caught.value.field == field  # type: ignore[attr-defined]


def networks() -> dict[str, nn.Sequential]:
    """The same weights with batch norm fitted on the data, with random biases, and pooled to nothing but maxima."""
    made = {}
    for name in ("norm", "plain"):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for width in (LATENT_DIM, 24, 24):
            layers += [
                nn.Linear(width, 24),
                *([nn.BatchNorm1d(24, momentum=None)] if name == "norm" else []),
                nn.ReLU(),
            ]
            nn.init.normal_(layers[-2 - (name == "norm")].bias)
        module = nn.Sequential(*layers, nn.Linear(24, 3))
        module.train()(torch.tensor(LATENTS, dtype=torch.float32))
        made[name] = module.eval()
    made["pooled"] = nn.Sequential(
        nn.Linear(LATENT_DIM, 8), nn.Unflatten(1, (1, 8)), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(4, 3)
    )
    return made


def test_the_effect_of_batch_norm_shows_and_is_drawn(tmp_path: Path) -> None:
    # L5
    with torch.random.fork_rng(devices=[]):
        for name, module in networks().items():
            export_module(module, LATENT_DIM, tmp_path / f"{name}.pt2")
            add_generator(tmp_path / "held", name, tmp_path / f"{name}.pt2", output_range=(-9.0, 9.0))
    with served(tmp_path / "held", tmp_path / "store") as address, Client(address) as client:
        norm, plain, pooled = (client.hyperplane_distances(name, LATENTS) for name in ("norm", "plain", "pooled"))
    assert (norm.mean < 0.8 * plain.mean).all()
    figure = norm.render(tmp_path / "norm.png", dpi=60.0)
    axes = figure.axes[0]
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], norm.mean)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), norm.root_mean_square)
    assert [text.get_text().split("\n")[0] for text in axes.get_xticklabels()] == [one.name for one in norm.layers]
    assert "20 latents" in axes.get_title()
    with Image.open(tmp_path / "norm.png") as picture:
        assert picture.size[0] == round(figure.get_figwidth() * 60)
    with np.load(norm.save(tmp_path / "norm.npz"), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["mean"], norm.mean)
        assert arrays["layers"].tolist() == [one.name for one in norm.layers]
    assert pooled.layers == ()
    assert list(pooled.left_out.values()) == ["its units choose among entries and have no hyperplane each"]
    with pytest.raises(InvalidInput, match="left_out"):
        pooled.render()
    with pytest.raises(InvalidInput, match=r"\.png"):
        norm.render("x.jpg")
