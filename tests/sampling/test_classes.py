"""Equal shares of all classes: which row has which class, one k and one rho for all, honest figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator.condition import Condition
from magnet_service.sampling import (
    BankChoice,
    ClassBank,
    MixtureDraw,
    Normal,
    Preset,
    Result,
    Rows,
    SampleRequest,
    resolve,
    resolve_classes,
)
from magnet_service.sampling.mixture import places_of, share_of
from tests.sampling.synthetic import DIGEST, rows_of, spec_of

PRIOR = Normal(4)
LABELS = ("ant", "bee", "cat")
# The third class varies most: its bank supports less.
BANKS = tuple(rows_of(PRIOR, 10_000 + step, [0.3, 0.3, 0.3, spread]) for step, spread in enumerate((0.3, 0.5, 2.5)))


def choices(rows: Sequence[Rows] = BANKS) -> list[tuple[BankChoice, Rows]]:
    return [(BankChoice(spec_of(PRIOR, condition=str(index)), "made up"), item) for index, item in enumerate(rows)]


def mixed(rows: Sequence[Rows] = BANKS, **given: object) -> MixtureDraw:
    request = SampleRequest(**{"count": 60, "seed": 5, **given})  # type: ignore[arg-type]  # any attribute
    banks = choices(rows) if request.needs_bank else ()
    return resolve_classes(request, [PRIOR], generator_digest=DIGEST, labels=LABELS[: len(rows)], banks=banks)


def test_row_i_has_class_i_mod_c_in_exactly_equal_shares() -> None:
    draw = mixed(rho=1.0, top_k=2)
    assert draw.classes(0, 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert draw.classes(4, 3).tolist() == [1, 2, 0]
    assert np.bincount(draw.classes(0, 60)).tolist() == [20, 20, 20]
    for rows in range(8):
        assert [share_of(index, 3, rows) for index in range(3)] == np.bincount(
            np.arange(rows) % 3, minlength=3
        ).tolist()
    assert places_of(0, 3, 4, 7).tolist() == [2, 5]


@pytest.mark.parametrize("rho", [0.0, 1.0, -0.5])
def test_each_row_is_that_of_its_class_drawn_alone(rho: float) -> None:
    draw = mixed(rho=rho, top_k=2)
    for index, (choice, rows) in enumerate(choices()):
        request = SampleRequest(count=60, seed=5, rho=rho, top_k=2, condition=Condition(index=index))
        alone = resolve(request, PRIOR, generator_digest=DIGEST, choice=choice, rows=rows)
        assert np.array_equal(draw.latents(0, 60)[index::3], alone.latents(0, 60)[index::3])
        if rho:
            assert np.array_equal(draw.indices(0, 60)[index::3], alone.indices(0, 60)[index::3])
            assert np.array_equal(draw.log_volumes(0, 60)[index::3], alone.log_volumes(0, 60)[index::3])
            assert np.array_equal(draw.log_weights(0, 60)[index::3], alone.log_weights(0, 60)[index::3])


@pytest.mark.parametrize("replacement", [True, False])
def test_pages_are_parts_of_one_draw(replacement: bool) -> None:
    draw = mixed(count=200, rho=1.0, top_k=2, replacement=replacement)
    longer = mixed(count=400, rho=1.0, top_k=2, replacement=replacement)
    whole = draw.latents(0, 200)
    assert np.array_equal(longer.latents(0, 200), whole)
    cut = [draw.latents(start, stop - start) for start, stop in ((0, 5), (5, 64), (64, 64), (64, 200))]
    assert np.array_equal(np.concatenate(cut), whole)
    assert np.array_equal(draw.log_volumes(7, 50), draw.log_volumes(0, 200)[7:57])


def test_without_replacement_no_row_of_a_class_comes_twice_and_classes_are_independent() -> None:
    same = [BANKS[0].first(5000)] * 3  # three banks of the same latents and volumes
    draw = mixed(same, count=900, rho=1.0, top_k=1, replacement=False)
    indices = draw.indices(0, 900)
    assert all(len(np.unique(indices[index::3])) == 300 for index in range(3))
    # 300 of 5000 at random share 18 on average; with one order for all classes they would share all 300.
    assert len(np.intersect1d(indices[0::3], indices[1::3])) < 60
    assert draw.diagnostics.distinct == 900


def test_one_k_for_all_is_the_largest_that_every_class_supports() -> None:
    draw = mixed(rho=1.0)
    each = [mixed([rows], rho=1.0).resolved.top_k for rows in BANKS]
    assert each == [4, 4, 3]
    assert draw.resolved.top_k == 3
    assert "all 3 classes" in draw.resolved.top_k_reason
    assert mixed(rho=0.1).resolved.top_k == 4


def test_one_rho_for_all_is_the_largest_that_every_class_supports() -> None:
    draw = mixed(preset=Preset.MODE)
    alone = [mixed([rows], preset=Preset.MODE, top_k=draw.resolved.top_k).resolved.rho for rows in BANKS]
    assert draw.resolved.rho == max(alone)
    assert "each of 3 classes" in draw.resolved.rho_reason


def test_the_ess_is_that_of_equal_shares_and_the_weakest_class_is_named() -> None:
    draw = mixed(count=3000, rho=1.0, top_k=4)
    each = [part.diagnostics for part in draw.parts]
    assert draw.diagnostics.ess == pytest.approx(9.0 / sum(1.0 / item.ess for item in each))
    assert draw.diagnostics.ess < sum(item.ess for item in each)
    assert (draw.diagnostics.weakest_class, draw.diagnostics.weakest_ess) == (2, each[2].ess)
    assert draw.diagnostics.largest_weight == max(item.largest_weight for item in each)
    assert draw.diagnostics.khat == max(item.khat or 0.0 for item in each)
    assert draw.diagnostics.rows == 30_003
    assert draw.result is draw.parts[2].result is not Result.OK
    assert draw.advice.startswith("Class cat: At rho 1 and top_k 4")


def test_every_class_needs_the_ess_of_its_own_share() -> None:
    draw = mixed([BANKS[0].first(1000)] * 3, count=2400, rho=1.0, top_k=1)
    assert all(part.resolved.count == 800 for part in draw.parts)
    assert draw.result is Result.OK
    assert mixed([BANKS[0].first(1000)] * 3, count=3000, rho=1.0, top_k=1).result is Result.LOW_ESS


def test_the_echo_names_every_bank_and_gives_the_same_rows() -> None:
    draw = mixed(preset=Preset.UNIFORM, seed=None)
    resolved = draw.resolved
    assert [bank.index for bank in resolved.class_banks] == [0, 1, 2]
    assert [bank.revision for bank in resolved.class_banks] == [10_000, 10_001, 10_002]
    assert len({bank.bank_id for bank in resolved.class_banks}) == 3
    assert (resolved.bank_id, resolved.condition, resolved.count) == (None, None, 60)
    again = resolve_classes(resolved.request(), [PRIOR], generator_digest=DIGEST, labels=LABELS, banks=choices())
    assert np.array_equal(again.latents(0, 60), draw.latents(0, 60))
    assert (again.resolved.rho, again.resolved.top_k) == (resolved.rho, resolved.top_k)
    assert again.resolved.class_banks == resolved.class_banks


def test_rho_zero_reads_no_bank() -> None:
    draw = mixed(preset=Preset.AS_TRAINED)
    assert draw.resolved.class_banks == ()
    assert np.array_equal(draw.latents(0, 60), PRIOR.rows(5, 0, 60))
    assert (draw.indices(0, 3), draw.log_volumes(0, 3)) == (None, None)
    assert draw.diagnostics.weakest_class is None


def test_what_one_class_refuses_the_draw_refuses() -> None:
    rank = np.full(10_000, 4)
    rank[:500] = 3
    low = rows_of(PRIOR, 10_000, [0.3] * 4, rank=rank)
    with pytest.raises(Refused, match="rank below top_k 4") as caught:
        mixed([BANKS[0], low], rho=-0.5, top_k=4)
    assert caught.value.reason == "LOW_RANK"
    assert mixed([BANKS[0], low], rho=-0.5).resolved.top_k == 3


def test_a_request_says_whose_banks_it_means() -> None:
    bank = ClassBank(0, "0" * 16, 5)
    for beside in ({"condition": Condition(index=0)}, {"bank_id": "0" * 16}):
        with pytest.raises(InvalidInput) as caught:
            SampleRequest(count=1, rho=1.0, class_banks=(bank,), **beside)  # type: ignore[arg-type]  # one of two
        assert caught.value.field == "class_banks"
