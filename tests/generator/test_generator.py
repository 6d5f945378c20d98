"""Generators of every family: values of the module, Jacobians of autograd, manifolds, precisions, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from magnet_service.errors import InvalidInput
from magnet_service.generator import (
    Generator,
    Kind,
    Manifold,
    Precision,
    export_program,
    read_archive,
    write_archive,
)
from tests.generator.families import FAMILIES, Family, by_name, generator_of

ROWS = 4


def ident(family: Family) -> str:
    return family.name


def jacobian(function: Callable[[Tensor], Tensor], latents: Tensor) -> Tensor:
    """[rows, latent, output] by reverse passes, one row at a time."""
    rows = [torch.autograd.functional.jacobian(lambda z: function(z[None])[0], latent).T for latent in latents]
    return torch.stack(rows)


def decomposed(family: Family, folder: Path) -> Generator:
    program = export_program(family.build(), family.latent_dim, latent_shape=family.latent_shape)
    write_archive(program.run_decompositions(), folder / "generator.pt2")
    return Generator.from_program(read_archive(folder / "generator.pt2"))


def check(generator: Generator, family: Family) -> None:
    module, latents = family.build(), family.latents(ROWS)
    exact = generator.to(precision=Precision.FLOAT64)
    values, tangents = exact.push(latents)
    torch.testing.assert_close(values, family.outputs(module, latents), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(tangents, jacobian(lambda z: family.outputs(module, z), latents), rtol=1e-10, atol=1e-10)
    assert exact.has_smooth_head == family.smooth_head
    assert exact.piecewise_affine == family.piecewise_affine
    assert bool(exact.smooth_inside) != family.piecewise_affine


@pytest.mark.parametrize("family", FAMILIES, ids=ident)
def test_a_generator_is_its_module_and_its_tangents_are_those_of_autograd(family: Family) -> None:
    check(generator_of(family), family)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("family", [family for family in FAMILIES if family.decomposes], ids=ident)
def test_a_decomposed_export_is_the_same_generator(family: Family, tmp_path: Path) -> None:
    check(decomposed(family, tmp_path), family)


@pytest.mark.parametrize("family", FAMILIES, ids=ident)
def test_float32_is_float64_up_to_its_rounding(family: Family) -> None:
    generator = generator_of(family)
    latents = family.latents(ROWS).float()
    single, double = generator.push(latents), generator.to(precision=Precision.FLOAT64).push(latents)
    for found, expected in zip(single, double, strict=True):
        assert found.dtype == torch.float32
        scale = expected.abs().max()
        torch.testing.assert_close(found.double(), expected, rtol=0.0, atol=float(scale) * 1e-4)


@pytest.mark.parametrize("family", FAMILIES, ids=ident)
def test_the_two_manifolds_meet_at_the_head(family: Family) -> None:
    generator = generator_of(family).to(precision=Precision.FLOAT64)
    latents = family.latents(ROWS)
    before = generator.forward(latents, Manifold.PRE_ACTIVATION)
    assert before[0].numel() == generator.output_dim_of(Manifold.PRE_ACTIVATION)
    assert tuple(before.shape[1:]) == generator.output_shape_of(Manifold.PRE_ACTIVATION)
    if not family.smooth_head:
        assert torch.equal(before, generator.forward(latents))
        assert generator.piecewise_affine_until == generator.summary[-1].name
        return
    kinds = {entry.name: entry.kind for entry in generator.summary}
    assert kinds[generator.piecewise_affine_until] is not Kind.SMOOTH
    names = [entry.name for entry in generator.summary]
    after = [entry.kind for entry in generator.summary[names.index(generator.piecewise_affine_until) + 1 :]]
    assert Kind.SMOOTH in after
    assert Kind.PIECEWISE_LINEAR not in after


@pytest.mark.parametrize("name", ["dcgan", "vae", "residual"])
def test_pre_activation_tangents_are_those_of_the_inverse_head(name: str) -> None:
    family = by_name(name)
    generator, module, latents = generator_of(family).to(precision=Precision.FLOAT64), family.build(), family.latents(2)
    inverse = torch.logit if name == "vae" else torch.atanh
    values, tangents = generator.push(latents, manifold=Manifold.PRE_ACTIVATION)
    expected = jacobian(lambda z: inverse(family.outputs(module, z)), latents)
    torch.testing.assert_close(values, inverse(family.outputs(module, latents)), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(tangents, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("family", FAMILIES, ids=ident)
def test_directions_shared_or_one_set_a_row_push_as_columns_of_the_jacobian(family: Family) -> None:
    generator = generator_of(family).to(precision=Precision.FLOAT64)
    latents = family.latents(ROWS)
    source = torch.Generator().manual_seed(2)
    directions = torch.randn(ROWS, 3, family.latent_dim, generator=source, dtype=torch.float64)
    kept = directions.clone()
    _, full = generator.push(latents)
    _, own = generator.push(latents, directions)
    torch.testing.assert_close(own, directions @ full, rtol=1e-10, atol=1e-10)
    _, shared = generator.push(latents, directions[:1])
    torch.testing.assert_close(shared, directions[:1] @ full, rtol=1e-10, atol=1e-10)
    assert torch.equal(directions, kept)


def test_pushing_twice_gives_the_same_bytes() -> None:
    for family in FAMILIES:
        generator, latents = generator_of(family), family.latents(16).float()
        for first, second in zip(generator.push(latents), generator.push(latents), strict=True):
            assert torch.equal(first, second)
        assert torch.equal(generator.push(latents)[0], generator.forward(latents).flatten(1))


def test_units_parameters_and_shapes_are_those_of_the_module() -> None:
    family = by_name("dcgan")
    generator, module = generator_of(family), family.build()
    assert generator.units == 8 * 4 * 4 + 6 * 8 * 8
    stored = sum(parameter.numel() for parameter in module.parameters())
    assert generator.parameters == stored + 2 * (8 + 6)  # running means and variances
    assert (generator.latent_dim, generator.latent_shape) == (6, (6, 1, 1))
    assert (generator.output_dim, generator.output_shape) == (2 * 16 * 16, (2, 16, 16))
    assert [entry.units for entry in generator.summary if entry.operation == "relu"] == [128, 384]


def test_other_precisions_are_made_once_and_shared() -> None:
    generator = generator_of(by_name("mlp"))
    double = generator.to(precision=Precision.FLOAT64)
    assert generator.to(precision=Precision.FLOAT32) is generator
    assert double.to(precision=Precision.FLOAT32).to(precision=Precision.FLOAT64)._constants is double._constants
    assert double.digest == generator.digest
    assert (double.precision, double.device) == (Precision.FLOAT64, torch.device("cpu"))


def test_float64_weights_are_never_rounded_on_the_way() -> None:
    layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.fill_(1 / 3)
    generator = Generator.from_module(layer, 1).to(precision=Precision.FLOAT64)
    assert generator.forward(torch.ones(1, 1)).item() == 1 / 3


def test_a_fixed_batch_serves_any_number_of_rows(tmp_path: Path) -> None:
    family = by_name("dcgan_linear")
    module = nn.Sequential(nn.Unflatten(1, (6, 1, 1)), *family.build().float())
    write_archive(torch.export.export(module, (torch.zeros(4, 6),)), tmp_path / "fixed.pt2")
    generator = Generator.from_program(read_archive(tmp_path / "fixed.pt2"))
    latents = family.latents(7).float()
    torch.testing.assert_close(generator.forward(latents), module(latents), rtol=1e-5, atol=1e-5)


def test_tied_weights_count_once() -> None:
    layer = nn.Linear(4, 4)
    assert Generator.from_module(nn.Sequential(layer, nn.ReLU(), layer), 4).parameters == 20


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 6, 1)])
def test_latents_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"write \[rows, 6\]") as caught:
        generator_of(by_name("mlp")).forward(torch.zeros(shape))
    assert caught.value.field == "latents"


@pytest.mark.parametrize("shape", [(1, 6), (2, 1, 6), (1, 1, 5)])
def test_directions_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="directions") as caught:
        generator_of(by_name("mlp")).push(torch.zeros(3, 6), torch.zeros(shape))
    assert caught.value.field == "directions"


@pytest.mark.parametrize("family", FAMILIES, ids=ident)
def test_no_rows_give_no_rows(family: Family) -> None:
    generator = generator_of(family)
    values, tangents = generator.push(torch.zeros(0, 6))
    assert generator.forward(torch.zeros(0, 6)).shape == (0, *generator.output_shape)
    assert values.shape == (0, generator.output_dim)
    assert tangents.shape == (0, 6, generator.output_dim)


def test_results_carry_no_gradient_and_are_ordinary_tensors() -> None:
    generator = generator_of(by_name("mlp"))
    values, tangents = generator.push(torch.zeros(2, 6, requires_grad=True))
    for tensor in (values, tangents):
        assert not tensor.requires_grad
        assert not tensor.is_inference()


class Watch(TorchDispatchMode):
    """Fails at anything that would wait for a device or copy to the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # torch's signature
        name = func.name().removeprefix("aten::")
        assert not name.startswith(("_local_scalar_dense", "nonzero", "masked_select", "item", "is_nonzero")), name
        if name.startswith("_to_copy"):
            assert (kwargs or {}).get("device") is None, name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", FAMILIES, ids=ident)
def test_forward_and_push_never_wait_for_the_device(family: Family) -> None:
    generator, latents = generator_of(family), family.latents(ROWS).float()
    with Watch():
        generator.forward(latents)
        generator.push(latents)


@pytest.mark.parametrize("name", ["mlp", "dcgan_linear", "sequence"])
def test_a_linear_map_of_the_output_enters_tangents_as_it_enters_values(name: str) -> None:
    family = by_name(name)
    module = family.build()
    shape = (family.latent_dim,) if family.latent_shape is None else family.latent_shape
    scaled = nn.Sequential(module, nn.Flatten(), Scale())
    plain = generator_of(family).to(precision=Precision.FLOAT64)
    larger = Generator.from_module(scaled, family.latent_dim, shape).to(precision=Precision.FLOAT64)
    latents = family.latents(ROWS)
    torch.testing.assert_close(larger.push(latents)[1], math.e * plain.push(latents)[1], rtol=1e-12, atol=1e-12)


class Scale(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return value * math.e
