"""Presets, AUTO, verdicts, refusals, and the echo that gives the same bytes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from magnet_service.errors import InvalidInput, Refused
from magnet_service.sampling import (
    Ball,
    BankChoice,
    Base,
    Box,
    Draw,
    Method,
    Normal,
    Preset,
    Result,
    Rows,
    SampleRequest,
    Sphere,
    resolve,
)
from tests.sampling.synthetic import DIGEST, draw_of, rows_of, spec_of

PRIOR = Normal(4)
ROWS = rows_of(PRIOR, 10_000, [0.6, 0.4, 0.3, 1.2])


def ask(**given: object) -> Draw:
    return draw_of(SampleRequest(**{"count": 20, "seed": 1, **given}), ROWS)  # type: ignore[arg-type]  # any attribute


def test_as_trained_is_the_prior_and_reads_no_bank() -> None:
    request = SampleRequest(count=20, seed=1, preset=Preset.AS_TRAINED, top_k=3)
    draw = resolve(request, PRIOR, generator_digest=DIGEST)
    resolved = draw.resolved
    assert (resolved.method, resolved.rho, resolved.det_rho, resolved.top_k) == (Method.DIRECT, 0.0, 0.0, 0)
    assert resolved.bank_id is None
    assert (draw.latents(0, 20) == PRIOR.rows(1, 0, 20)).all()
    assert draw.log_volumes(0, 5) is None
    assert (draw.log_weights(0, 5) == 0.0).all()
    assert (draw.result, draw.advice, draw.diagnostics.ess) == (Result.OK, "", 20.0)


def test_rho_zero_equals_as_trained_whatever_else_is_asked() -> None:
    draw = ask(rho=0.0, top_k=2, replacement=False)
    assert (draw.latents(0, 20) == PRIOR.rows(1, 0, 20)).all()
    assert draw.resolved.top_k == 2
    uniform = ask(rho=0.0, base=Base.UNIFORM)
    assert (uniform.latents(0, 20) == Ball(4, radius=np.sqrt(6.0)).rows(1, 0, 20)).all()


def test_uniform_is_rho_one_over_the_default_domain() -> None:
    draw = ask(preset=Preset.UNIFORM)
    assert (draw.resolved.rho, draw.resolved.det_rho, draw.resolved.base) == (1.0, 0.5, Base.UNIFORM)
    assert draw.resolved.ball_radius == pytest.approx(np.sqrt(6.0))
    assert draw.resolved.top_k == 4
    assert draw.resolved.uniformity == "uniform"
    fewer = ask(preset=Preset.UNIFORM, top_k=2)
    assert (fewer.resolved.top_k, fewer.resolved.uniformity) == (2, "uniform in the top-k volume")


def test_full_rank_is_part_of_the_word_uniform() -> None:
    rank = np.full(10_000, 4)
    rank[:50] = 3
    rows = rows_of(PRIOR, 10_000, [0.3] * 4, rank=rank)
    draw = draw_of(SampleRequest(count=20, seed=1, preset=Preset.UNIFORM), rows)
    assert (draw.resolved.top_k, draw.resolved.uniformity) == (4, "uniform in the top-k volume")
    assert draw.diagnostics.low_rank_share > 0.0


def test_a_prior_with_volume_weights_is_not_called_uniform() -> None:
    assert ask(rho=1.0, top_k=4).resolved.uniformity == ""


@pytest.mark.parametrize(("preset", "sign"), [(Preset.MODE, -1), (Preset.ANTI_MODE, 1)])
def test_mode_and_anti_mode_choose_k_first_and_then_rho(preset: Preset, sign: int) -> None:
    draw = ask(preset=preset)
    assert draw.resolved.top_k == 3
    assert draw.resolved.rho * sign >= 2.0
    assert draw.diagnostics.ess >= 200
    held = ask(preset=preset, top_k=4)
    assert held.resolved.top_k == 4
    assert abs(held.resolved.rho) < abs(draw.resolved.rho)
    assert (draw.resolved.base, held.resolved.base) == (Base.PRIOR, Base.PRIOR)


@pytest.mark.parametrize("preset", [Preset.UNIFORM, Preset.MODE, Preset.ANTI_MODE])
def test_choices_depend_on_neither_count_nor_offset(preset: Preset) -> None:
    one, many = ask(preset=preset, count=1), ask(preset=preset, count=3000, offset=100)
    assert (one.resolved.rho, one.resolved.top_k) == (many.resolved.rho, many.resolved.top_k)
    assert (one.latents(150, 10) == many.latents(150, 10)).all()


def test_auto_without_support_is_marked() -> None:
    rows = rows_of(PRIOR, 150, [0.01] * 4)
    draw = draw_of(SampleRequest(count=20, seed=1, rho=0.5), rows)
    assert draw.diagnostics.ess > 140
    assert (draw.resolved.top_k, draw.result) == (1, Result.LOW_ESS)
    assert "larger bank" in draw.advice
    given = draw_of(SampleRequest(count=20, seed=1, rho=0.5, top_k=1), rows)
    assert (given.result, given.advice) == (Result.OK, "")


def test_an_extreme_preset_without_support_is_a_tenth_with_its_flag() -> None:
    rows = rows_of(PRIOR, 80, [2.0] * 4)
    draw = draw_of(SampleRequest(count=20, seed=1, preset=Preset.MODE), rows)
    assert (draw.resolved.rho, draw.resolved.top_k, draw.result) == (-0.1, 1, Result.LOW_ESS)
    assert draw.advice != ""


def test_advice_names_numbers_that_hold() -> None:
    rows = rows_of(PRIOR, 10_000, [0.6, 0.4, 0.3, 3.0])
    draw = draw_of(SampleRequest(count=500, seed=1, rho=1.5, top_k=4), rows)
    assert draw.result is not Result.OK
    assert "rho 0.5" in draw.advice
    assert "top_k 3" in draw.advice
    better = draw_of(SampleRequest(count=500, seed=1, rho=1.5, top_k=3), rows)
    assert better.result is Result.OK
    assert f"{better.diagnostics.ess:,.0f}" in draw.advice


@pytest.mark.parametrize(
    ("spreads", "given"),
    [
        ([0.01] * 4, {"rho": 0.5}),  # its rows are worth all they could be, and AUTO wants 200
        ([0.5] * 4, {"rho": 1.0, "top_k": 4, "count": 100, "offset": 200}),  # a light tail, and too few rows
        ([2.0] * 4, {"preset": Preset.MODE}),
    ],
)
def test_an_imported_bank_is_never_told_to_grow(spreads: list[float], given: dict[str, object]) -> None:
    rows = rows_of(PRIOR, 80, spreads)
    request = SampleRequest(**{"count": 20, "seed": 1, **given})  # type: ignore[arg-type]  # any attribute
    built = draw_of(request, rows)
    spec = spec_of(PRIOR, generator_name="far", origin="e" * 64, singular_values=4)
    choice = BankChoice(spec, "for the test")
    imported = resolve(request, PRIOR, generator_digest=DIGEST, choice=choice, rows=rows)
    assert (imported.result, imported.diagnostics) == (built.result, built.diagnostics)
    assert imported.result is not Result.OK
    assert imported.advice != ""
    assert not re.search("larger bank|bank of about", imported.advice)
    if Preset.MODE not in given.values():
        assert re.search("larger bank|bank of about", built.advice)


def test_low_rank_is_refused_below_rho_zero_only() -> None:
    rank = np.full(10_000, 4)
    rank[:150] = 2
    rows = rows_of(PRIOR, 10_000, [0.2] * 4, rank=rank)
    with pytest.raises(Refused) as caught:
        draw_of(SampleRequest(count=20, rho=-0.5, top_k=3), rows)
    assert (caught.value.reason, caught.value.field) == ("LOW_RANK", "top_k")
    assert "1.5%" in caught.value.message
    positive = draw_of(SampleRequest(count=20, seed=1, rho=0.5, top_k=3), rows)
    assert positive.diagnostics.low_rank_share == pytest.approx(0.015)
    assert (rows.rank[positive.indices(0, 20)] >= 3).all()  # type: ignore[index]  # a bank is read here
    assert draw_of(SampleRequest(count=20, rho=-0.5, top_k=2), rows).diagnostics.low_rank_share == 0.0


def test_top_k_beyond_the_columns_is_refused() -> None:
    for given in ({"rho": 1.0}, {"rho": 0.0}, {"preset": Preset.MODE}):
        with pytest.raises(InvalidInput) as caught:
            ask(top_k=5, **given)
        assert caught.value.field == "top_k"


def test_a_sphere_counts_one_column_less() -> None:
    sphere = Sphere(4, radius=2.0)
    rows = rows_of(sphere, 1000, [0.2] * 3)
    draw = draw_of(SampleRequest(count=20, seed=1, preset=Preset.UNIFORM), rows, law=sphere, prior=sphere)
    assert (draw.resolved.top_k, draw.resolved.uniformity) == (3, "uniform")
    with pytest.raises(InvalidInput, match="3 columns"):
        draw_of(SampleRequest(count=20, rho=1.0, top_k=4), rows, law=sphere, prior=sphere)


def test_no_bank_and_an_empty_bank_are_refused() -> None:
    with pytest.raises(Refused) as caught:
        resolve(SampleRequest(count=1, rho=1.0), PRIOR, generator_digest=DIGEST)
    assert caught.value.reason == "NO_BANK"
    with pytest.raises(Refused) as caught:
        draw_of(SampleRequest(count=1, rho=1.0), ROWS.first(0))
    assert caught.value.reason == "EMPTY_BANK"


def test_without_replacement_up_to_half_the_ess() -> None:
    ess = ask(rho=0.5, top_k=4).diagnostics.ess
    most = int(ess / 2)
    draw = ask(rho=0.5, top_k=4, count=most, replacement=False)
    assert draw.resolved.sampling == "successive sampling"
    assert draw.diagnostics.distinct == most
    with pytest.raises(Refused) as caught:
        ask(rho=0.5, top_k=4, count=most, offset=1, replacement=False)
    assert (caught.value.reason, caught.value.field) == ("TOO_FEW_ROWS", "replacement")
    assert ask(rho=0.5, top_k=4).resolved.sampling == "independent draws"


def test_pages_are_one_draw() -> None:
    for replacement in (True, False):
        draw = ask(rho=-0.5, top_k=3, count=200, replacement=replacement)
        whole = draw.latents(0, 200)
        assert (draw.latents(50, 30) == whole[50:80]).all()
        indices = draw.indices(0, 200)
        assert (ROWS.latents[indices] == whole).all()
        assert (draw.log_volumes(0, 200) == ROWS.log_volumes[indices, 2]).all()


def test_log_weights_have_mean_one_over_the_bank() -> None:
    draw = ask(rho=0.5, top_k=4)
    weights = np.exp(0.5 * ROWS.log_volumes[:, 3].astype(np.float64))
    expected = np.log(weights / weights.mean())[draw.indices(0, 20)]
    assert draw.log_weights(0, 20) == pytest.approx(expected, abs=1e-12)


def test_distinct_counts_the_answers_rows() -> None:
    draw = ask(rho=2.0, top_k=4, count=5000)
    assert draw.diagnostics.distinct == len(np.unique(draw.indices(0, 5000)))


def test_a_seed_is_chosen_and_answered() -> None:
    first, second = ask(rho=0.5, seed=None), ask(rho=0.5, seed=None)
    assert first.resolved.seed != second.resolved.seed
    again = ask(rho=0.5, seed=first.resolved.seed)
    assert (again.latents(0, 20) == first.latents(0, 20)).all()


ROUND_TRIPS: list[dict[str, object]] = [
    *({"preset": preset} for preset in Preset),
    {"preset": Preset.MODE, "top_k": 2},
    {"preset": Preset.UNIFORM, "ball_radius": 1.5},
    {"preset": Preset.UNIFORM, "box": (-1.0, 1.0)},
    {"preset": Preset.UNIFORM, "truncation_psi": 0.7},
    {"rho": -0.3},
    {"rho": 0.0, "base": Base.UNIFORM, "top_k": 2},
    {"rho": 0.5, "truncation_norm": 2.0},
    {"rho": 0.5, "replacement": False, "offset": 30, "min_ess": 500.0},
    {"rho": 0.5, "endless": True, "count": 0},
]


@pytest.mark.parametrize("given", ROUND_TRIPS, ids=str)
def test_the_resolved_request_gives_the_same_bytes(given: dict[str, object]) -> None:
    first = ask(**{**given, "seed": None})
    echo = first.resolved.request()
    assert echo.preset is None
    choice = BankChoice(spec_of(PRIOR), "named in the request")
    again = resolve(echo, PRIOR, generator_digest=DIGEST, choice=choice, rows=ROWS)
    assert again.latents(3, 40).tobytes() == first.latents(3, 40).tobytes()
    assert again.log_weights(3, 40).tobytes() == first.log_weights(3, 40).tobytes()
    reasons = {"rho_reason": "", "top_k_reason": "", "bank_reason": ""}
    assert replace(again.resolved, **reasons) == replace(first.resolved, **reasons)


def test_a_box_prior_is_its_own_domain() -> None:
    prior = Box(4, low=-1.0, high=1.0)
    rows = rows_of(prior, 1000, [0.2] * 4)
    draw = draw_of(SampleRequest(count=20, seed=1, preset=Preset.UNIFORM), rows, law=prior, prior=prior)
    assert draw.resolved.box == (-1.0, 1.0)
    assert draw.resolved.uniformity == "uniform"


def test_an_earlier_revision_gives_the_earlier_answer() -> None:
    early: Rows = ROWS.first(4000)
    assert draw_of(SampleRequest(count=20, seed=1, rho=0.5), early).resolved.bank_revision == 4000


def test_the_advice_names_the_ess_that_auto_was_asked_for() -> None:
    draw = ask(rho=0.5, min_ess=9999.0)
    assert (draw.resolved.top_k, draw.result) == (1, Result.LOW_ESS)
    assert "9,999 are needed" in draw.advice
    assert "200" not in draw.advice


def test_a_direct_draw_counts_its_own_rows_and_without_an_end_those_of_an_endless_one() -> None:
    assert ask(rho=0.0, offset=1000).diagnostics.ess == 20.0
    endless = ask(rho=0.0, count=0, endless=True).diagnostics
    assert (endless.ess, endless.largest_weight) == (1000.0, 0.001)


def test_low_rank_at_the_least_k_is_not_told_to_use_a_smaller_one() -> None:
    rank = np.full(10_000, 4)
    rank[:150] = 0
    with pytest.raises(Refused) as caught:
        draw_of(SampleRequest(count=20, rho=-0.5, top_k=1), rows_of(PRIOR, 10_000, [0.2] * 4, rank=rank))
    assert caught.value.reason == "LOW_RANK"
    assert "smaller top_k" not in caught.value.message
    assert "rho >= 0" in caught.value.message
