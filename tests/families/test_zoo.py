"""The whole zoo of small generators, written by both exporters of torch and read back."""

from __future__ import annotations

import pytest
import torch

from magnet_service.errors import UnsupportedOperation
from magnet_service.generator import Generator, verify
from magnet_service.generator.onnx_runtime import runtime_reference
from tests.families.exports import Shelf, program_of
from tests.families.nets import Net
from tests.generator.families import FAMILIES, Family

# The older exporter writes no adaptive pool whose windows overlap.
NOT_EXPORTED = {("pooled", "onnx-13")}
# Rows folded into channels, as both write instance norm by stored statistics.
REFUSED = {("instance_norm", "onnx-13"), ("instance_norm", "onnx-dynamo")}
EXPORTS = [
    pytest.param(family, form, id=f"{family.name}-{form}", marks=[pytest.mark.long] if form == "onnx-dynamo" else [])
    for family in FAMILIES
    for form in ("onnx-13", "onnx-dynamo")
    if (family.name, form) not in NOT_EXPORTED
]


@pytest.mark.parametrize(("family", "form"), EXPORTS)
def test_what_an_exporter_writes_is_read(family: Family, form: str, shelf: Shelf) -> None:
    net = Net(family)
    file = shelf.file(net, form)
    if (family.name, form) in REFUSED:
        with pytest.raises(UnsupportedOperation, match=r"node \d+ of \d+ \(\w+ '.*', opset \d+\)"):
            program_of(file)
        return
    program = program_of(file)
    generator = Generator.from_program(program)
    found = verify(generator, program, None, runtime=runtime_reference(file, program))
    assert (found.reference, found.forward_error <= 1e-5, found.jacobian_error <= 1e-6) == ("onnxruntime", True, True)
    (latents,) = net.inputs(5)
    expected = net.module()(latents)
    assert torch.allclose(
        generator.forward(latents.reshape(5, -1)), expected, rtol=0, atol=1e-5 * float(expected.abs().max())
    )
