"""Draws in w and in the space of features, over a real channel."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
import torch

from magnet.v1 import bank_pb2, generator_pb2, geometry_pb2, sampling_pb2, types_pb2
from magnet_client import Client
from magnet_service.sampling import Normal, from_text
from tests.composition.networks import INNER, OUTER, features, style
from tests.rpc.calls import Services, array, build_bank, draw, failure, tensor

BALL = sampling_pb2.Base(uniform=sampling_pb2.Base.Uniform(ball=sampling_pb2.Base.Ball(radius=3.0)))
UNIFORM = sampling_pb2.Base(uniform=sampling_pb2.Base.Uniform())
LAW = f"pushforward(dim={INNER},source=normal(dim={OUTER}))"


@pytest.fixture(scope="module")
def prior_bank(services: Services) -> bank_pb2.Bank:
    return build_bank(services, "style", 600)


def test_a_generator_says_what_its_latents_are(services: Services, exports: tuple[Path, Path, str]) -> None:
    found = services.generators.GetGenerator(generator_pb2.GetGeneratorRequest(generator="style", rank_latents=20))
    assert found.summary.latent_dim == INNER
    assert found.summary.prior == LAW
    assert (found.latent_node, found.features) == (exports[2], "vgg.pt2")
    assert 0 <= found.jacobian_error < 1e-6
    assert found.rank.rank_max <= INNER
    plain = services.generators.GetGenerator(generator_pb2.GetGeneratorRequest(generator="plain"))
    assert (plain.summary.latent_dim, plain.latent_node, plain.features) == (OUTER, "", "")
    assert plain.summary.digest != found.summary.digest
    assert plain.parameters == found.parameters


def test_the_prior_is_the_networks_own_law_through_its_mapping(services: Services) -> None:
    found = draw(services, generator="style", count=40, rho=0.0, seed=3)
    assert found.header.base == LAW
    outer = torch.from_numpy(Normal(OUTER).rows(3, 0, 40))
    inner = torch.from_numpy(array(found.rows.latents).copy())
    torch.testing.assert_close(inner, style().map(outer), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        torch.from_numpy(array(found.rows.images).copy()), style().synthesise(inner), rtol=1e-5, atol=1e-5
    )
    for offset, count in ((0, 7), (7, 20), (27, 13)):
        page = draw(services, generator="style", count=count, offset=offset, rho=0.0, seed=3)
        for name in ("latents", "images", "log_volumes"):
            assert np.array_equal(array(getattr(page.rows, name)), array(getattr(found.rows, name))[offset:][:count])


def test_a_bank_holds_w_and_draws_are_of_it(services: Services, prior_bank: bank_pb2.Bank) -> None:
    assert prior_bank.law == LAW
    assert from_text(prior_bank.law).to_text() == LAW
    rows = services.banks.ReadBank(bank_pb2.ReadBankRequest(bank_id=prior_bank.bank_id, count=600))
    latents = np.concatenate([array(part.latents) for part in rows])
    found = draw(services, generator="style", count=50, rho=0.3, top_k=2, seed=5)
    drawn = array(found.rows.latents)
    assert np.array_equal(drawn, latents[array(found.rows.bank_rows)])
    measured = services.geometry.LogVolume(
        geometry_pb2.LogVolumeRequest(generator="style", latents=tensor(drawn), top_k=2)
    )
    np.testing.assert_allclose(array(measured.log_volumes), array(found.rows.log_volumes), atol=1e-4)
    again = services.sampling.Sample(found.header.resolved)
    assert again.rows == found.rows


def test_given_latents_are_w(services: Services) -> None:
    inner = np.random.default_rng(0).normal(size=(5, INNER)).astype("<f4")
    request = sampling_pb2.GenerateRequest(
        generator="style",
        latents=tensor(inner),
        outputs=sampling_pb2.Outputs(images=sampling_pb2.Outputs.IMAGES_FLOAT32),
    )
    images = array(services.sampling.Generate(request).rows.images)
    np.testing.assert_allclose(images, style().synthesise(torch.from_numpy(inner)).numpy(), atol=1e-5)
    request.latents.CopyFrom(tensor(np.zeros((1, OUTER))))
    assert failure(lambda: services.sampling.Generate(request)).code == grpc.StatusCode.INVALID_ARGUMENT


def test_uniform_in_w_needs_a_domain_and_a_bank_of_its_own(services: Services, prior_bank: bank_pb2.Bank) -> None:
    request = sampling_pb2.SampleRequest(generator="style", count=5, rho=1.0, base=UNIFORM, seed=1)
    found = failure(lambda: services.sampling.Sample(request))
    assert found.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "ball_radius=R or box=(LOW, HIGH)" in found.message
    request.base.CopyFrom(BALL)
    found = failure(lambda: services.sampling.Sample(request))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_BANK")
    assert "the law of an inner latent has no density" in found.message
    assert "magnet bank build style@1 --base uniform --ball-radius 3.0" in found.message
    request.bank_id = prior_bank.bank_id
    found = failure(lambda: services.sampling.Sample(request))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FOREIGN_BANK")
    assert "no density" in found.message
    built = build_bank(services, "style", 300, base=BALL)
    assert built.law == f"ball(dim={INNER},radius=3.0)"
    uniform = draw(services, generator="style", count=20, rho=1.0, top_k=1, base=BALL, seed=1)
    assert uniform.header.resolved.bank_id == built.bank_id
    assert (np.linalg.norm(array(uniform.rows.latents), axis=1) <= 3.0).all()
    # The prior's own draws go on being answered by the prior's bank.
    prior = draw(services, generator="style", count=20, rho=1.0, top_k=1, seed=1)
    assert prior.header.resolved.bank_id == prior_bank.bank_id


def test_truncation_of_w_is_refused(services: Services) -> None:
    request = sampling_pb2.SampleRequest(
        generator="style", count=5, rho=0.0, truncation=sampling_pb2.Truncation(psi=0.7)
    )
    found = failure(lambda: services.sampling.Sample(request))
    assert found.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "inside its mapping" in found.message


def test_volumes_in_the_space_of_features(services: Services) -> None:
    inner = torch.randn(4, INNER, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    module, net = style().double(), features().double()
    jacobians = torch.stack([
        torch.autograd.functional.jacobian(lambda w: net(module.synthesise(w[None]))[0], point) for point in inner
    ])  # fmt: skip
    expected = torch.linalg.svdvals(jacobians).log().numpy()
    request = geometry_pb2.LogVolumeRequest(
        generator="style",
        latents=tensor(inner.numpy(), "<f8"),
        manifold=types_pb2.MANIFOLD_FEATURES,
        precision=types_pb2.PRECISION_FLOAT64,
    )
    found = services.geometry.LogVolume(request)
    assert found.manifold == types_pb2.MANIFOLD_FEATURES
    np.testing.assert_allclose(array(found.log_singular_values), expected, atol=1e-8)
    request.generator = "plain"
    request.latents.CopyFrom(tensor(np.zeros((1, OUTER))))
    refused = failure(lambda: services.geometry.LogVolume(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_FEATURES")


def test_banks_of_features_through_the_client(address: str) -> None:
    with Client(address) as client:
        bank = client.build_bank("style", rows=300, manifold="features")
        assert bank.manifold == "features"
        drawn = client.sample("style", 10, rho=-0.2, top_k=2, manifold="features", seed=4)
        presets = client.advise("style", [0.5], [1], manifold="features").presets
        assert [one.result is None for one in presets] == [False, True, False, False]
        assert "domain" in presets[1].problem  # an inner latent has no default one
        assert presets[2].bank == bank.bank_id
        assert drawn.manifold == "features"
        assert drawn.images.shape == (10, 8, 8)
        assert drawn.header.resolved.bank == bank.bank_id
        again = client.sample_resolved(drawn.resolved)
        assert (again.images == drawn.images).all()
        for call in (
            lambda: client.sample("plain", 1, rho=0.5, manifold="features"),
            lambda: client.build_bank("plain", rows=10, manifold="features"),
            lambda: client.describe_polarity("plain", manifold="features"),
        ):
            with pytest.raises(Exception, match="no feature network") as caught:
                call()
            assert caught.value.reason == "NO_FEATURES"
