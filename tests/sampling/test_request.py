"""Requests that can never be answered, one by one, with the field at fault."""

from __future__ import annotations

import math

import pytest

from magnet_service.errors import InvalidInput
from magnet_service.sampling import Ball, Base, Box, ClassBank, Normal, NormBoundedNormal, Preset, SampleRequest


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"count": 0, "rho": 1.0}, "count"),
        ({"count": -1, "rho": 1.0}, "count"),
        ({"count": 1_000_001, "rho": 1.0}, "count"),
        ({"count": 5, "rho": 1.0, "endless": True}, "count"),
        ({"count": 1, "rho": 1.0, "offset": -1}, "offset"),
        ({"count": 1, "rho": 1.0, "offset": 2**53 + 1}, "offset"),
        ({"count": 1, "rho": 1.0, "seed": -1}, "seed"),
        ({"count": 1, "rho": 1.0, "seed": 2**64}, "seed"),
        ({"count": 1}, "rho"),
        ({"count": 1, "rho": 1.0, "preset": Preset.MODE}, "rho"),
        ({"count": 1, "rho": math.nan}, "rho"),
        ({"count": 1, "rho": math.inf}, "rho"),
        ({"count": 1, "rho": -math.inf}, "rho"),
        ({"count": 1, "rho": 1e7}, "rho"),
        ({"count": 1, "rho": 1.0, "top_k": -1}, "top_k"),
        ({"count": 1, "rho": 1.0, "min_ess": math.nan}, "min_ess"),
        ({"count": 1, "rho": 1.0, "min_ess": -1.0}, "min_ess"),
        ({"count": 1, "preset": Preset.MODE, "base": Base.UNIFORM}, "base"),
        ({"count": 1, "preset": Preset.ANTI_MODE, "base": Base.UNIFORM}, "base"),
        ({"count": 1, "preset": Preset.AS_TRAINED, "base": Base.UNIFORM}, "base"),
        ({"count": 1, "preset": Preset.UNIFORM, "base": Base.PRIOR}, "base"),
        ({"count": 1, "rho": 1.0, "ball_radius": 1.0}, "ball_radius"),
        ({"count": 1, "preset": Preset.MODE, "box": (0.0, 1.0)}, "box"),
        ({"count": 1, "preset": Preset.UNIFORM, "box": (0.0, 1.0), "ball_radius": 1.0}, "box"),
        ({"count": 1, "rho": 0.0, "truncation_psi": 0.5, "truncation_norm": 1.0}, "truncation_norm"),
        ({"count": 1, "preset": Preset.UNIFORM, "ball_radius": 1.0, "truncation_psi": 0.5}, "truncation_psi"),
        ({"count": 1, "rho": 1.0, "bank_revision": 0}, "bank_revision"),
        ({"rho": 1.0, "endless": True, "replacement": False}, "replacement"),
        ({"count": 1, "rho": 1.0, "bank_id": "0" * 16, "class_banks": (ClassBank(0, "1" * 16, 1),)}, "class_banks"),
    ],
)
def test_refused_with_the_field_at_fault(given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SampleRequest(**given)  # type: ignore[arg-type]  # a table of keyword arguments
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("given", "base", "needs"),
    [
        ({"preset": Preset.AS_TRAINED}, Base.PRIOR, False),
        ({"preset": Preset.UNIFORM}, Base.UNIFORM, True),
        ({"preset": Preset.MODE}, Base.PRIOR, True),
        ({"rho": 0.0}, Base.PRIOR, False),
        ({"rho": 0.0, "base": Base.UNIFORM}, Base.UNIFORM, False),
        ({"rho": 0.5}, Base.PRIOR, True),
        ({"preset": Preset.UNIFORM, "base": Base.UNIFORM}, Base.UNIFORM, True),
    ],
)
def test_base_and_need_of_a_bank(given: dict[str, object], base: Base, needs: bool) -> None:
    request = SampleRequest(count=1, **given)  # type: ignore[arg-type]  # a table of keyword arguments
    assert (request.chosen_base, request.needs_bank) == (base, needs)


def test_base_laws() -> None:
    prior = Normal(2)
    assert SampleRequest(count=1, rho=1.0).base_law(prior) == prior
    assert SampleRequest(count=1, rho=1.0, truncation_psi=0.5).base_law(prior) == Normal(2, scale=0.5)
    assert SampleRequest(count=1, rho=1.0, truncation_norm=1.5).base_law(prior) == NormBoundedNormal(2, bound=1.5)
    assert SampleRequest(count=1, preset=Preset.UNIFORM).base_law(prior) == Ball(2, radius=2.0)
    assert SampleRequest(count=1, preset=Preset.UNIFORM, truncation_psi=0.5).base_law(prior) == Ball(2, radius=1.0)
    assert SampleRequest(count=1, preset=Preset.UNIFORM, box=(-2.0, 2.0)).base_law(prior) == Box(2, low=-2.0, high=2.0)
