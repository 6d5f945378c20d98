"""Conditions in the registry: banks of each, draws of one and of all, pages cut anywhere."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator.condition import Condition
from magnet_service.registry import BuildRequest, DescribeRequest, Plan, Registry, Wanted, page, spans
from magnet_service.sampling import ClassBank, SampleRequest
from tests.conditional.pets import CLASSES, LABELS, module_of

EVERYTHING = Wanted(values=True, latents=True, log_volumes=True, log_weights=True)
ALL = tuple(Condition(index=index) for index in range(CLASSES))


@pytest.fixture
def registry(repository: Path, tmp_path: Path) -> Registry:
    return Registry([repository], tmp_path / "store", threads=1)


def build(registry: Registry, name: str = "pets", rows: int = 640, **given: object) -> str:
    plan = registry.plan_build(name, BuildRequest(rows=rows, **given))  # type: ignore[arg-type]  # any attribute
    for _ in plan.steps:
        pass
    return plan.bank.id


def asked(**given: object) -> SampleRequest:
    return SampleRequest(**{"count": 50, "seed": 3, "rho": 1.0, "top_k": 2, **given})  # type: ignore[arg-type]  # any


def expected(name: str, latents: np.ndarray, index: int) -> np.ndarray:
    condition = torch.eye(CLASSES)[index] if name == "hot" else torch.tensor(index)
    rows = condition.expand(len(latents), *condition.shape)
    with torch.no_grad():
        return module_of(name)(torch.from_numpy(latents), rows).numpy()


@pytest.mark.parametrize("name", ["pets", "hot"])
@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_rows_are_those_of_the_module_for_their_class(registry: Registry, name: str, rho: float) -> None:
    if rho:
        for condition in ALL:
            build(registry, name, condition=condition)
    found = page(registry.plan(name, asked(rho=rho)), 0, 50, EVERYTHING)
    assert found.classes is not None
    assert found.values is not None
    assert found.latents is not None
    assert found.log_volumes is not None
    assert found.classes.tolist() == [row % CLASSES for row in range(50)]
    for index in range(CLASSES):
        mine = found.classes == index
        assert np.allclose(found.values[mine], expected(name, found.latents[mine], index), atol=1e-5)
        held = registry.get(name, Condition(index=index))
        alone = registry.generate(held, found.latents[mine], Wanted(values=False, log_volumes=True), top_k=2)
        assert alone.log_volumes is not None
        assert np.allclose(found.log_volumes[mine], alone.log_volumes, atol=1e-5)


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_pages_hold_the_same_bytes_however_they_are_cut(registry: Registry, rho: float) -> None:
    if rho:
        for condition in ALL:
            build(registry, condition=condition)
    plan = registry.plan("pets", asked(count=200, rho=rho))
    whole = page(plan, 0, 200, EVERYTHING)
    assert plan.block == 4 * plan.engine.tile_rows
    for cuts in ((0, 1, 63, 64, 129, 200), (0, 70, 71, 200)):
        parts = [page(plan, start, stop - start, EVERYTHING) for start, stop in pairwise(cuts)]
        for name in ("values", "latents", "log_volumes", "log_weights", "classes"):
            joined = np.concatenate([getattr(part, name) for part in parts])
            assert joined.tobytes() == getattr(whole, name).tobytes(), name
    longer = page(registry.plan("pets", asked(count=300, rho=rho)), 0, 200, EVERYTHING)
    assert longer.values is not None
    assert whole.values is not None
    assert longer.values.tobytes() == whole.values.tobytes()


def test_pages_of_a_stream_are_blocks_where_they_fit(registry: Registry) -> None:
    plan = registry.plan("pets", asked(rho=0.0))
    tile = plan.engine.tile_rows
    assert plan.step(1000) == 4 * tile
    assert plan.step(2 * tile) == tile
    assert plan.step(1) == tile
    assert list(spans(0, 200, 150, plan.step(150))) == [(0, 128), (128, 72)]


def test_a_row_of_all_classes_is_that_of_its_class_alone(registry: Registry) -> None:
    for condition in ALL:
        build(registry, condition=condition)
    mixed = page(registry.plan("pets", asked(count=40)), 0, 40, EVERYTHING)
    alone = page(registry.plan("pets", asked(count=40, condition=Condition(label="cat"))), 0, 40, EVERYTHING)
    assert alone.classes is not None
    assert alone.classes.tolist() == [2] * 40
    for name in ("latents", "log_volumes", "log_weights", "bank_rows"):
        assert np.array_equal(getattr(mixed, name)[2::4], getattr(alone, name)[2::4]), name


def test_every_condition_has_a_bank_of_its_own(registry: Registry) -> None:
    ids = [build(registry, condition=condition) for condition in ALL]
    assert len(set(ids)) == CLASSES
    assert build(registry, condition=Condition(label="bee")) == ids[1]
    banks = {bank.id: bank for bank in registry.banks.all()}
    assert [banks[name].spec.condition for name in ids] == ["0", "1", "2", "3"]
    assert len({banks[name].spec.generator_digest for name in ids}) == 1
    volumes = [banks[name].rows().log_volumes for name in ids]
    assert np.array_equal(banks[ids[0]].rows().latents, banks[ids[1]].rows().latents)
    assert not np.array_equal(volumes[0], volumes[1])


def test_a_vector_is_named_and_has_a_bank_of_its_own(registry: Registry) -> None:
    vector = Condition(vector=(0.1, -2.0))
    with pytest.raises(Refused, match=r"bank build styled@1 --condition=0\.1,-2\.0,$") as missing:
        registry.plan("styled", asked(condition=vector))
    assert missing.value.reason == "NO_BANK"
    name = build(registry, "styled", condition=vector)
    plan = registry.plan("styled", asked(condition=vector))
    assert plan.draw.resolved.bank_id == name
    assert plan.draw.resolved.condition == vector
    assert page(plan, 0, 5, EVERYTHING).classes is None
    again = registry.plan("styled", plan.draw.resolved.request())
    assert page(again, 0, 50, EVERYTHING).values.tobytes() == page(plan, 0, 50, EVERYTHING).values.tobytes()  # type: ignore[union-attr]  # asked for
    for rho in (0.0, 1.0):
        with pytest.raises(InvalidInput, match="vectors of 2 numbers") as open_:
            registry.plan("styled", asked(rho=rho))
        assert open_.value.field == "condition"


def test_missing_banks_are_named_with_the_command(registry: Registry) -> None:
    with pytest.raises(Refused, match="ant, bee, cat, dog, small have none") as caught:
        registry.plan("pets", asked())
    assert caught.value.reason == "NO_BANK"
    assert caught.value.metadata["command"] == "magnet bank build pets@1 --all-conditions"
    for condition in ALL[:3]:
        build(registry, condition=condition)
    with pytest.raises(Refused, match="dog, small has none") as caught:
        registry.plan("pets", asked())
    assert shlex.split(caught.value.metadata["command"])[-1] == "--condition=dog, small"
    with pytest.raises(Refused) as one:
        registry.plan("pets", asked(condition=ALL[3]))
    assert shlex.split(one.value.metadata["command"])[-1] == "--condition=dog, small"
    assert registry.plan("pets", asked(condition=ALL[0])).draw.resolved.condition == ALL[0]
    assert registry.plan("pets", asked(rho=0.0)).draw.resolved.class_banks == ()


def test_the_banks_of_all_classes_may_be_named(registry: Registry) -> None:
    small = [build(registry, rows=320, condition=condition) for condition in ALL]
    large = [build(registry, rows=640, condition=condition) for condition in ALL]
    assert small == large
    named = tuple(ClassBank(index, name, 320) for index, name in enumerate(small))
    plan = registry.plan("pets", asked(class_banks=named))
    assert plan.draw.resolved.class_banks == named
    same = registry.plan("pets", asked(bank_revision=320))
    assert same.draw.resolved.class_banks == named
    assert rows_of(plan) == rows_of(same) != rows_of(registry.plan("pets", asked()))
    for wrong, field in (
        ({"class_banks": named[:3]}, "class_banks"),
        ({"class_banks": (*named[:3], named[0])}, "class_banks"),
        ({"bank_id": small[0]}, "bank_id"),
    ):
        with pytest.raises(InvalidInput) as caught:
            registry.plan("pets", asked(**wrong))
        assert caught.value.field == field
    swapped = (ClassBank(0, small[1], 320), *named[1:])
    with pytest.raises(Refused, match="condition 1, not 0") as foreign:
        registry.plan("pets", asked(class_banks=swapped))
    assert foreign.value.reason == "FOREIGN_BANK"


def rows_of(plan: Plan) -> bytes:
    found = page(plan, 0, 50, EVERYTHING)
    assert found.values is not None
    return found.values.tobytes()


def test_what_needs_one_condition_says_so(registry: Registry) -> None:
    for call in (
        lambda: registry.get("pets", None),
        lambda: registry.plan_build("pets", BuildRequest(rows=16)),
        lambda: registry.describe("pets", DescribeRequest()),
    ):
        with pytest.raises(InvalidInput, match="a class from 0 to 3 or its label") as caught:
            call()
        assert caught.value.field == "condition"
    with pytest.raises(InvalidInput, match="a vector of 2 numbers"):
        registry.get("styled", None)


def test_polarity_is_described_for_one_condition(registry: Registry) -> None:
    name = build(registry, condition=ALL[1])
    found = registry.describe("pets", DescribeRequest(condition=Condition(label=LABELS[1]), rhos=(1.0,), top_ks=(2,)))
    assert found.choice.spec.id == name
    assert len(found.cells) == 1
