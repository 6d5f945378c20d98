from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import magnet_service
from magnet_service.errors import Refused
from magnet_service.generator import Generator, load_version
from magnet_service.sampling import Law, Normal, Rows, parse_law
from magnet_service.sampling.banks.rows import NON_FINITE
from magnet_service.sampling.screening.fitting import LEAST_ROWS, MOST_ROWS
from magnet_service.sampling.screening.surrogate import Surrogate
from tests.sampling.screening.surrogates import ENGINE, OUTPUT, fitted, rows_of

PRIOR = Normal(3)
FASHION = Path(magnet_service.__file__).parent / "bundled" / "fashion"
SHARED = Path(os.environ.get("SHARED_GENERATORS", Path(__file__).parents[4] / "shared" / "generators"))


def test_bytes_follow_from_bank_revision_and_seed(net: Generator, known: Rows, learned: Surrogate) -> None:
    rows = known.first(2048)
    once, again = (fitted(rows, net) for _ in range(2))
    assert once.digest == again.digest
    assert fitted(rows, net, seed=1).digest != once.digest
    assert fitted(rows, net, bank_id="other").digest != once.digest
    assert learned.digest != once.digest


def test_steps_tell_how_far_it_is(net: Generator, known: Rows) -> None:
    shares: list[float] = []
    fitted(known.first(LEAST_ROWS), net, shares=shares)
    assert shares == sorted(shares)
    assert 0.0 < shares[0] < 0.1
    assert shares[-1] == pytest.approx(1.0)
    assert len(shares) > 100


def errors_of(surrogate: Surrogate, net: Generator, fresh: Rows, k: int) -> np.ndarray:
    ranked = fresh.rank >= k
    found = surrogate.scores(net, ENGINE, fresh.latents).log_volumes[:, k - 1]
    return (fresh.log_volumes[:, k - 1] - found)[ranked]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_residual_that_it_states_is_that_of_fresh_latents(k: int, net: Generator, learned: Surrogate) -> None:
    errors = errors_of(learned, net, rows_of(net, PRIOR, 4000, seed=77), k)
    assert abs(errors.mean()) < 0.3 * errors.std()
    # Three networks guess better than the one that never saw a row: what is stated errs on the safe side.
    assert 0.7 * learned.residual(k) < errors.std() < 1.15 * learned.residual(k)


def test_one_network_alone_errs_by_the_residual(net: Generator, learned: Surrogate) -> None:
    fresh = rows_of(net, PRIOR, 4000, seed=77)
    for k in (1, 3):
        alone = [errors_of(replace(learned, members=(one,)), net, fresh, k).std() for one in learned.members]
        assert np.mean(alone) == pytest.approx(learned.residual(k), rel=0.15)


def test_it_knows_more_than_the_mean(net: Generator, known: Rows, learned: Surrogate) -> None:
    for k in (1, 2, 3):
        assert learned.residual(k) < 0.35 * known.log_volumes[known.rank >= k, k - 1].std()


def test_rows_of_low_rank_are_not_learned_from(lame: Generator, lame_rows: Rows, lame_surrogate: Surrogate) -> None:
    ranks = lame_rows.rank
    shares = [(ranks >= k).mean() for k in (1, 2, 3)]
    assert 0.5 < shares[1] < 1.0 or 0.5 < shares[2] < 1.0
    columns = lame_surrogate.columns
    assert columns == max(k for k in (1, 2, 3) if shares[k - 1] >= 0.5)
    for k in range(1, columns + 1):
        assert (np.isnan(lame_surrogate.residuals[:, k - 1]) == (ranks < k)).all()
        assert np.isfinite(lame_surrogate.residual(k))
    # The guessed probability of the rank is that of fresh latents.
    fresh = rows_of(lame, PRIOR, 3000, seed=78)
    found = lame_surrogate.scores(lame, ENGINE, fresh.latents).log_ranks
    for k in range(1, columns + 1):
        known = fresh.rank >= k
        guessed = np.exp(found[:, k - 1])
        assert guessed.mean() == pytest.approx(known.mean(), abs=0.06)
        if not known.all():
            assert guessed[known].mean() > guessed[~known].mean() + 0.5


def test_rows_that_are_not_finite_are_not_learned_from(net: Generator, known: Rows, learned: Surrogate) -> None:
    rows = known.first(2048)
    status, volumes = np.zeros(2048, np.int8), rows.log_volumes.copy()
    status[:100] = NON_FINITE
    volumes[:100] = np.nan
    found = fitted(replace(rows, status=status, log_volumes=volumes), net)
    assert np.isnan(found.residuals[:100]).all()
    assert (np.isfinite(found.residuals[100:]) == (rows.rank[100:, None] >= [1, 2, 3])).all()
    assert all(torch.isfinite(part).all() for member in found.members for part in member)
    assert found.residual(2) < 1.5 * learned.residual(2)


def test_a_generator_that_stretches_everything_alike(net: Generator) -> None:
    torch.manual_seed(0)
    straight = Generator.from_module(nn.Linear(3, 4), 3)
    rows = rows_of(straight, PRIOR, LEAST_ROWS)
    found = fitted(rows, straight)
    assert found.residual(3) < 1e-5
    scores = found.scores(straight, ENGINE, rows.latents[:100])
    assert scores.log_volumes[:, 2] == pytest.approx(rows.log_volumes[:100, 2], abs=1e-5)


def test_too_few_rows_are_refused(net: Generator, known: Rows) -> None:
    with pytest.raises(Refused, match=r"1,999 rows, and a surrogate is fitted on 2,000") as caught:
        fitted(known.first(LEAST_ROWS - 1), net)
    assert (caught.value.reason, caught.value.field) == ("SMALL_BANK", "method")
    assert caught.value.metadata == {"least_rows": "2000"}


def test_a_bank_without_volumes_is_refused(net: Generator, known: Rows) -> None:
    nothing = replace(known, rank=np.zeros(len(known), np.int16), log_volumes=np.full_like(known.log_volumes, -np.inf))
    with pytest.raises(Refused, match="nothing to fit") as caught:
        fitted(nothing, net)
    assert caught.value.reason == "NO_WEIGHT"


@pytest.mark.long
def test_no_more_rows_are_read_than_are_worth_it(net: Generator) -> None:
    rows = rows_of(net, PRIOR, MOST_ROWS + 500, seed=2)
    found = fitted(rows, net)
    assert found.revision == MOST_ROWS + 500
    assert len(found.residuals) == MOST_ROWS
    less = fitted(rows.first(MOST_ROWS), net)
    assert all(
        torch.equal(one, other)
        for mine, theirs in zip(found.members, less.members, strict=True)
        for one, other in zip(mine, theirs, strict=True)
    )


def assert_within_a_nat(generator: Generator, law: Law) -> None:
    surrogate = fitted(rows_of(generator, law, 12_000, manifold=OUTPUT), generator, manifold=OUTPUT)
    assert surrogate.residual(10) <= 1.0
    errors = errors_of(surrogate, generator, rows_of(generator, law, 2000, seed=5, manifold=OUTPUT), 10)
    assert errors.std() < 1.15 * surrogate.residual(10)


@pytest.mark.long
@pytest.mark.skipif(not FASHION.is_dir(), reason="the generator fashion is not bundled in this tree")
def test_fashion_is_guessed_within_a_nat() -> None:
    generator, card, _ = load_version(FASHION)
    assert_within_a_nat(generator, parse_law(card.prior, card.latent_dim))


@pytest.mark.long
@pytest.mark.skipif(not (SHARED / "mnist_mlp_gan.pth").is_file(), reason="no shared generators beside this project")
def test_a_public_generator_is_guessed_within_a_nat() -> None:
    parts = (nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh())
    module = nn.Sequential(*parts)
    module.load_state_dict(torch.load(SHARED / "mnist_mlp_gan.pth", weights_only=True, map_location="cpu"))
    assert_within_a_nat(Generator.from_module(module, 64), Normal(64))
