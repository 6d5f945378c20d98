"""GeneratorService over a real channel."""

from __future__ import annotations

import numpy as np
import pytest

from magnet.v1 import generator_pb2, sampling_pb2
from magnet_service.generator import load_version
from tests.rpc.calls import Services
from tests.rpc.networks import LATENT_DIM


def test_lists_every_generator_in_alphabetical_order(services: Services) -> None:
    found = services.generators.ListGenerators(generator_pb2.ListGeneratorsRequest()).generators
    names = [one.name for one in found]
    assert names == sorted(names)
    assert {"colour", "grey", "plain"} <= set(names)
    grey = found[names.index("grey")]
    assert (grey.version, list(grey.versions), grey.latent_dim) == (1, [1], LATENT_DIM)
    assert list(grey.output_shape) == [1, 8, 8]
    assert grey.prior == "normal(dim=6)"
    assert grey.description == "The grey one."
    assert not grey.problem
    assert len(grey.digest) == 64


def test_describes_one_generator_in_full(services: Services, repository) -> None:
    found = services.generators.GetGenerator(generator_pb2.GetGeneratorRequest(generator="grey@1", rank_latents=40))
    generator, _, _ = load_version(repository / "grey")
    assert found.summary.digest == generator.digest
    assert (found.layout, found.output_low, found.output_high) == ("HW", -1.0, 1.0)
    assert list(found.labels) == ["round", "square"]
    assert list(found.training_shares) == [0.9, 0.1]
    assert found.licence == "Apache-2.0"
    assert found.units == generator.units == 32 + 48
    assert found.parameters == generator.parameters
    assert found.piecewise_affine
    assert found.piecewise_affine_until == generator.piecewise_affine_until
    assert [one.operation for one in found.operations] == [one.operation for one in generator.summary]
    assert {one.kind for one in found.operations} <= {"affine", "piecewise_linear", "smooth", "structural"}
    assert found.verified_against == "probe"
    assert 0 <= found.forward_error < 1e-5
    assert 0 <= found.jacobian_error < 1e-6
    assert found.rank.latents == 40
    assert 1 <= found.rank.rank_min <= found.rank.rank_median <= found.rank.rank_max <= LATENT_DIM
    means = np.array(found.rank.log_singular_value_mean)
    assert len(found.rank.log_volume_sd) == LATENT_DIM
    assert (np.diff(means[np.isfinite(means)]) < 0).all()
    assert sum(entry.latents for entry in found.rank.rank_counts) == 40
    assert len(found.rank.log_sigma_first) == len(found.rank.log_condition) == len(found.rank.quantile_levels)
    assert found.verified_rows == 80
    assert found.HasField("bits_depend_on_position")
    assert found.HasField("bits_depend_on_neighbours")
    assert not found.auto_top_k


def test_autos_k_is_that_of_a_draw(services: Services, bank: str) -> None:
    request = generator_pb2.GetGeneratorRequest(generator="grey", auto_top_k=True)
    prior = services.generators.GetGenerator(request).auto_top_k[0]
    draw = sampling_pb2.SampleRequest(generator="grey", count=1, rho=1.0, seed=1)
    header = services.sampling.Sample(draw).header
    assert (prior.base, prior.law) == ("PRIOR", "normal(dim=6)")
    assert (prior.bank_id, prior.bank_revision, prior.bank_reason) == (bank, 3000, header.bank_reason)
    assert (prior.top_k, prior.reason) == (header.top_k, header.top_k_reason)
    missing = services.generators.GetGenerator(
        generator_pb2.GetGeneratorRequest(generator="plain", auto_top_k=True)
    ).auto_top_k
    assert {entry.top_k for entry in missing if not entry.bank_id} <= {0}
    assert all("magnet bank build plain@1" in entry.reason for entry in missing if not entry.bank_id)


def test_the_prior_and_layout_of_each_card_are_told(services: Services) -> None:
    colour = services.generators.GetGenerator(generator_pb2.GetGeneratorRequest(generator="colour"))
    assert colour.summary.prior == "box(dim=6,low=-1.0,high=1.0)"
    assert colour.layout == "CHW"
    assert not colour.HasField("rank")
    plain = services.generators.GetGenerator(generator_pb2.GetGeneratorRequest(generator="plain"))
    assert plain.layout == "vector"


@pytest.mark.parametrize("name", ["fashion", "rings"])
def test_bundled_generators_are_there(services: Services, name: str) -> None:
    found = services.generators.ListGenerators(generator_pb2.ListGeneratorsRequest()).generators
    if name not in {one.name for one in found}:
        pytest.skip(f"{name} is not in this checkout")
    assert not next(one for one in found if one.name == name).problem
