"""Conditional generators: lowered for one condition, against the modules themselves."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from magnet_service.errors import InvalidInput, Refused, RefusedArchive
from magnet_service.generator import (
    Generator,
    Precision,
    activation_pattern,
    export_module,
    export_program,
    interpret,
    lower,
    read_archive,
    read_probe,
    write_archive,
)
from magnet_service.generator.conditional import bound
from magnet_service.generator.program import Program
from tests.generator.conditional_nets import CLASSES, LATENT, NETS, WIDTH, example_of, module_of


def latents(rows: int = 6) -> torch.Tensor:
    return torch.randn(rows, LATENT, generator=torch.Generator().manual_seed(3))


def exported(name: str, folder: Path, *, decomposed: bool = False) -> Program:
    path = folder / "generator.pt2"
    program = export_program(module_of(name), LATENT, condition=example_of(name))
    if decomposed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about its own internals
            program = program.run_decompositions()
    write_archive(program, path)
    return read_archive(path)


@pytest.mark.parametrize("decomposed", [False, True], ids=["as exported", "decomposed"])
@pytest.mark.parametrize("name", NETS)
def test_every_condition_gives_what_the_module_gives(name: str, decomposed: bool, tmp_path: Path) -> None:
    program = exported(name, tmp_path, decomposed=decomposed)
    generator = Generator.from_program(program)
    module = module_of(name).double()
    z = latents().double()
    for condition in example_of(name):
        rows = condition.expand(len(z), *condition.shape)
        rows = rows if rows.dtype == torch.int64 else rows.double()
        expected = module(z, rows).detach()
        chosen = generator.conditioned(condition).to(precision=Precision.FLOAT64)
        assert torch.allclose(chosen.forward(z), expected, rtol=1e-9, atol=1e-9)
        assert torch.allclose(interpret(program, z, rows), expected, rtol=1e-9, atol=1e-9)
        assert torch.allclose(interpret(bound(program, condition), z), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", NETS)
def test_the_jacobian_is_with_respect_to_the_latent_alone(name: str) -> None:
    generator = Generator.from_module(module_of(name), LATENT, condition=example_of(name))
    module, z = module_of(name).double(), latents(2).double()
    condition = example_of(name)[-1]
    chosen = generator.conditioned(condition).to(precision=Precision.FLOAT64)
    _, tangents = chosen.push(z)
    held = condition.double() if condition.is_floating_point() else condition
    for row, found in zip(z, tangents, strict=True):
        expected = torch.autograd.functional.jacobian(lambda x: module(x[None], held[None]).flatten(), row)
        assert found.shape == (LATENT, chosen.output_dim)
        assert torch.allclose(found, expected.T, rtol=1e-6, atol=1e-8)
    assert chosen.piecewise_affine
    assert activation_pattern(chosen, z).shape == (2, chosen.units)


def test_a_graph_of_one_condition_is_as_small_as_an_unconditional_one() -> None:
    graph = Generator.from_module(module_of("scaled-by-class"), LATENT, condition=example_of("scaled-by-class"))
    names = [node.operation for node in graph.conditioned(2).graph.nodes]
    assert names == ["linear", "view", "batch_norm", "multiply", "shift", "relu", "upsample", "convolution", "tanh"]


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT64])
def test_weights_are_shared_between_conditions(precision: Precision) -> None:
    generator = Generator.from_module(module_of("scaled-by-class"), LATENT, condition=example_of("scaled-by-class"))
    first, last = (generator.conditioned(index).to(precision=precision) for index in (0, 3))
    shared = {"linear", "batch_norm", "convolution"}
    for node, ours, theirs in zip(first.graph.nodes, first.constants, last.constants, strict=True):
        if node.operation in shared:
            assert ours
            assert all(ours[role].data_ptr() == theirs[role].data_ptr() for role in ours)
    assert not torch.equal(first.constants[3]["factor"], last.constants[3]["factor"])


def test_the_digest_is_that_of_the_open_program(tmp_path: Path) -> None:
    one = Generator.from_program(exported("embedded", tmp_path))
    again = Generator.from_module(module_of("embedded"), LATENT, condition=torch.arange(2))
    other = Generator.from_module(module_of("embedded", seed=1), LATENT, condition=torch.arange(2))
    assert one.digest == again.digest == one.conditioned(0).digest == one.conditioned(3).digest
    assert other.digest != one.digest
    assert len(one.digest) == 64


def test_few_conditions_are_kept_and_all_are_right() -> None:
    generator = Generator.from_module(module_of("concatenated"), LATENT, condition=example_of("concatenated"))
    assert generator.conditioned(1) is generator.conditioned(1)
    z, kept = latents(), generator.conditioned(0).forward(latents())
    for step in range(100):
        generator.conditioned([float(step), 0.0, 0.0, 0.0])
    source = generator._conditional
    assert source is not None
    assert len(source.recent) == source.kept == 64
    assert torch.equal(generator.conditioned(0).forward(z), kept)


def test_a_class_and_its_one_hot_vector_are_one_condition() -> None:
    generator = Generator.from_module(module_of("concatenated"), LATENT, condition=example_of("concatenated"))
    assert generator.conditioned(2) is generator.conditioned([0.0, 0.0, 1.0, 0.0])


def test_an_open_generator_says_what_to_write() -> None:
    generator = Generator.from_module(module_of("embedded"), LATENT, condition=example_of("embedded"))
    assert generator.condition is None
    assert generator.condition_input is not None
    assert generator.output_shape == (1, 4, 4)
    for ask in (generator.forward, generator.push, lambda z: activation_pattern(generator, z)):
        with pytest.raises(InvalidInput, match=r"generator\.conditioned\(condition\)") as caught:
            ask(latents())
        assert caught.value.field == "condition"


@pytest.mark.parametrize(
    ("name", "condition", "message"),
    [
        ("embedded", CLASSES, "does not take that index"),
        ("embedded", -1, "0 or more"),
        ("embedded", [0.5], "an index"),
        ("embedded", [1.0, 2.0], "one integer"),
        ("concatenated", CLASSES, "a class from 0 to 3"),
        ("concatenated", [1.0, 0.0], f"takes {WIDTH} finite"),
        ("concatenated", [1.0, 0.0, 0.0, float("nan")], "finite"),
        ("mapped-vector", [1.0] * 5, "5 numbers"),
    ],
)
def test_conditions_that_do_not_fit(name: str, condition: object, message: str) -> None:
    generator = Generator.from_module(module_of(name), LATENT, condition=example_of(name))
    with pytest.raises(InvalidInput, match=message) as caught:
        generator.conditioned(condition)  # type: ignore[arg-type]  # what a careless caller writes
    assert caught.value.field == "condition"


def test_an_unconditional_generator_takes_no_condition(tmp_path: Path) -> None:
    plain = Generator.from_module(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), 2)
    assert plain.condition_input is None
    with pytest.raises(InvalidInput, match="takes no condition"):
        plain.conditioned(0)
    program = exported("embedded", tmp_path)
    with pytest.raises(InvalidInput, match=r"shape \[\]\); give one"):
        lower(program)
    with pytest.raises(InvalidInput, match=r"type torch\.float32 and shape \[3\]"):
        lower(program, torch.ones(3))
    with pytest.raises(InvalidInput, match="given as conditions"):
        interpret(program, latents())


def test_the_probe_holds_the_conditions_of_its_rows(tmp_path: Path) -> None:
    export_module(module_of("embedded"), LATENT, tmp_path / "a.pt2", condition=example_of("embedded"))
    probe = read_probe(tmp_path / "a.probe.npz")
    assert probe is not None
    assert probe.conditions is not None
    assert torch.equal(probe.conditions[: CLASSES + 1], torch.tensor([0, 1, 2, 3, 0]))
    assert torch.allclose(module_of("embedded")(probe.latents, probe.conditions), probe.outputs, atol=1e-6)


class TwoConditions(nn.Module):
    def forward(self, latents: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return latents + first + second


class LabelsFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = module_of("embedded")

    def forward(self, labels: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        return self.net(latents, labels)


def saved(module: nn.Module, given: tuple[torch.Tensor, ...], path: Path) -> Path:
    batch = {0: torch.export.Dim("batch")}
    write_archive(torch.export.export(module.eval(), given, dynamic_shapes=(batch,) * len(given)), path)
    return path


def test_an_index_before_the_latent_is_the_condition_all_the_same(tmp_path: Path) -> None:
    program = read_archive(saved(LabelsFirst(), (torch.arange(3), latents(3)), tmp_path / "a.pt2"))
    assert program.latent_shape == (LATENT,)
    assert program.condition is not None
    assert program.condition.shape == ()


def test_three_inputs_and_conditions_without_rows_are_refused(tmp_path: Path) -> None:
    z = latents(3)
    with pytest.raises(RefusedArchive, match="at most one condition"):
        read_archive(saved(TwoConditions(), (z, z, z), tmp_path / "a.pt2"))
    tables = (torch.randint(0, 2, (3, 2)),)
    wide = nn.Module()
    wide.forward = lambda latents, table: latents + table.sum(1, keepdim=True)  # type: ignore[method-assign]  # short
    with pytest.raises(RefusedArchive, match="holds \\[2\\] integers a row"):
        read_archive(saved(wide, (z, *tables), tmp_path / "b.pt2"))


class Noisy(nn.Module):
    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return latents + torch.randn_like(latents)


class Counting(nn.Module):
    """Batch norm and dropout: only evaluation mode is a function of the latent."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(LATENT, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.body(latents)


def test_a_module_in_training_is_taken_in_evaluation_and_left_as_it_was() -> None:
    module = Counting().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    generator = Generator.from_module(module, latent_dim=LATENT)
    assert module.training
    assert all(part.training for part in module.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert torch.allclose(generator.forward(latents()), module.eval()(latents()), atol=1e-6)


def test_noise_inside_is_refused() -> None:
    with pytest.raises(Refused, match="draws noise inside") as caught:
        Generator.from_module(Noisy(), latent_dim=LATENT)
    assert caught.value.reason == "NOISE_INSIDE"


def test_weights_that_are_no_numbers_are_refused_by_name() -> None:
    module = Counting()
    with torch.no_grad():
        module.body[4].weight[1, 2] = float("nan")
    with pytest.raises(Refused, match=r"body\.4\.weight' holds 1 entries that are not a number") as caught:
        Generator.from_module(module, latent_dim=LATENT)
    assert caught.value.reason == "NOT_FINITE"


def test_examples_of_conditions_that_no_module_takes() -> None:
    for wrong in (torch.ones(2, dtype=torch.bool), torch.ones(0, WIDTH)):
        with pytest.raises(InvalidInput, match="one a row"):
            Generator.from_module(module_of("embedded"), LATENT, condition=wrong)
    for name, one in (("embedded", torch.tensor(3)), ("concatenated", torch.eye(WIDTH)[1])):
        assert Generator.from_module(module_of(name), LATENT, condition=one).condition_input is not None
    with pytest.raises(InvalidInput, match="and conditions of shape"):
        Generator.from_module(module_of("concatenated"), LATENT, condition=torch.ones(2, WIDTH + 1))
