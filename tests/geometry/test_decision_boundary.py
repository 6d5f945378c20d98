"""Decision boundaries of slices: where the largest entry changes over, or one output its sign."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Tessellation, slice_along, tessellate
from tests.generator.families import by_name, generator_of
from tests.geometry.oracles import dense
from tests.geometry.planes import check_subdivision
from tests.geometry.random_nets import random_net
from tests.geometry.tilings import inner_points, slice_of

pytestmark = pytest.mark.usefixtures("one_thread")


def classes(values: Tensor) -> Tensor:
    """The largest entry, or the sign of the only one."""
    return values.argmax(1) if values.shape[1] > 1 else (values[:, 0] > 0).long()


def check_boundary(generator: Generator, found: Tessellation) -> int:
    """One class inside of every tile, and another one beyond each edge of the boundary; the number of those edges."""
    check_subdivision(found, found.slice.window.numpy())
    exact = generator.to(precision=Precision.FLOAT64)

    def values_at(points: np.ndarray) -> Tensor:
        latents = found.slice.lift(torch.from_numpy(points))
        return exact.forward(latents, Manifold.PRE_ACTIVATION).flatten(1)

    values = values_at(inner_points(found, np.arange(found.tiles), 4).reshape(-1, 2))
    chosen = classes(values).reshape(found.tiles, 4)
    # Where two entries are equal up to rounding on a whole tile, either may be largest.
    best = values.topk(min(2, values.shape[1]), dim=1).values
    gap = (best[:, 0] - best[:, 1] if values.shape[1] > 1 else best[:, 0].abs()).reshape(found.tiles, 4)
    clear = (gap > 1e-9 * values.abs().max()).all(dim=1)
    assert bool((chosen == chosen[:, :1]).all(dim=1)[clear].all())
    inner = (found.sides >= 0).all(axis=1)
    left, right = (chosen[:, 0].numpy()[found.sides[:, side]] for side in (0, 1))
    both = inner & clear.numpy()[found.sides].all(axis=1)
    assert (left != right)[both & found.decision].all()
    # Other edges separate classes only where the boundary runs along them.
    ends = values_at(found.points[found.ends[both & ~found.decision & (left != right)].ravel()])
    if len(ends):
        top = ends.topk(min(2, ends.shape[1]), dim=1).values
        tie = top[:, 0] - top[:, 1] if ends.shape[1] > 1 else top[:, 0]
        assert float(tie.abs().max()) <= 1e-9 * max(1.0, float(values.abs().max()))
    # On the boundary itself entries tie.
    on = values_at(found.points[found.ends[found.decision]].reshape(-1, 2))
    if len(on):
        top = on.topk(min(2, on.shape[1]), dim=1).values
        tie = top[:, 0] - top[:, 1] if on.shape[1] > 1 else top[:, 0]
        assert float(tie.abs().max()) <= 1e-9 * max(1.0, float(values.abs().max()))
    return int(found.decision.sum())


@pytest.mark.parametrize("outputs", [1, 2, 3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_classes_agree_inside_of_tiles_and_differ_across_the_boundary(outputs: int, seed: int) -> None:
    generator = Generator.from_module(dense(4, 14, 14, outputs, seed=seed), 4)
    plain = tessellate(generator, slice_of(4, seed))
    found = tessellate(generator, slice_of(4, seed), boundary=True)
    edges = check_boundary(generator, found)
    assert found.layers == plain.layers
    assert not plain.decision.any()
    assert (found.tiles > plain.tiles) == (edges > 0)
    assert found.areas.sum() == pytest.approx(plain.areas.sum(), rel=1e-12)


@pytest.mark.parametrize("name", ["mlp", "hardtanh", "pooled", "extrema", "joined", "prelu"])
def test_boundaries_of_families(name: str) -> None:
    family = by_name(name)
    generator = generator_of(family)
    found = tessellate(generator, slice_of(family.latent_dim, 1), boundary=True)
    assert check_boundary(generator, found) > 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "max_pool", "maxout", "residual", "conv", "upsampling"])
def test_boundaries_of_many_networks(kind: str, seed: int) -> None:
    family = random_net(kind, seed)
    generator = Generator.from_module(family.build(seed), family.latent_dim, family.latent_shape)
    check_boundary(generator, tessellate(generator, slice_of(family.latent_dim, seed), boundary=True))


def test_known_lines() -> None:
    # Three linear classes: x, y and 1 / 4; and one output x - 1 / 2.
    window = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
    three = nn.Linear(2, 3)
    with torch.no_grad():
        three.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
        three.bias.copy_(torch.tensor([0.0, 0.0, 0.25]))
    found = tessellate(Generator.from_module(three, 2), window, boundary=True)
    assert found.tiles == 3
    np.testing.assert_allclose(np.sort(found.areas), [1.21875, 1.21875, 1.5625], rtol=1e-14)
    assert found.lengths[found.decision].sum() == pytest.approx(2 * 1.25 + 0.75 * 2**0.5, rel=1e-14)
    one = nn.Linear(2, 1)
    with torch.no_grad():
        one.weight.copy_(torch.tensor([[1.0, 0.0]]))
        one.bias.fill_(-0.5)
    found = tessellate(Generator.from_module(one, 2), window, boundary=True)
    np.testing.assert_allclose(np.sort(found.areas), [1.0, 3.0], rtol=1e-14)
    assert (found.labels[found.decision] == [[-2, 0, 0]]).all()


@pytest.mark.parametrize("head", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_a_softmax_at_the_end_is_dropped(head: nn.Module) -> None:
    body = dense(3, 12, 6, seed=8)
    plane = slice_of(3, 8)
    bare = tessellate(Generator.from_module(body, 3), plane, boundary=True)
    with_head = tessellate(Generator.from_module(nn.Sequential(body, head), 3), plane, boundary=True)
    assert (with_head.points == bare.points).all()
    assert (with_head.decision == bare.decision).all()
    assert bare.decision.any()
    assert (with_head.frobenius_norms == bare.frobenius_norms).all()


def test_a_constant_value_has_no_boundary() -> None:
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.zero_()
    window = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
    found = tessellate(Generator.from_module(layer, 2), window, boundary=True)
    assert found.tiles == 1
    assert not found.decision.any()


def test_entries_that_are_one_have_no_boundary_between_them() -> None:
    layer = nn.Linear(2, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.2], [1.0, 0.2], [-1.0, 0.1], [-1.0, 0.1]]))
        layer.bias.zero_()
    window = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
    found = tessellate(Generator.from_module(layer, 2), window, boundary=True)
    assert found.tiles == 2
    assert found.decision.sum() == 1
