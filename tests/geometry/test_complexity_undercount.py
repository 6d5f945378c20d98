"""L2: what vertices miss in two dimensions, against every crossing found by cutting polygons; the table of the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from magnet_service.generator import Generator
from magnet_service.geometry import local_complexity
from tests.geometry.exact_crossings import crossing_units, frame_polygon
from tests.geometry.oracles import random_latents

PAGE = Path(__file__).resolve().parents[2] / "docs" / "complexity.md"
WIDTH = 32


def network(depth: int, seed: int) -> nn.Sequential:
    """Two inputs, `depth` layers of 32 ReLU units with weights of variance 2 / inputs and normal biases of 0.3."""
    source = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs in (2, *[WIDTH] * (depth - 1)):
        layer = nn.Linear(inputs, WIDTH)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(WIDTH, inputs, generator=source) * (2 / inputs) ** 0.5)
            layer.bias.copy_(torch.randn(WIDTH, generator=source) * 0.3)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1)).double()


def arrays(module: nn.Sequential) -> list[tuple[np.ndarray, np.ndarray]]:
    hidden = [layer for layer in module if isinstance(layer, nn.Linear)][:-1]
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in hidden]


def both_counts(depth: int, radius: float, points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """[points, depth] by vertices and by exact crossings."""
    module = network(depth, seed)
    latents = random_latents(seed, points, 2, torch.float64)
    found = local_complexity(Generator.from_module(module, 2), latents, radius=radius, seed=seed)
    assert found.frame is not None
    polygons = [frame_polygon(latent, found.frame.numpy(), radius) for latent in latents.numpy()]
    exact = np.array([crossing_units(arrays(module), polygon) for polygon in polygons])
    return found.by_layer.numpy(), exact


@pytest.mark.parametrize(("depth", "radius"), [(1, 0.7), (3, 0.05), (3, 0.5), (5, 0.3)])
def test_vertices_are_exact_in_the_first_layer_and_a_lower_bound_behind_it(depth: int, radius: float) -> None:
    vertices, exact = both_counts(depth, radius, 12, seed=depth)
    assert np.array_equal(vertices[:, 0], exact[:, 0])
    assert (vertices <= exact).all()
    assert exact.sum() > 0
    if radius * depth > 1:
        assert vertices.sum() < exact.sum()


def test_the_exact_counter_misses_nothing_that_a_grid_sees() -> None:
    # A grid sees no more than there is, and a fine one nearly all of it.
    module, radius = network(4, 8), 0.4
    frame = np.array([[0.6, 0.8], [-0.8, 0.6]])
    line = np.linspace(-1, 1, 401)
    first, second = np.meshgrid(line, line)
    inside = np.abs(first) + np.abs(second) <= 1
    steps = radius * (first[inside][:, None] * frame[0] + second[inside][:, None] * frame[1])
    for centre in random_latents(1, 4, 2, torch.float64).numpy():
        exact = crossing_units(arrays(module), frame_polygon(centre, frame, radius))
        value, seen = centre + steps, []
        for weight, bias in arrays(module):
            value = value @ weight.T + bias
            positive = value > 0
            seen.append(int((positive.any(0) & ~positive.all(0)).sum()))
            value = np.maximum(value, 0)
        assert all(grid <= count <= grid + 1 for grid, count in zip(seen, exact, strict=True))
        assert sum(seen) > 10


def table() -> list[tuple[int, float, float, float, float]]:
    """Rows of the page: depth, radius, mean counts by vertices and exactly, share that vertices find behind layer 1."""
    rows = []
    for depth in (1, 2, 4, 6):
        for radius in (0.01, 0.05, 0.2, 0.5, 1.0):
            several = [both_counts(depth, radius, 40, seed) for seed in range(5)]
            vertices, exact = (np.concatenate(parts) for parts in zip(*several, strict=True))
            behind = exact[:, 1:].sum()
            share = vertices[:, 1:].sum() / behind if behind else 1.0
            rows.append((depth, radius, vertices.sum(1).mean(), exact.sum(1).mean(), share))
    return rows


def written(row: tuple[int, float, float, float, float]) -> str:
    depth, radius, vertices, exact, share = row
    behind = "" if depth == 1 else f"{100 * share:.1f} %"
    return f"| {depth} | {radius:g} | {vertices:.2f} | {exact:.2f} | {behind} |".replace("  ", " ")


@pytest.mark.long
def test_the_page_has_the_measured_table() -> None:
    page = re.findall(r"^\| \d \| [\d.]+ \| .*$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert page == [written(row) for row in table()]


if __name__ == "__main__":
    print("\n".join(written(row) for row in table()))
