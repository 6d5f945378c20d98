"""Local complexity: against a state at every vertex, closed forms, laws L1, L3 and L4, and what is refused."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import Cancelled, InvalidInput, OutOfMemory, Refused
from magnet_service.generator import Generator, Manifold, Precision, activation_pattern
from magnet_service.geometry import local_complexity, random_frames
from magnet_service.geometry.complexity import DEFAULT_DIRECTIONS, ComplexityEstimator
from tests.generator.conditional_nets import Concatenated
from tests.generator.families import FAMILIES, Family, by_name, generator_of
from tests.geometry.oracles import dense, random_latents
from tests.geometry.peak_memory import FORGET

ROOT = Path(__file__).parents[2]
STRAIGHT = [family for family in FAMILIES if family.piecewise_affine]
QUICK = ("linear", "hardtanh", "dcgan", "residual", "pooled", "sequence", "joined", "extrema")
each_straight = pytest.mark.parametrize(
    "family",
    [pytest.param(one, id=one.name, marks=() if one.name in QUICK else pytest.mark.long) for one in STRAIGHT],
)


def states(generator: Generator, places: Tensor) -> Tensor:
    return activation_pattern(generator.to(precision=Precision.FLOAT64), places)


def around(latent: Tensor, frame: Tensor, radius: float) -> Tensor:
    return torch.cat([latent + radius * frame, latent - radius * frame])


def one_by_one(generator: Generator, latents: Tensor, frames: Tensor, radius: float) -> Tensor:
    """[rows, units]: whether a unit has more than one state over the vertices."""
    found = []
    for latent, frame in zip(latents, frames.expand(len(latents), -1, -1), strict=True):
        patterns = states(generator, around(latent, frame, radius))
        found.append((patterns != patterns[0]).any(0))
    return torch.stack(found)


@each_straight
@pytest.mark.parametrize("shared", [True, False])
def test_a_unit_counts_where_its_state_differs_between_vertices(family: Family, shared: bool) -> None:
    generator, latents = generator_of(family), family.latents(6)
    found = local_complexity(generator, latents, radius=0.4, directions=4, shared_frame=shared, seed=3)
    frames = random_frames(3, 0, 1 if shared else 6, 4, family.latent_dim)
    bent = one_by_one(generator, latents, frames, 0.4).split(found.units, dim=1)
    expected = torch.stack([layer.sum(1) for layer in bent], dim=1) if found.units else torch.zeros(6, 0).long()
    assert torch.equal(found.by_layer, expected)
    assert torch.equal(found.total, expected.sum(1))
    assert sum(found.units) == generator.units
    assert family.name == "linear" or found.total.any()


def test_counts_are_those_of_a_loop_in_plain_torch() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            *(nn.Unflatten(1, (1, 6, 6)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(16, 90), nn.Hardtanh(-0.1, 0.2), nn.Linear(90, 3)),
        ).double()
    latents = random_latents(4, 5, 36, torch.float64)
    found = local_complexity(Generator.from_module(module, 36), latents, radius=1.0, seed=1)
    assert found.frame is not None
    assert found.units == (64, 16, 90)
    for latent, counts in zip(latents, found.by_layer, strict=True):
        with torch.no_grad():
            conv = module[:2](around(latent, found.frame, 1.0))
            hidden = conv.relu()
            taken = nn.functional.max_pool2d(hidden, 2, return_indices=True)[1].flatten(1)
            last = module[3:6](hidden)
        signs = (conv > 0).flatten(1)
        pieces = (last > -0.1).int() + (last > 0.2).int()
        expected = [int((shown != shown[0]).any(0).sum()) for shown in (signs, taken, pieces)]
        assert counts.tolist() == expected
        assert min(expected) > 0


def test_kinks_of_max_pools_count_and_logits_do_not() -> None:
    layers = [nn.Linear(4, 8), nn.Unflatten(1, (2, 4)), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(4, 50)]
    found = local_complexity(Generator.from_module(nn.Sequential(*layers), 4), random_latents(1, 30, 4), radius=1.0)
    assert found.units == (4,)
    assert found.total.any()


def test_units_behind_the_head_are_none_of_the_pre_activation_manifold() -> None:
    generator = Generator.from_module(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.Sigmoid()), 3)
    assert local_complexity(generator, torch.zeros(1, 3), radius=1.0).units == (4,)
    with pytest.raises(Refused, match="sigmoid"):
        local_complexity(generator, torch.zeros(1, 3), radius=1.0, manifold=Manifold.OUTPUT)


@each_straight
@pytest.mark.parametrize("shared", [True, False])
def test_first_layers_in_closed_form_are_those_at_the_vertices(family: Family, shared: bool) -> None:
    # L1: for what is affine everywhere the hull of the vertices and the vertices are the same.
    generator, latents = generator_of(family), family.latents(12)
    at_vertices = local_complexity(generator, latents, radius=0.3, shared_frame=shared, seed=5)
    closed = local_complexity(generator, latents, radius=0.3, shared_frame=shared, seed=5, estimator="frame")
    kept = [at_vertices.layers.index(name) for name in closed.layers]
    assert torch.equal(closed.by_layer, at_vertices.by_layer[:, kept])
    assert family.name == "linear" or closed.layers[:1] == at_vertices.layers[:1] != ()


@pytest.mark.parametrize("estimator", list(ComplexityEstimator))
def test_a_first_unit_counts_where_its_hyperplane_is_as_near_as_the_radius(estimator: ComplexityEstimator) -> None:
    module, latents = dense(5, 60, 7, seed=2).double(), random_latents(3, 50, 5, torch.float64)
    ball = estimator is ComplexityEstimator.BALL
    found = local_complexity(
        Generator.from_module(module, 5), latents, radius=0.2, directions=None if ball else 3, estimator=estimator
    )
    weight = module[0].weight.detach()
    with torch.no_grad():
        distance = module[0](latents).abs()
    if ball:
        assert found.frame is None
        assert found.directions == 0
        reach = 0.2 * weight.norm(dim=1)
    else:
        assert found.frame is not None
        reach = 0.2 * (weight @ found.frame.T).abs().amax(1)
    assert torch.equal(found.total, (distance <= reach).sum(1))
    assert 0 < found.total.double().mean() < 30


def extreme_places(latent: Tensor, gradients: Tensor, radius: float) -> Tensor:
    """Where in the ball each affine function with one of these gradients is largest and smallest."""
    lengths = gradients.norm(dim=1, keepdim=True)
    steps = radius * gradients[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]
    return torch.cat([latent[None], latent + steps, latent - steps])


def windows() -> Generator:
    """A max-pool, padded and overlapping, of an affine map of four numbers."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [nn.Linear(4, 24), nn.Unflatten(1, (2, 3, 4)), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 3)]
        return Generator.from_module(nn.Sequential(*layers), 4)


@pytest.mark.parametrize("name", ["windows", "extrema", "mlp", "hardtanh", "clamp", "joined", "learned_constant"])
def test_the_ball_counts_units_that_change_somewhere_in_it(name: str) -> None:
    # An affine function, or the lead of one entry over another, is extreme where its gradient leads to: there, and at
    # the centre, every state shows that shows in the ball.
    generator = (windows() if name == "windows" else generator_of(by_name(name))).to(precision=Precision.FLOAT64)
    dim = generator.latent_dim
    latents = random_latents(7, 8, dim, torch.float64)
    found = local_complexity(generator, latents, radius=0.25, estimator="ball")
    zero, axes = latents.new_zeros(1, dim), torch.eye(dim, dtype=torch.float64)
    entries: list[Tensor] = []

    def collect(node: Any, inputs: Any) -> None:
        if node.name == found.layers[0]:
            entries.append(torch.cat([value.flatten(1) for value in inputs], 1))

    generator.visit(torch.cat([zero, axes]), collect)
    gradients = (entries[0][1:] - entries[0][0]).T
    pairs = torch.combinations(torch.arange(len(gradients)))
    differences = gradients[pairs[:, 0]] - gradients[pairs[:, 1]]
    several = name in ("windows", "extrema")
    for latent, counts in zip(latents, found.by_layer, strict=True):
        seen = states(generator, extreme_places(latent, differences if several else gradients, 0.25))
        own = seen[:, : found.units[0]]
        assert int((own != own[0]).any(0).sum()) == int(counts[0])
    assert found.by_layer[:, 0].any()


@each_straight
def test_the_ball_counts_no_less_than_the_frame_inside_it(family: Family) -> None:
    generator, latents = generator_of(family), family.latents(20)
    frame = local_complexity(generator, latents, radius=0.3, directions=2, estimator="frame")
    ball = local_complexity(generator, latents, radius=0.3, estimator="ball")
    assert frame.layers == ball.layers
    assert (ball.by_layer >= frame.by_layer).all()


def test_a_scale_given_to_a_unit_and_taken_from_the_next_layer_changes_nothing() -> None:
    # L3
    module = dense(6, 30, 30, 9, seed=4).double()
    scaled = copy.deepcopy(module)
    scale = torch.rand(30, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4 + 0.1
    with torch.no_grad():
        scaled[0].weight.mul_(scale[:, None])
        scaled[0].bias.mul_(scale)
        scaled[2].weight.div_(scale)
    latents = random_latents(5, 60, 6, torch.float64)
    for estimator in ComplexityEstimator:
        found, wanted = (
            local_complexity(Generator.from_module(net, 6), latents, radius=0.3, estimator=estimator)
            for net in (scaled, module)
        )
        assert torch.equal(found.by_layer, wanted.by_layer)
        assert wanted.total.any()


@pytest.mark.parametrize("estimator", list(ComplexityEstimator))
def test_a_larger_radius_never_counts_less_in_the_first_layer(estimator: ComplexityEstimator) -> None:
    # L3
    family = by_name("hardtanh")
    radii = (0.01, 0.1, 0.3, 1.0, 3.0)
    counts = torch.stack(
        [
            local_complexity(generator_of(family), family.latents(50), radius=radius, estimator=estimator).by_layer
            for radius in radii
        ]
    )
    assert (counts[1:, :, 0] >= counts[:-1, :, 0]).all()
    assert counts[0].sum() < counts[-1].sum()


@pytest.mark.parametrize("estimator", list(ComplexityEstimator))
def test_a_linear_network_has_none(estimator: ComplexityEstimator) -> None:
    # L4
    found = local_complexity(generator_of(by_name("linear")), torch.randn(3, 6), radius=2.0, estimator=estimator)
    assert found.by_layer.shape == (3, 0)
    assert found.total.tolist() == [0, 0, 0]


def test_units_that_no_latent_bends_never_count() -> None:
    module = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 1))
    with torch.no_grad():
        module[0].weight.zero_()
        module[0].bias.copy_(torch.tensor([-1.0, 0.0, 0.0, 1.0, 2.0, 3.0]))
    for estimator in ComplexityEstimator:
        assert not local_complexity(
            Generator.from_module(module, 2), torch.randn(4, 2), radius=10.0, estimator=estimator
        ).total.any()


@pytest.mark.parametrize(("dim", "expected"), [(2, 2), (24, 24), (25, 25), (26, 25), (64, 25)])
def test_directions_left_open_are_said(dim: int, expected: int) -> None:
    generator = Generator.from_module(dense(dim, 8, 3, seed=1), dim)
    found = local_complexity(generator, random_latents(1, 2, dim), radius=0.1)
    assert (found.directions, found.default_directions) == (expected, True)
    assert found.frame is not None
    assert found.frame.shape == (expected, dim)
    chosen = local_complexity(generator, random_latents(1, 2, dim), radius=0.1, directions=min(dim, DEFAULT_DIRECTIONS))
    assert (chosen.directions, chosen.default_directions) == (expected, False)
    assert torch.equal(chosen.by_layer, found.by_layer)


def test_a_latents_own_frame_depends_on_its_number_alone() -> None:
    family = by_name("mlp")
    generator, latents = generator_of(family), family.latents(50)

    def found(start: int, end: int) -> Tensor:
        page = latents[start:end]
        return local_complexity(generator, page, radius=0.5, shared_frame=False, seed=9, start=start).by_layer

    whole = found(0, 50)
    assert torch.equal(torch.cat([found(0, 7), found(7, 8), found(8, 50)]), whole)
    for row in (0, 31):
        frame = random_frames(9, row, 1, 6, 6)[0]
        alone = local_complexity(generator, latents[row : row + 1], radius=0.5, frame=frame)
        assert torch.equal(alone.by_layer[0], whole[row])
    other = local_complexity(generator, latents, radius=0.5, shared_frame=False, seed=10)
    assert not torch.equal(other.by_layer, whole)


def test_given_frames_are_those_used() -> None:
    family = by_name("leaky")
    generator, latents = generator_of(family), family.latents(9)
    own = random_frames(4, 0, 9, 3, 6)
    found = local_complexity(generator, latents, radius=0.5, frame=own.float())
    assert torch.equal(found.total, one_by_one(generator, latents, own, 0.5).sum(1))
    assert (found.directions, found.default_directions, found.frame) == (3, False, None)
    shared = local_complexity(generator, latents, radius=0.5, frame=own[2], directions=3)
    assert shared.frame is not None
    assert torch.equal(shared.frame, own[2])
    assert torch.equal(shared.total, one_by_one(generator, latents, own[2:3], 0.5).sum(1))


@pytest.mark.parametrize("estimator", list(ComplexityEstimator))
def test_no_latents_have_no_counts(estimator: ComplexityEstimator) -> None:
    found = local_complexity(generator_of(by_name("mlp")), torch.zeros(0, 6), radius=0.5, estimator=estimator)
    assert found.total.shape == (0,)
    assert found.by_layer.shape == (0, len(found.layers))


def test_answers_may_be_written_to() -> None:
    found = local_complexity(generator_of(by_name("mlp")), torch.zeros(2, 6), radius=0.5)
    found.by_layer.add_(1)
    found.total.add_(1)


@pytest.mark.parametrize("name", ["dcgan", "pooled", "extrema", "residual"])
@pytest.mark.parametrize("estimator", list(ComplexityEstimator))
def test_a_tight_bound_on_memory_counts_the_same(name: str, estimator: ComplexityEstimator) -> None:
    family = by_name(name)
    generator, latents = generator_of(family), family.latents(4)
    free = local_complexity(generator, latents, radius=0.4, estimator=estimator)
    with pytest.raises(OutOfMemory, match="raise max_memory") as caught:
        local_complexity(generator, latents, radius=0.4, estimator=estimator, max_memory=100)
    least = int(caught.value.metadata["needed_bytes"])
    for bound in (least, 3 * least, 40 * least):
        try:
            found = local_complexity(generator, latents, radius=0.4, estimator=estimator, max_memory=bound)
        except OutOfMemory as again:  # the Jacobian fits, one latent does not
            found = local_complexity(
                generator, latents, radius=0.4, estimator=estimator, max_memory=int(again.metadata["needed_bytes"])
            )
        assert torch.equal(found.by_layer, free.by_layer)


@pytest.mark.parametrize("estimator", list(ComplexityEstimator))
def test_it_stops_when_asked_to(estimator: ComplexityEstimator) -> None:
    asked = iter([False, True, True])
    generator = Generator.from_module(dense(6, 4000, 4, seed=1), 6)
    with pytest.raises(Cancelled):
        local_complexity(
            generator, random_latents(1, 3000, 6), radius=0.5, estimator=estimator, should_stop=lambda: next(asked)
        )
    assert next(asked, "all asked") is True


def test_a_conditional_generator_answers_for_one_condition() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Concatenated().eval()
    generator = Generator.from_module(module, 3, condition=torch.eye(4))
    latents = random_latents(2, 30, 3, torch.float64)
    with pytest.raises(InvalidInput) as caught:
        local_complexity(generator, latents, radius=0.5)
    assert caught.value.field == "condition"
    found = local_complexity(generator.conditioned(2), latents, radius=0.5, estimator="ball")
    weight, bias = module.body[0].weight.detach().double(), module.body[0].bias.detach().double()
    distance = (latents @ weight[:, :3].T + weight[:, 3 + 2] + bias).abs()
    assert torch.equal(found.total, (distance <= 0.5 * weight[:, :3].norm(dim=1)).sum(1))


@pytest.mark.parametrize("name", ["smooth_inside", "pixel_norm", "attention"])
def test_smooth_operations_inside_are_refused_by_name(name: str) -> None:
    with pytest.raises(Refused) as caught:
        local_complexity(generator_of(by_name(name)), torch.zeros(1, 6), radius=0.1)
    assert caught.value.reason == "NOT_PIECEWISE_AFFINE"


def turned(angle: float) -> Tensor:
    return torch.tensor([[1.0, 0.0], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("radius", {"radius": 0.0}),
        ("radius", {"radius": -1.0}),
        ("radius", {"radius": math.nan}),
        ("radius", {"radius": math.inf}),
        ("directions", {"directions": 0}),
        ("directions", {"directions": 3}),
        ("directions", {"directions": 1, "frame": torch.eye(2)}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 2**64}),
        ("start", {"start": -1}),
        ("estimator", {"estimator": "cube"}),
        ("estimator", {"estimator": "ball", "directions": 2}),
        ("estimator", {"estimator": "ball", "frame": torch.eye(2)}),
        ("frame", {"frame": torch.eye(3)}),
        ("frame", {"frame": torch.eye(2)[:0]}),
        ("frame", {"frame": torch.ones(2)}),
        ("frame", {"frame": torch.eye(2).expand(4, 2, 2)}),
        ("frame", {"frame": turned(1e-3)}),
        ("frame", {"frame": 1.001 * torch.eye(2)}),
        ("frame", {"frame": torch.full((2, 2), math.nan)}),
        ("latents", {"latents": torch.zeros(3, 3)}),
        ("latents", {"latents": torch.zeros(2)}),
        ("latents", {"latents": torch.tensor([[0.0, math.nan]])}),
        ("latents", {"latents": torch.tensor([[0.0, math.inf]])}),
    ],
)
def test_what_cannot_be_is_refused_by_field(field: str, given: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"latents": torch.zeros(3, 2), "radius": 0.1, **given}
    generator = Generator.from_module(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), 2)
    with pytest.raises(InvalidInput) as caught:
        local_complexity(generator, **arguments)
    assert caught.value.field == field


@pytest.mark.parametrize("make", [lambda: turned(1e-6), lambda: torch.eye(2).flip(0)])
def test_frames_within_the_rounding_of_float32_are_taken(make: Callable[[], Tensor]) -> None:
    generator = Generator.from_module(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), 2)
    assert local_complexity(generator, torch.zeros(1, 2), radius=0.1, frame=make()).directions == 2


@pytest.mark.skipif(not os.access(FORGET, os.W_OK), reason="the peak of the resident set cannot be measured here")
@pytest.mark.parametrize(("kind", "bound"), [("transposed", 24 << 20), ("pooled", 12 << 20)])
def test_the_peak_stays_within_the_bound(kind: str, bound: int) -> None:
    command = [sys.executable, "-m", "tests.geometry.peak_complexity", kind, str(bound)]
    # Freed memory goes back at once, so that what is resident is what is held.
    given = {**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_MMAP_THRESHOLD_": str(1 << 18), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=True)
    growth = json.loads(ran.stdout)["growth"]
    # Some MiB are the allocator's own; an estimate that forgot a layer is off by much more.
    assert bound / 4 < growth <= bound + 2**22
