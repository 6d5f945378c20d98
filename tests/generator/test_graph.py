"""Lowering: what is folded, renamed, dropped, overwritten and refused; and the digest."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import DamagedData, MagnetError, UnsupportedOperation
from magnet_service.generator import Generator, Precision, export_module, export_program, lower, read_archive
from magnet_service.generator.interpreter import ALLOWED
from magnet_service.generator.operations import FOLDABLE, REPEATABLE, TARGETS
from magnet_service.generator.program import Argument, BatchSize, Call, Constant, Program, Value
from tests.generator.example import program_of
from tests.generator.examples import EXAMPLES
from tests.generator.families import FAMILIES, Family, by_name, generator_of

Z, H, ROWS = Value("z"), Value("h"), BatchSize()
Step = tuple[str, Mapping[str, Argument]]


def program(*steps: Step, shape: tuple[int, ...] = (6,), constants: Mapping[str, Tensor] | None = None) -> Program:
    """Calls that define h, then out; the last defines out."""
    names = [*(["h"] * (len(steps) - 1)), "out"] if len(steps) < 3 else ["g", *(["h"] * (len(steps) - 2)), "out"]
    calls = tuple(
        Call(f"aten.{target}", arguments, (name,), f"call {index} of {len(steps)} ({name})")
        for index, ((target, arguments), name) in enumerate(zip(steps, names, strict=True), 1)
    )
    return Program("z", shape, "out", calls, constants or {}, None)


W = {"w": torch.ones(6, 6)}
REFUSED: tuple[tuple[str, Program, str], ...] = (
    ("unknown", program(("fft_fft.default", {"self": Z})), "not in the table"),
    ("random", program(("randn_like.default", {"self": Z})), "not in the table"),
    ("rows mixed by a view", program(("view.default", {"self": Z, "size": (-1, 3)})), "rows must stay independent"),
    ("rows mixed by sizes", program(("view.default", {"self": Z, "size": (2, 3)})), "keep the batch in front"),
    ("rows mixed by a mean", program(("mean.dim", {"self": Z, "dim": (0,)})), "rows must stay independent"),
    ("rows joined", program(("cat.default", {"tensors": (Z, Z), "dim": 0})), "rows must stay independent"),
    ("rows sliced", program(("slice.Tensor", {"self": Z, "dim": 0, "start": 0, "end": 2})), "independent"),
    ("rows flipped", program(("flip.default", {"self": Z, "dims": (0,)})), "independent"),
    ("rows repeated", program(("repeat.default", {"self": Z, "repeats": (2, 1)})), "repeated"),
    ("batch moved", program(("permute.default", {"self": Z, "dims": (1, 0)})), "batch away from the front"),
    ("batch transposed", program(("transpose.int", {"self": Z, "dim0": 0, "dim1": 1})), "independent"),
    ("dropout in training", program(("dropout.default", {"input": Z, "p": 0.5, "train": True})), "evaluation mode"),
    (
        "batch norm in training",
        program(("batch_norm.default", {"input": Z, "training": True, "eps": 1e-5})),
        "evaluation mode",
    ),
    ("batch norm without statistics", program(("batch_norm.default", {"input": Z, "training": False})), "statistics"),
    ("rounding inside", program(("to.dtype", {"self": Z, "dtype": "float16"})), "rounds what is computed"),
    ("random slopes", program(("rrelu.default", {"self": Z, "training": True})), "evaluation mode"),
    ("weight from the latent", program(("linear.default", {"input": Z, "weight": Z})), "depends on the latent"),
    (
        "product of values",
        program(("matmul.default", {"self": Z, "other": Z})),
        "both factors depend on the latent",
    ),
    ("a jump", program(("threshold.default", {"self": Z, "threshold": 0.0, "value": 1.0})), "not continuous"),
    ("a step", program(("div.Tensor_mode", {"self": Z, "other": 2.0, "rounding_mode": "floor"})), "not continuous"),
    ("empty bounds", program(("clamp.default", {"self": Z, "min": 1.0, "max": -1.0})), "nothing between"),
    (
        "a general choice",
        program(("gt.Scalar", {"self": Z, "other": 0}), ("where.self", {"condition": H, "self": Z, "other": Z})),
        "form of a leaky unit",
    ),
    (
        "a mask as a number",
        program(("gt.Scalar", {"self": Z, "other": 0}), ("mul.Tensor", {"self": Z, "other": H})),
        "used as a number",
    ),
    ("an index from the latent", program(("index.Tensor", {"self": Z, "indices": (None, Z)})), "only constant ones"),
    (
        "a weight that does not fit",
        program(("linear.default", {"input": Z, "weight": Constant("w")}), constants={"w": torch.ones(3, 4)}),
        "does not fit",
    ),
    (
        "rows that do not align",
        program(("view.default", {"self": Z, "size": (-1, 2, 3)}), ("add.Tensor", {"self": H, "other": Z})),
        "do not align",
    ),
    (
        "shapes that do not broadcast",
        program(("slice.Tensor", {"self": Z, "dim": 1, "start": 2}), ("add.Tensor", {"self": H, "other": Z})),
        "do not fit",
    ),
    ("a number where a tensor is due", program(("relu.default", {"self": 3})), "a tensor is expected"),
    (
        "a word where a number is due",
        program(("leaky_relu.default", {"self": Z, "negative_slope": "a"})),
        "a number is expected",
    ),
    ("a constant without rows", program(("relu.default", {"self": Constant("w")}), constants=W), "without rows"),
    (
        "a huge constant",
        program(("full.default", {"size": (10**6, 10**6), "fill_value": 0}), ("add.Tensor", {"self": Z, "other": H})),
        "too large",
    ),
    (
        "an output without latent",
        program(("full.default", {"size": (2, 2), "fill_value": 0})),
        "no value of the latent",
    ),
)


@pytest.mark.parametrize(("given", "phrase"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refusals_name_the_operation_and_its_place(given: Program, phrase: str) -> None:
    with pytest.raises(UnsupportedOperation, match=phrase) as caught:
        lower(given)
    if phrase != "no value of the latent":
        assert caught.value.metadata["operation"] in {call.target for call in given.calls}
        assert caught.value.metadata["place"] in caught.value.message
        assert caught.value.metadata["operation"] in caught.value.message


def test_a_name_that_nothing_defines_is_damage() -> None:
    with pytest.raises(DamagedData, match="'nowhere', which nothing defines"):
        lower(program(("relu.default", {"self": Value("nowhere")})))
    with pytest.raises(DamagedData, match="does not define its output"):
        lower(replace(program(("relu.default", {"self": Z})), output="nowhere"))


def test_copies_and_dropout_leave_no_node_and_dead_nodes_are_dropped() -> None:
    given = program(
        ("tanh.default", {"self": Z}),
        ("dropout.default", {"input": Z, "p": 0.5, "train": False}),
        ("clone.default", {"self": H}),
        ("relu.default", {"self": H}),
    )
    graph = lower(given)
    assert [(node.operation, node.inputs) for node in graph.nodes] == [("relu", (0,))]


def test_a_call_in_place_renames_its_argument() -> None:
    class InPlace(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            hidden = latents * 2
            bent = hidden.relu_()
            return torch.cat([hidden, bent, hidden.mul_(3.0)], 1)

    generator = Generator.from_module(InPlace(), 4)
    latents = torch.tensor([[1.0, -1.0, 2.0, -2.0]])
    assert generator.forward(latents).tolist() == InPlace()(latents).tolist()


def test_a_view_that_was_written_over_is_refused_and_the_other_way_round() -> None:
    class Through(nn.Module):
        def __init__(self, first: bool) -> None:
            super().__init__()
            self.first = first

        def forward(self, latents: Tensor) -> Tensor:
            hidden = latents * 2
            seen = hidden.view(-1, 2, 2)
            (hidden if self.first else seen).relu_()
            return (seen.flatten(1) if self.first else hidden) + 1

    for first in (True, False):
        with pytest.raises(UnsupportedOperation, match="written over"):
            Generator.from_module(Through(first), 4)


def test_constants_are_folded_in_float64() -> None:
    family = by_name("folded")
    graph = generator_of(family).graph
    assert [node.operation for node in graph.nodes] == ["linear", "relu", "linear"]
    assert all(tensor.dtype == torch.float64 for node in graph.nodes for tensor in node.tensors.values())


def test_a_constant_for_every_row_joins_the_operation_that_reads_it() -> None:
    operations = [node.operation for node in generator_of(by_name("learned_constant")).graph.nodes]
    assert "constant" not in operations
    assert "product" not in operations


def test_the_digest_knows_weights_and_structure_but_neither_names_nor_files(tmp_path: Path) -> None:
    def exported(module: nn.Module, name: str) -> str:
        export_module(module, 6, tmp_path / name, outputs_probe=False)
        return Generator.from_program(read_archive(tmp_path / name)).digest

    family = by_name("mlp")
    module = family.build()
    digest = exported(module, "first.pt2")
    assert exported(Renamed(module), "second.pt2") == digest
    assert exported(family.build(seed=1), "third.pt2") != digest
    assert exported(nn.Sequential(*module, nn.ReLU()), "fourth.pt2") != digest
    assert Generator.from_program(read_archive(tmp_path / "first.pt2")).digest == digest
    nudged = family.build()
    with torch.no_grad():
        nudged[0].weight[0, 0].mul_(1 + 1e-15)
    assert exported(nudged, "fifth.pt2") != digest


class Renamed(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.zebra = nn.ParameterDict({"unused": nn.Parameter(torch.ones(3, dtype=torch.float64))})
        self.aardvark = module

    def forward(self, latents: Tensor) -> Tensor:
        return self.aardvark(latents)


def test_the_digest_does_not_depend_on_layout_or_order_of_constants() -> None:
    for example in EXAMPLES:
        if not example.constants:
            continue
        given = program_of(example)
        turned = {
            name: tensor.transpose(0, -1).contiguous().transpose(0, -1)
            for name, tensor in reversed(list(given.constants.items()))
        }
        assert lower(replace(given, constants=turned)).digest() == lower(given).digest()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_node_reads_earlier_values_and_the_last_is_the_output(family: Family) -> None:
    graph = generator_of(family).graph
    for index, node in enumerate(graph.nodes):
        assert all(0 <= source <= index for source in node.inputs)
    read = {source for node in graph.nodes for source in node.inputs}
    assert read >= set(range(1, len(graph.nodes)))


def mutated(argument: Argument, source: random.Random) -> Argument:
    if isinstance(argument, tuple) and argument and source.random() < 0.6:
        place = source.randrange(len(argument))
        return (*argument[:place], mutated(argument[place], source), *argument[place + 1 :])
    odd: tuple[Argument, ...] = (
        None, True, -1, 0, 1, 2, 7, 10**9, -(10**9), 0.5, float("nan"), float("inf"), "", "same", (), (1,), (0, 0),
        (-1, -1), (10**6, 10**6), ROWS, (ROWS, 2), Z, (Z, Z), (None, Z), Constant("w"),
    )  # fmt: skip
    return source.choice(odd)


def test_arguments_that_make_no_sense_are_refused_and_never_crash() -> None:
    source = random.Random(7)
    lowered = refused = 0
    for example in EXAMPLES:
        for _ in range(12):
            given = program_of(example)
            call = given.calls[-1]
            name = source.choice(sorted(call.arguments))
            arguments = {**call.arguments, name: mutated(call.arguments[name], source)}
            if source.random() < 0.2:
                del arguments[name]
            constants = {"w": torch.ones(2, 3), **given.constants}
            calls = (*given.calls[:-1], replace(call, arguments=arguments))
            try:
                lower(replace(given, calls=calls, constants=constants))
                lowered += 1
            except MagnetError:
                refused += 1
    assert lowered > 100
    assert refused > 500


def test_whatever_the_table_takes_the_reference_takes_too() -> None:
    assert (set(TARGETS) | FOLDABLE | REPEATABLE) <= ALLOWED


def test_a_three_dimensional_dense_layer_is_one_node() -> None:
    module = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Linear(3, 4), nn.Flatten())
    generator = Generator.from_module(module, 6).to(precision=Precision.FLOAT64)
    assert [node.operation for node in generator.graph.nodes] == ["view", "linear", "view"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_places_in_refusals_are_those_of_the_file() -> None:
    class Cumulative(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return torch.cumsum(latents * 2, 1)

    assert export_program(Cumulative(), 4)
    with pytest.raises(UnsupportedOperation, match=r"aten\.cumsum\.default at call 2 of 2 \(cumsum\)"):
        Generator.from_module(Cumulative(), 4)
