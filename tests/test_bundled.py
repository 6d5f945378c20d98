"""The generators that come with the package: small, verified, what their cards say."""

from __future__ import annotations

import pytest
import torch

from magnet_service.config import BUNDLED
from magnet_service.generator import Kind, Manifold, load_version
from magnet_service.generator.versions import verify_version
from magnet_service.geometry import Engine, volumes
from magnet_service.sampling import parse_law

NAMES = ("fashion", "rings")


def test_all_of_them_are_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) < 6 * 2**20
    assert sorted(path.name for path in BUNDLED.iterdir() if path.is_dir()) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_loads_verified_against_the_module_it_was(name: str) -> None:
    found, card, version = verify_version(BUNDLED / name)
    assert (found.reference, version) == ("probe", 1)
    assert max(found.forward_error, found.jacobian_error) < 1e-5
    assert card.licence == "Apache-2.0"
    assert (BUNDLED / name / "CARD.md").is_file()


def test_fashion_is_the_biased_convolutional_generator() -> None:
    generator, card, _ = load_version(BUNDLED / "fashion")
    operations = {node.operation for node in generator.summary}
    assert operations >= {"transposed_convolution", "batch_norm", "relu", "tanh"}
    assert 16 <= generator.latent_dim <= 24
    shares = card.training_shares
    assert len(shares) == len(card.labels) == 10
    assert max(shares) / min(shares) == pytest.approx(20, rel=0.05)


def test_rings_is_piecewise_affine_full_rank_and_of_moderate_spread() -> None:
    generator, card, _ = load_version(BUNDLED / "rings")
    assert generator.piecewise_affine
    assert all(node.kind is not Kind.SMOOTH for node in generator.summary)
    prior = parse_law(card.prior, generator.latent_dim)
    latents = torch.from_numpy(prior.rows(0, 0, 4096))
    found = volumes(generator, latents, manifold=Manifold.PRE_ACTIVATION, engine=Engine(threads=1))
    assert (found.rank == 2).all()
    assert 0.5 < found.log_singular_values.sum(1).std().item() < 1.2
