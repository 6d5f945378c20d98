"""Every family in every format: the outputs of onnxruntime and of the module, autograd's Jacobian, the same volumes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from magnet_service.generator import Generator, Precision, lower, verify
from magnet_service.generator.onnx_runtime import runtime_reference
from magnet_service.geometry import Engine, log_volume, volumes
from tests.families.exports import FORMS, ONNX_FORMS, Shelf, program_of
from tests.families.nets import CLASSES, CONDITIONAL, NETS, Net

PAIRS = [pytest.param(net, form, id=f"{net.name}-{form}") for net in NETS for form in FORMS]


def generator_of(shelf: Shelf, net: Net, form: str) -> Generator:
    return Generator.from_program(program_of(shelf.file(net, form)))


def distance(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("net", "form"), PAIRS)
def test_outputs_are_the_modules_and_onnxruntimes(shelf: Shelf, net: Net, form: str) -> None:
    file = shelf.file(net, form)
    program = program_of(file)
    generator = Generator.from_program(program)
    for rows in (1, 3, 16):
        (shaped,) = net.inputs(rows, seed=rows)
        latents = shaped.reshape(rows, -1)
        found = generator.forward(latents)
        assert distance(found, net.module()(shaped)) <= 1e-5
        if form in ONNX_FORMS:
            runtime = runtime_reference(file, program)
            assert runtime is not None
            assert distance(found, runtime(latents)) <= 1e-5


@pytest.mark.parametrize(("net", "form"), PAIRS)
def test_the_jacobian_is_autograds(shelf: Shelf, net: Net, form: str) -> None:
    generator = generator_of(shelf, net, form).to(precision=Precision.FLOAT64)
    module = net.family.build().float().double()
    latents = net.family.latents(3)
    _, tangents = generator.push(latents)
    for row, latent in enumerate(latents):
        expected = torch.func.jacrev(lambda one: net.family.outputs(module, one[None])[0])(latent)
        # An exporter may have folded batch norms into weights of float32.
        assert distance(tangents[row], expected.T) <= 2e-6


@pytest.mark.parametrize(("net", "form"), PAIRS)
def test_volumes_are_those_of_the_archive(shelf: Shelf, net: Net, form: str) -> None:
    latents = net.family.latents(32)
    engine = Engine(precision=Precision.FLOAT64)
    found, expected = (
        log_volume(volumes(generator_of(shelf, net, one), latents, engine=engine), net.family.latent_dim)
        for one in (form, "pt2")
    )
    assert torch.allclose(found, expected, rtol=0, atol=1e-4)  # -inf where the rank is lower equals -inf


@pytest.mark.parametrize("form", ONNX_FORMS)
@pytest.mark.parametrize("name", ["mlp", "dcgan", "dcgan_leaky", "vae_decoder"])
def test_a_network_is_the_same_graph_from_either_format(shelf: Shelf, name: str, form: str) -> None:
    net = next(net for net in NETS if net.name == name)
    folded = form == "onnx-dynamo" and name != "mlp"  # that exporter folds batch norms into convolutions
    found, expected = generator_of(shelf, net, form), generator_of(shelf, net, "pt2")
    assert (found.digest == expected.digest) == (not folded)
    kept = [node.operation for node in expected.graph.nodes if not (folded and node.operation == "batch_norm")]
    assert [node.operation for node in found.graph.nodes] == kept


@pytest.mark.parametrize("form", ONNX_FORMS)
@pytest.mark.parametrize("net", CONDITIONAL, ids=lambda net: net.name)
def test_a_condition_is_the_second_input(shelf: Shelf, net: Net, form: str) -> None:
    file = shelf.file(net, form)
    program = program_of(file)
    assert program.condition is not None
    assert (program.latent, program.condition.name) == ("z", "label")
    runtime = runtime_reference(file, program)
    assert runtime is not None
    latents, labels = net.inputs(CLASSES)
    for label, expected in zip(labels, net.module()(latents, labels), strict=True):
        generator = Generator(lower(program, label))
        found = generator.forward(latents)
        alike = label.expand(len(latents), *label.shape)
        assert distance(found, net.module()(latents, alike)) <= 1e-5
        assert distance(found, runtime(latents, alike)) <= 1e-5
        assert found.shape[1:] == expected.shape


@pytest.mark.parametrize("form", ONNX_FORMS)
def test_verification_says_onnxruntime(shelf: Shelf, form: str) -> None:
    file = shelf.file(NETS[3], form)
    program = program_of(file)
    found = verify(Generator.from_program(program), program, None, runtime=runtime_reference(file, program))
    assert (found.reference, found.forward_error < 1e-5, found.jacobian_error < 1e-6) == ("onnxruntime", True, True)
