"""Laws that every tessellation obeys, over networks of every kind of operation (T6 to T8)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from magnet_service.generator import Generator, interpret
from magnet_service.geometry import Extent, slice_through, tessellate
from tests.generator.conditional_nets import LATENT, example_of, module_of
from tests.generator.families import FAMILIES, Family, by_name, generator_of
from tests.generator.random_programs import random_program
from tests.geometry.random_nets import KINDS, random_net
from tests.geometry.tilings import Tiling

STRAIGHT = [family.name for family in FAMILIES if family.piecewise_affine]


def plane_of(latent_dim: int, seed: int, reach: float = 2.0) -> Tensor:
    return reach * torch.randn(3, latent_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tiling_of_net(family: Family, seed: int) -> Tiling:
    module = family.build(seed)
    generator = Generator.from_module(module, family.latent_dim, family.latent_shape)
    found = tessellate(generator, slice_through(plane_of(family.latent_dim, seed)))
    assert found.extent is Extent.COMPLETE
    return Tiling(generator, lambda latents: family.outputs(module, latents), found)


def check_all(tiling: Tiling) -> None:
    tiling.check_subdivision()
    tiling.check_maps()
    tiling.check_patterns()
    tiling.check_neighbours()
    tiling.check_jumps()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_network_of_each_kind(kind: str) -> None:
    tiling = tiling_of_net(random_net(kind, 0), 0)
    assert tiling.found.tiles >= 8
    check_all(tiling)


@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_many_networks_of_each_kind(kind: str, seed: int) -> None:
    check_all(tiling_of_net(random_net(kind, seed), seed))


def check_family(name: str, seed: int) -> None:
    family = by_name(name)
    if not family.smooth_head:
        check = tiling_of_net(family, seed)
        check.check_maps()
    else:
        generator = generator_of(family, seed)
        found = tessellate(generator, slice_through(plane_of(family.latent_dim, seed)))
        check = Tiling(generator, generator.forward, found)
    check.check_subdivision()
    check.check_neighbours()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["deconv_vae", "residual", "joined", "folded", "learned_constant", "products"])
def test_families_of_generators(name: str) -> None:
    check_family(name, 0)


@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", STRAIGHT)
def test_all_families_of_generators(name: str, seed: int) -> None:
    check_family(name, seed)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("row", [0, 3])
def test_a_conditional_generator_at_its_conditions(row: int) -> None:
    module, conditions = module_of("mapped-vector").double(), example_of("mapped-vector").double()
    generator = Generator.from_module(module, LATENT, condition=conditions).conditioned(conditions[row])

    def function(latents: Tensor) -> Tensor:
        return module(latents, conditions[row : row + 1].expand(len(latents), -1)).flatten(1)

    tiling = Tiling(generator, function, tessellate(generator, slice_through(plane_of(LATENT, 5))))
    assert tiling.found.tiles > 20
    check_all(tiling)


def check_random_program(seed: int) -> None:
    """Programs join operations as no one would: units tie everywhere, so that patterns say less than maps."""
    program = random_program(seed)
    generator = Generator.from_program(program)
    plane = slice_through(plane_of(generator.latent_dim, seed))
    tiling = Tiling(generator, lambda z: interpret(program, z), tessellate(generator, plane, max_tiles=20_000))
    tiling.check_subdivision()
    if tiling.found.extent is Extent.COMPLETE:
        tiling.check_maps()
        tiling.check_neighbours()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("seed", [3, 5, 56, 65, 74, 95, 145, 150, 853])
def test_random_programs(seed: int) -> None:
    check_random_program(seed)


@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("first", range(0, 300, 10))
def test_many_random_programs(first: int) -> None:
    for seed in range(first, first + 10):
        check_random_program(seed)
