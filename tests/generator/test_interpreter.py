"""The reference interpreter: a closed list of operators, faithful to dtype, and nothing given to it changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from magnet_service.errors import DamagedData, InvalidInput, UnsupportedOperation
from magnet_service.generator.archive import read_archive
from magnet_service.generator.interpreter import ALLOWED, interpret
from magnet_service.generator.operations import FOLDABLE, TABLE
from tests.generator import crafted


def test_every_allowed_name_is_an_operator_of_torch() -> None:
    for target in sorted(ALLOWED):
        _, name, overload = target.split(".")
        assert callable(getattr(getattr(torch.ops.aten, name), overload))


def test_no_allowed_operator_draws_random_numbers_or_reads_files() -> None:
    # rrelu draws in training mode only, and that is refused.
    for target in sorted(ALLOWED - {"aten.rrelu.default"}):
        _, name, overload = target.split(".")
        schema = getattr(getattr(torch.ops.aten, name), overload)._schema
        assert not any("Generator" in str(argument.type) for argument in schema.arguments), target


def test_double_latents_give_a_double_run(tmp_path: Path) -> None:
    module = crafted.small()
    read = read_archive(crafted.saved(crafted.exported(module, 6), tmp_path / "g.pt2"))
    latents = torch.randn(4, 6, dtype=torch.float64)
    output = interpret(read, latents)
    assert output.dtype == torch.float64
    torch.testing.assert_close(output, module.double()(latents), rtol=1e-13, atol=1e-13)


def test_writing_in_place_changes_neither_latents_nor_constants(tmp_path: Path) -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.tensor([-1.0, 0.5]))

        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return latents.add_(1.0).relu_() + self.bias

    read = read_archive(crafted.saved(crafted.exported(InPlace().requires_grad_(False), 2), tmp_path / "g.pt2"))
    latents = torch.tensor([[-3.0, 2.0]])
    for _ in range(2):
        assert interpret(read, latents).tolist() == [[-1.0, 3.5]]
    assert latents.tolist() == [[-3.0, 2.0]]
    leaf = latents.double().requires_grad_(True)
    interpret(read, leaf).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[0.0, 1.0]]


def test_refusals_name_the_call(tmp_path: Path) -> None:
    read = read_archive(crafted.saved(crafted.exported(crafted.small(), 6), tmp_path / "g.pt2"))
    with pytest.raises(InvalidInput, match=r"\[rows, 6\] needed") as width:
        interpret(read, torch.zeros(3, 5))
    assert width.value.field == "latents"
    foreign = replace(read, calls=(replace(read.calls[0], target="aten.from_file.default"), *read.calls[1:]))
    with pytest.raises(UnsupportedOperation, match=r"call 2 of 9.*aten\.from_file\.default"):
        interpret(foreign, torch.zeros(3, 6))
    misfit = replace(read, calls=(replace(read.calls[0], arguments={}), *read.calls[1:]))
    with pytest.raises(DamagedData, match=r"call 2 of 9.*cannot be carried out"):
        interpret(misfit, torch.zeros(3, 6))


@pytest.mark.parametrize("text", ["nonexistent", "_inductor", "load", "float32; import os"])
@pytest.mark.parametrize("key", ["memory_format", "dtype"])
def test_a_text_of_the_file_never_names_an_attribute_of_torch(tmp_path: Path, key: str, text: str) -> None:
    class Named(nn.Module):
        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return latents.softmax(1).clone(memory_format=torch.contiguous_format).mean(1, keepdim=True)

    good = crafted.saved(crafted.exported(Named(), 6), tmp_path / "good.pt2")

    def edit(document: crafted.Document) -> None:
        for target in ("aten.clone",) if key == "memory_format" else ("aten.softmax", "aten.mean"):
            node = crafted.node(document, target)
            node["inputs"] = [item for item in node["inputs"] if item["name"] != key]
            node["inputs"].append({"name": key, "arg": {"as_string": text}, "kind": 2})

    program = read_archive(crafted.edited(good, crafted.MODEL, edit, tmp_path / "g.pt2"))
    with pytest.raises(DamagedData, match=f"'{text}' is none of"):
        interpret(program, torch.zeros(3, 6))


def test_the_reference_knows_every_operation_of_the_engine() -> None:
    targets = {target for operation in TABLE.values() for target in operation.targets} | set(FOLDABLE)
    # An in-place form that torch does not have can stand in no file.
    existing = {target for target in targets if hasattr(torch.ops.aten, target.split(".")[1])}
    assert sorted(existing - ALLOWED) == []
