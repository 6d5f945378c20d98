"""Every operator of the table against torch's own, called by name, and against autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from magnet_service.generator import TABLE, Generator, Kind, Node, Precision, activation_pattern, lower
from magnet_service.generator.operations import TARGETS
from magnet_service.generator.program import Value
from tests.generator.example import Example, oracle, program_of
from tests.generator.examples import EXAMPLES
from tests.generator.families import FAMILIES, generator_of

ROWS = 3


def ident(example: Example) -> str:
    return example.target


def straight(example: Example) -> bool:
    kinds = {TABLE[node.operation].kind for node in lower(program_of(example)).nodes}
    return kinds <= {Kind.AFFINE, Kind.STRUCTURAL}


def kinked(example: Example) -> bool:
    return any(TABLE[node.operation].kind is Kind.PIECEWISE_LINEAR for node in lower(program_of(example)).nodes)


def double(example: Example, before: float | None = None) -> Generator:
    return Generator.from_program(program_of(example, before)).to(precision=Precision.FLOAT64)


def autograd(example: Example, latents: Tensor) -> Tensor:
    """[rows, latent, output] by one reverse pass for every output of every row."""
    rows = []
    for latent in latents:
        jacobian = torch.autograd.functional.jacobian(lambda z: oracle(example, z[None]).flatten(), latent)
        rows.append(jacobian.reshape(-1, math.prod(example.shape)).T)
    return torch.stack(rows)


def test_every_target_has_an_example() -> None:
    assert {f"aten.{example.target}" for example in EXAMPLES} == set(TARGETS)


def test_every_entry_stands_in_a_family() -> None:
    met = {node.operation for family in FAMILIES for node in generator_of(family).graph.nodes}
    assert met | {"identity"} == set(TABLE)


def test_every_target_belongs_to_one_entry() -> None:
    assert sum(len(operation.targets) for operation in TABLE.values()) == len(TARGETS)
    assert all(TABLE[operation.name] is operation for operation in TARGETS.values())


@pytest.mark.parametrize("example", EXAMPLES, ids=ident)
def test_values_are_those_of_torch_and_tangents_those_of_autograd(example: Example) -> None:
    latents = example.latents(ROWS)
    expected = oracle(example, latents)
    generator = double(example)
    found = generator.forward(latents.flatten(1))
    values, tangents = generator.push(latents.flatten(1))
    assert found.shape == expected.shape
    assert torch.equal(values, found.flatten(1) if found.dim() > 1 else found.unsqueeze(1))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(tangents, autograd(example, latents), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("example", EXAMPLES, ids=ident)
def test_tangents_in_place_and_for_every_row_are_the_same(example: Example) -> None:
    latents = example.latents(ROWS).flatten(1)
    _, expected = double(example).push(latents)
    behind = double(example, before=2.0)
    directions = torch.eye(latents.shape[1], dtype=torch.float64).repeat(ROWS, 1, 1)
    kept = directions.clone()
    for given in (None, directions):
        _, found = behind.push(latents / 2, given)
        torch.testing.assert_close(found, 2 * expected, rtol=1e-13, atol=1e-13)
    assert torch.equal(directions, kept)


@pytest.mark.parametrize("example", EXAMPLES, ids=ident)
def test_states_are_as_many_as_units(example: Example) -> None:
    generator = double(example)
    states = activation_pattern(generator, example.latents(ROWS).flatten(1))
    assert states.shape == (ROWS, generator.units)
    kinds = {entry.kind for entry in generator.summary}
    assert (generator.units > 0) == (Kind.PIECEWISE_LINEAR in kinds)


def test_piecewise_linear_entries_and_no_others_have_states() -> None:
    for operation in TABLE.values():
        assert (operation.states is None) == (operation.kind is not Kind.PIECEWISE_LINEAR)


@pytest.mark.parametrize("example", [example for example in EXAMPLES if straight(example)], ids=ident)
def test_affine_entries_have_no_curvature(example: Example) -> None:
    generator = double(example)
    first, second = (example.latents(1, seed).flatten(1) for seed in (5, 6))
    ends = generator.forward(first) + generator.forward(second)
    torch.testing.assert_close(ends / 2, generator.forward((first + second) / 2), rtol=1e-12, atol=1e-12)


def test_derivative_of_tanh_keeps_its_relative_accuracy_when_saturated() -> None:
    example = next(example for example in EXAMPLES if example.target == "tanh.default")
    latents = torch.full((1, math.prod(example.shape)), 18.0)
    generator = Generator.from_program(program_of(example))
    _, tangents = generator.push(latents)
    expected = 4.0 * math.exp(-36.0)
    assert generator.forward(latents).eq(1.0).all()  # so 1 - y^2 would be 0
    torch.testing.assert_close(tangents[0].diagonal(), torch.full_like(latents[0], expected), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize(
    ("target", "arguments", "state", "slope"),
    [
        ("relu.default", {}, 0, 0.0),
        ("leaky_relu.default", {"negative_slope": 0.25}, 0, 0.25),
        ("abs.default", {}, 0, -1.0),
        ("hardtanh.default", {"min_val": 0.0, "max_val": 1.0}, 0, 0.0),
        ("clamp_max.default", {"max": 0.0}, 0, 1.0),
    ],
)
def test_a_unit_at_its_breakpoint_takes_the_lower_state(
    target: str, arguments: dict[str, float], state: int, slope: float
) -> None:
    example = Example(target, (1,), ((target, {"self": Value("z"), **arguments}, ("out",)),))
    generator = double(example)
    at = torch.zeros(1, 1, dtype=torch.float64)
    assert activation_pattern(generator, at).item() == state
    assert generator.push(at)[1].item() == slope
    above = torch.full((1, 1), 1e-300, dtype=torch.float64)
    assert activation_pattern(generator, above).item() == state + 1


def test_of_equal_entries_a_pool_takes_the_first() -> None:
    example = next(example for example in EXAMPLES if example.target == "max_pool2d.default")
    generator = double(example)
    places = activation_pattern(generator, torch.zeros(1, generator.latent_dim, dtype=torch.float64))
    first = places.reshape(generator.output_shape)[0]
    assert first[0].tolist() == [0, 0, 1, 2, 3, 4, 5][: first.shape[1]]


@pytest.mark.parametrize("example", [example for example in EXAMPLES if kinked(example)], ids=ident)
def test_pieces_end_at_breakpoints_or_where_contenders_tie(example: Example) -> None:
    generator = double(example)
    latents = example.latents(ROWS).flatten(1)
    checked = 0

    def check(node: Node, inputs: Sequence[Tensor]) -> None:
        nonlocal checked
        operation = TABLE[node.operation]
        assert (operation.breakpoints is None) != (operation.contenders is None)
        assert operation.states is not None
        states = operation.states(node, inputs).flatten(1)
        if operation.breakpoints is not None:
            limits = operation.breakpoints(node)
            assert list(limits) == sorted(limits)
            assert torch.equal(states.long(), sum((inputs[0].flatten(1) > limit).long() for limit in limits))
        if operation.contenders is not None:
            shapes = [tuple(value.shape[1:]) for value in inputs]
            places = operation.contenders(node, shapes)
            assert places.shape[0] == states.shape[1]
            largest = bool(node.attributes.get("largest", True))
            worst = -torch.inf if largest else torch.inf
            joined = torch.cat([value.flatten(1) for value in inputs], 1)
            entries = joined[:, places.clamp(min=0)].masked_fill(places < 0, worst)
            found = entries.amax(-1) if largest else entries.amin(-1)
            constants = generator.constants[generator.graph.nodes.index(node)]
            assert torch.equal(found, operation.forward(node, inputs, constants).flatten(1))
        checked += 1

    generator.visit(latents, check)
    assert checked
