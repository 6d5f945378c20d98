"""Cutting a network at an inner value and joining a feature network, against the modules themselves and autograd."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from magnet_service.errors import InvalidInput, Refused, UnknownResource
from magnet_service.generator import Generator, Manifold, Precision, activation_pattern, lower, read_archive
from magnet_service.generator.affinity import require_piecewise_affine
from magnet_service.generator.composition import Composition
from magnet_service.geometry import Engine, volumes
from tests.composition.networks import INNER, OUTER, WIDE, exported, features, style

DOUBLE = Precision.FLOAT64


@pytest.fixture(scope="module", params=[True, False], ids=["noise", "no noise"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, bool]:
    return *exported(tmp_path_factory.mktemp("style"), noisy=request.param), request.param


def node_of(plain: Generator) -> str:
    """The last value of the mapping."""
    return next(entry.name for entry in plain.summary if entry.shape == (INNER,) and entry.operation == "linear")


def composed(files: tuple[Path, Path, bool]) -> Generator:
    plain = Generator.from_program(read_archive(files[0]))
    return plain.composed(Composition(node_of(plain), lower(read_archive(files[1]))))


def latents(rows: int, dim: int) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(8), dtype=torch.float64)


def jacobians(function: torch.nn.Module, points: Tensor) -> Tensor:
    rows = [torch.autograd.functional.jacobian(lambda w: function(w[None]).flatten(), point) for point in points]
    return torch.stack(rows)


def test_mapping_and_synthesis_are_those_of_the_module(files: tuple[Path, Path, bool]) -> None:
    generator = composed(files).to(precision=DOUBLE)
    module = style(noisy=files[2]).double()
    assert (generator.latent_dim, generator.output_shape) == (INNER, (1, WIDE, WIDE))
    assert generator.mapping is not None
    assert generator.mapping.latent_dim == OUTER
    outer = latents(5, OUTER)
    inner = generator.mapping.to(precision=DOUBLE).forward(outer)
    torch.testing.assert_close(inner, module.map(outer), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(generator.forward(inner), module(outer), rtol=1e-12, atol=1e-12)
    _, tangents = generator.push(inner)
    torch.testing.assert_close(tangents.mT, jacobians(module.synthesise, inner), rtol=1e-10, atol=1e-11)


def test_features_are_those_of_the_outputs_and_their_volumes_those_of_autograd(files: tuple[Path, Path, bool]) -> None:
    generator = composed(files)
    module, net = style(noisy=files[2]).double(), features().double()
    inner = latents(4, INNER)
    exact = generator.to(precision=DOUBLE)
    whole = torch.nn.Sequential(Behind(module), net)
    torch.testing.assert_close(exact.forward(inner, Manifold.FEATURES), whole(inner), rtol=1e-12, atol=1e-12)
    expected = torch.linalg.svdvals(jacobians(whole, inner)).log()
    found = volumes(generator, inner, manifold=Manifold.FEATURES, engine=Engine(precision=DOUBLE, threads=1))
    torch.testing.assert_close(found.log_singular_values, expected, rtol=0.0, atol=1e-8)
    single = volumes(generator, inner, manifold=Manifold.FEATURES, engine=Engine(threads=1))
    torch.testing.assert_close(single.log_singular_values, expected, rtol=0.0, atol=2e-3)
    assert generator.output_dim_of(Manifold.FEATURES) == 7
    # Pictures, units and patterns stay the generator's own.
    torch.testing.assert_close(exact.forward(inner), module.synthesise(inner), rtol=1e-12, atol=1e-12)
    assert activation_pattern(exact, inner).shape[1] == generator.units == 4 * (WIDE // 2) ** 2 + 4 * WIDE**2


class Behind(torch.nn.Module):
    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inner: Tensor) -> Tensor:
        return self.module.synthesise(inner)


def test_every_part_of_a_composition_is_in_the_digest(files: tuple[Path, Path, bool]) -> None:
    plain = Generator.from_program(read_archive(files[0]))
    net = lower(read_archive(files[1]))
    name = node_of(plain)
    made = [
        plain.composed(composition).digest
        for composition in (
            Composition(), Composition(name), Composition(features=net), Composition(name, net),
            Composition(next(entry.name for entry in plain.summary if entry.operation == "leaky_relu")),
        )
    ]  # fmt: skip
    assert made[0] == plain.digest
    assert len(set(made)) == len(made)
    assert composed(files).digest == made[3]
    assert composed(files).to(precision=DOUBLE).digest == made[3]
    assert composed(files).composed(Composition()).digest == plain.digest


def test_a_value_that_does_not_carry_everything_is_refused_with_the_other_way(tmp_path: Path) -> None:
    file, _ = exported(tmp_path, leaking=True)
    plain = Generator.from_program(read_archive(file))
    with pytest.raises(Refused, match=r"another way too: latent -> slice\w* -> ") as caught:
        plain.composed(Composition(node_of(plain)))
    assert caught.value.reason == "LATENT_NODE"
    # The network that leaks nothing: the style of one block does not carry the other's.
    file, _ = exported(tmp_path)
    plain = Generator.from_program(read_archive(file))
    names = [entry.name for entry in plain.summary]
    style_of_first = names[names.index(node_of(plain)) + 1]
    with pytest.raises(Refused, match="another way too"):
        plain.composed(Composition(style_of_first))
    with pytest.raises(Refused, match="it is the output itself"):
        plain.composed(Composition(names[-1]))


def test_an_unknown_name_lists_what_could_be_meant(files: tuple[Path, Path, bool]) -> None:
    plain = Generator.from_program(read_archive(files[0]))
    with pytest.raises(UnknownResource, match=f"no value 'w'.*: .*{node_of(plain)}") as caught:
        plain.composed(Composition("w"))
    assert caught.value.field == "latent_node"


def test_a_feature_network_of_another_shape_is_refused_with_both_shapes(files: tuple[Path, Path, bool]) -> None:
    plain = Generator.from_program(read_archive(files[0]))
    with pytest.raises(InvalidInput, match=r"shape \[1, 8, 8\], and the feature network takes \[5\]"):
        plain.composed(Composition(features=lower(read_archive(files[0]))))
    with pytest.raises(Refused, match="no feature network") as caught:
        plain.push(latents(1, OUTER), manifold=Manifold.FEATURES)
    assert caught.value.reason == "NO_FEATURES"


def test_what_needs_regions_is_refused_by_the_operation_and_its_place(files: tuple[Path, Path, bool]) -> None:
    plain = Generator.from_program(read_archive(files[0]))
    with pytest.raises(Refused, match=r"not piecewise affine: square \(square, call \d+ of \d+ \(square\)\)") as caught:
        require_piecewise_affine(plain)
    assert caught.value.reason == "NOT_PIECEWISE_AFFINE"
    assert caught.value.metadata["operation"] == "square"
    assert caught.value.metadata["place"] in caught.value.message
    dense = Generator.from_module(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Tanh()), 2)
    require_piecewise_affine(dense)
    with pytest.raises(Refused, match=r"tanh.*take manifold PRE_ACTIVATION, which ends before it, at relu"):
        require_piecewise_affine(dense, Manifold.OUTPUT)
    net = Generator.from_program(read_archive(files[1]))
    require_piecewise_affine(net, Manifold.OUTPUT)
    with pytest.raises(Refused, match="no feature network"):
        require_piecewise_affine(net, Manifold.FEATURES)


class Conditional(torch.nn.Module):
    """A mapping that takes a class beside z."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(3, OUTER)
        self.style = style()

    def forward(self, outer: Tensor, classes: Tensor) -> Tensor:
        return self.style(outer + self.embed(classes))


def test_a_condition_of_the_mapping_and_a_latent_node_go_together() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        module = Conditional().double().eval().requires_grad_(False)
    plain = Generator.from_module(module, OUTER, condition=torch.eye(3, dtype=torch.float64))
    name = next(e.name for e in plain.summary if e.shape == (INNER,) and e.operation == "linear")
    generator = plain.composed(Composition(name))
    outer, one_hot = latents(4, OUTER), torch.eye(3, dtype=torch.float64)
    digests = set()
    for index in (0, 2):
        chosen = generator.conditioned(index).to(precision=DOUBLE)
        digests.add(chosen.digest)
        assert chosen.mapping is not None
        inner = chosen.mapping.to(precision=DOUBLE).forward(outer)
        expected = module.style.map(outer + module.embed(one_hot[index]))
        torch.testing.assert_close(inner, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(chosen.forward(inner), module.style.synthesise(inner), rtol=1e-12, atol=1e-12)
    assert digests == {generator.digest}
