from __future__ import annotations

import pytest

from magnet_service.errors import Refused, UnknownResource
from magnet_service.generator import Manifold, Precision
from magnet_service.sampling import Ball, BankSpec, Normal, Preset, SampleRequest, choose_bank
from tests.sampling.synthetic import DIGEST, spec_of

PRIOR = Normal(2)
OF_PRIOR = spec_of(PRIOR)
OF_BALL = spec_of(Ball(2, radius=2.0))


def choose(specs: list[BankSpec], **given: object) -> tuple[BankSpec, str]:
    request = SampleRequest(count=1, **given)  # type: ignore[arg-type]  # any attribute
    choice = choose_bank(specs, request, PRIOR, generator_digest=DIGEST)
    return choice.spec, choice.reason


def test_the_bank_whose_law_is_the_base_comes_first() -> None:
    assert choose([OF_PRIOR, OF_BALL], preset=Preset.UNIFORM)[0] == OF_BALL
    assert choose([OF_BALL, OF_PRIOR], rho=1.0)[0] == OF_PRIOR
    narrow = spec_of(Normal(2, scale=0.5))
    assert choose([OF_PRIOR, narrow], rho=1.0, truncation_psi=0.5)[0] == narrow


def test_else_the_priors_is_corrected_and_says_so() -> None:
    spec, reason = choose([OF_PRIOR], preset=Preset.UNIFORM)
    assert spec == OF_PRIOR
    assert "corrected to the base ball(dim=2,radius=2.0)" in reason
    assert choose([OF_PRIOR], rho=1.0, truncation_norm=1.0)[0] == OF_PRIOR


def test_among_equals_the_lowest_seed() -> None:
    others = [spec_of(PRIOR, seed=seed) for seed in (3, 1, 2)]
    assert choose(others, rho=1.0)[0].seed == 1


@pytest.mark.parametrize(
    "changes",
    [{"manifold": Manifold.PRE_ACTIVATION}, {"precision": Precision.FLOAT64}],
)
def test_unfit_banks_are_passed_over_and_refused_by_name(changes: dict[str, object]) -> None:
    unfit = spec_of(PRIOR, **changes)
    assert choose([unfit, OF_PRIOR], rho=1.0)[0] == OF_PRIOR
    with pytest.raises(Refused) as caught:
        choose([unfit, OF_PRIOR], rho=1.0, bank_id=unfit.id)
    assert (caught.value.reason, caught.value.field) == ("FOREIGN_BANK", "bank_id")


def test_a_bank_of_another_generator_is_refused() -> None:
    foreign = BankSpec(generator_digest="e" * 64, law=PRIOR.to_text())
    with pytest.raises(Refused, match="another generator"):
        choose([foreign], rho=1.0, bank_id=foreign.id)
    with pytest.raises(Refused) as caught:
        choose([foreign], rho=1.0)
    assert caught.value.reason == "NO_BANK"
    assert caught.value.metadata["law"] == "normal(dim=2)"


def test_a_bank_that_does_not_cover_the_base_is_refused() -> None:
    with pytest.raises(Refused, match="does not cover"):
        choose([OF_BALL], rho=1.0, bank_id=OF_BALL.id)
    with pytest.raises(Refused) as caught:
        choose([OF_BALL], rho=1.0)
    assert caught.value.reason == "NO_BANK"


def test_a_named_bank_is_taken_though_another_fits_better() -> None:
    assert choose([OF_PRIOR, OF_BALL], preset=Preset.UNIFORM, bank_id=OF_PRIOR.id)[0] == OF_PRIOR


def test_an_unknown_bank_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownResource, match=OF_PRIOR.id) as caught:
        choose([OF_PRIOR], rho=1.0, bank_id="0" * 16)
    assert caught.value.field == "bank_id"


def test_the_id_is_a_digest_of_every_attribute() -> None:
    base = {"generator_digest": DIGEST, "law": "normal(dim=2)"}
    changes: list[dict[str, object]] = [
        {}, {"generator_digest": "e" * 64}, {"law": "normal(dim=3)"}, {"condition": "x"}, {"tile_rows": 32},
        {"manifold": Manifold.PRE_ACTIVATION}, {"precision": Precision.FLOAT64}, {"threads": 2}, {"seed": 1},
        {"device": "cuda"},
    ]  # fmt: skip
    ids = {BankSpec(**{**base, **change}).id for change in changes}  # type: ignore[arg-type]  # any attribute
    assert len(ids) == len(changes)
    assert all(len(name) == 16 for name in ids)


def test_among_equals_one_computed_as_this_engine_computes() -> None:
    others = [spec_of(PRIOR, seed=1), spec_of(PRIOR, seed=2, tile_rows=8, threads=2), spec_of(PRIOR, tile_rows=8)]
    request = SampleRequest(count=1, rho=1.0)
    choice = choose_bank(others, request, PRIOR, generator_digest=DIGEST, tile_rows=8, threads=2)
    assert choice.spec == others[1]


def test_among_equals_one_computed_on_this_kind_of_device() -> None:
    on_gpu = spec_of(PRIOR, seed=5, device="cuda")
    request = SampleRequest(count=1, rho=1.0)
    assert choose_bank([OF_PRIOR, on_gpu], request, PRIOR, generator_digest=DIGEST, device="cuda").spec == on_gpu
    assert choose_bank([OF_PRIOR, on_gpu], request, PRIOR, generator_digest=DIGEST).spec == OF_PRIOR
