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

# Rows folded into channels, as both write instance norm by stored statistics; rows folded into heads; and a choice
# between two values, as the newer one writes a softplus.
REFUSED = {
    ("instance_norm", "onnx-13"),
    ("instance_norm", "onnx-dynamo"),
    ("attention", "onnx-dynamo"),
    ("smooth_inside", "onnx-dynamo"),
}
EXPORTS = [
    pytest.param(family, form, id=f"{family.name}-{form}", marks=[pytest.mark.long] if form == "onnx-dynamo" else [])
    for family in FAMILIES
    for form in ("onnx-13", "onnx-dynamo")
]


@pytest.mark.parametrize(("family", "form"), EXPORTS)
def test_what_an_exporter_writes_is_read(family: Family, form: str, shelf: Shelf) -> None:
    net = Net(family)
    try:
        file = shelf.file(net, form)
    except torch.onnx.OnnxExporterError as problem:
        pytest.skip(f"torch does not export it so: {str(problem).splitlines()[0][:200]}")
    if (family.name, form) in REFUSED:
        with pytest.raises(UnsupportedOperation, match=r"node \d+ of \d+ \(\w+ '.*', opset \d+\)"):
            Generator.from_program(program_of(file))
        return
    program = program_of(file)
    generator = Generator.from_program(program)
    found = verify(generator, program, None, runtime=runtime_reference(file, program))
    assert (found.reference, found.forward_error <= 1e-5, found.jacobian_error <= 1e-6) == ("onnxruntime", True, True)
    (latents,) = net.inputs(5)
    expected = net.module()(latents)
    error = (generator.forward(latents.reshape(5, -1)) - expected).abs().max() / expected.abs().max()
    assert float(error) <= 1e-5
