from __future__ import annotations

import pytest

from magnet_service.errors import InvalidInput
from magnet_service.sampling import SampleRequest
from magnet_service.sampling.method import MAX_EVALUATIONS, MAX_FORWARDS, UNSETTLED, Effort, Method
from magnet_service.sampling.presets import Preset


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"evaluations": -1.0}, "budget.evaluations"),
        ({"evaluations": float("nan")}, "budget.evaluations"),
        ({"evaluations": float("inf")}, "budget.evaluations"),
        ({"evaluations": MAX_EVALUATIONS + 0.5}, "budget.evaluations"),
        ({"exact": -1, "forwards": 10}, "budget.exact"),
        ({"exact": MAX_EVALUATIONS + 1, "forwards": 10}, "budget.exact"),
        ({"exact": 10, "forwards": -1}, "budget.forwards"),
        ({"exact": 10, "forwards": MAX_FORWARDS + 1}, "budget.forwards"),
        ({"exact": 10}, "budget.forwards"),
        ({"forwards": 10}, "budget.exact"),
    ],
)
def test_an_effort_that_can_never_be_made_is_told(given: dict[str, float], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Effort(**given)  # type: ignore[arg-type]  # numbers of both kinds
    assert caught.value.field == field


def test_an_effort_is_settled_by_both_its_numbers() -> None:
    assert not UNSETTLED.settled
    assert not Effort(evaluations=float(MAX_EVALUATIONS)).settled
    assert Effort(exact=MAX_EVALUATIONS, forwards=MAX_FORWARDS).settled
    assert Effort(0.0, 1, 1).settled


def test_which_methods_screen() -> None:
    assert [method for method in Method if method.screens] == [Method.SCREENED, Method.SCREENED_CHAIN]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"method": Method.DIRECT}, "method"),
        ({"method": Method.SCREENED, "replacement": False}, "replacement"),
        ({"method": Method.SCREENED_CHAIN, "replacement": False}, "replacement"),
        ({"method": Method.RESAMPLE, "surrogate": "0" * 16}, "surrogate"),
        ({"method": Method.RESAMPLE, "effort": Effort(100.0)}, "budget"),
        ({"effort": Effort(0.0, 10, 10)}, "budget"),
        ({"method": Method.SCREENED, "min_ess": float("inf")}, "min_ess"),
        ({"method": Method.SCREENED, "min_ess": -1.0}, "min_ess"),
    ],
)
def test_a_request_that_contradicts_its_method_is_told(given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SampleRequest(count=1, rho=1.0, **given)  # type: ignore[arg-type]  # any attribute
    assert caught.value.field == field


@pytest.mark.parametrize(
    "given",
    [
        {"rho": 0.0, "method": Method.DIRECT},
        {"preset": Preset.AS_TRAINED, "method": Method.DIRECT},
        {"rho": 0.0, "method": Method.SCREENED, "effort": Effort(100.0)},
        {"rho": 1.0, "method": Method.AUTO, "replacement": False},
        {"rho": 1.0, "method": Method.AUTO, "surrogate": "0" * 16, "effort": Effort(0.0, 10, 10)},
        {"preset": Preset.UNIFORM, "method": Method.SCREENED_CHAIN, "min_ess": 1e9},
    ],
)
def test_requests_of_every_method(given: dict[str, object]) -> None:
    assert SampleRequest(count=1, **given).method is given["method"]  # type: ignore[arg-type]  # any attribute
