"""Arguments of a draw to its request and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magnet.v1 import sampling_pb2
from magnet_client import InvalidInput, Resolved
from magnet_client.codec import decode_resolved, sample_request

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TARGETS = st.one_of(
    st.fixed_dictionaries({"preset": st.sampled_from(["as_trained", "uniform", "mode", "anti_mode"])}),
    st.fixed_dictionaries({"rho": FINITE}),
    st.fixed_dictionaries({"det_rho": FINITE}),
)
BASES = st.one_of(
    st.just({}),
    st.just({"base": "prior"}),
    st.just({"base": "uniform"}),
    st.fixed_dictionaries({"base": st.just("uniform"), "ball_radius": st.floats(1e-3, 1e6)}),
    st.just({"base": "uniform", "box": (-1.5, 2.0)}),
)
TRUNCATIONS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"truncation_psi": st.floats(0, 1, exclude_min=True)}),
    st.fixed_dictionaries({"truncation_norm": st.floats(1e-3, 1e6)}),
)
REST = st.fixed_dictionaries(
    {
        "count": st.integers(1, 2**40),
        "offset": st.integers(0, 2**40),
        "seed": st.none() | st.integers(0, 2**64 - 1),
        "top_k": st.integers(0, 2**31 - 1),
        "manifold": st.sampled_from(["output", "pre_activation"]),
        "bank": st.none() | st.just("0123456789abcdef"),
        "bank_revision": st.none() | st.integers(1, 2**40),
        "replacement": st.booleans(),
        "precision": st.sampled_from(["float32", "float64", "bfloat16"]),
        "min_ess": st.floats(0, 1e9),
        "method": st.sampled_from(["resample", "screened", "screened_chain", "auto"]),
        "evaluations": st.floats(0, 1e6),
        "exact": st.integers(0, 10**6),
        "forwards": st.integers(0, 10**8),
        "surrogate": st.none() | st.just("0123456789abcdef"),
        "images": st.sampled_from(["uint8", "float32", "png", None]),
        "latents": st.just(True),
        "log_volumes": st.booleans(),
        "weights": st.booleans(),
    }
)


@given(TARGETS, BASES, TRUNCATIONS, REST)
def test_a_request_comes_back_as_it_was_asked(
    target: dict[str, Any], base: dict[str, Any], truncation: dict[str, Any], rest: dict[str, Any]
) -> None:
    wanted = Resolved(generator="rings@3", **target, **base, **truncation, **rest)
    sent = sampling_pb2.SampleRequest.FromString(sample_request(wanted).SerializeToString())
    assert decode_resolved(sent) == wanted
    assert Resolved.from_json(wanted.to_json()) == wanted


def test_every_field_of_the_request_has_its_argument() -> None:
    """A field that the protocol gains must not be lost when a resolved request is sent again."""
    covered = {
        "base": {"base", "ball_radius", "box"},
        "truncation": {"truncation_psi", "truncation_norm"},
        "outputs": {"images", "latents", "log_volumes", "weights"},
        "bank_id": {"bank"},
        "without_replacement": {"replacement"},
        "budget": {"evaluations", "exact", "forwards"},
    }
    arguments: set[str] = set()
    for field in sampling_pb2.SampleRequest.DESCRIPTOR.fields:
        arguments |= covered.get(field.name, {field.name})
    assert arguments == {field.name for field in dataclasses.fields(Resolved)}


@pytest.mark.parametrize(
    ("given_arguments", "field", "says"),
    [
        ({}, "rho", "none of them is given"),
        ({"rho": 1.0, "preset": "uniform"}, "rho", "preset and rho are given"),
        ({"rho": 1.0, "det_rho": 0.5}, "det_rho", "rho and det_rho are given"),
        ({"rho": 1.0, "det_rho": 0.5, "preset": "mode"}, "det_rho", "preset and rho and det_rho are given"),
        ({"rho": float("nan")}, "rho", "finite"),
        ({"rho": float("inf")}, "rho", "finite"),
        ({"det_rho": float("-inf")}, "det_rho", "finite"),
        ({"rho": "much"}, "rho", "finite"),
        ({"preset": "even"}, "preset", "'as_trained', 'uniform', 'mode', 'anti_mode'"),
        ({"rho": 1.0, "count": 0}, "count", "at least 1"),
        ({"rho": 1.0, "count": -5}, "count", "at least 1"),
        ({"rho": 1.0, "count": 1.5}, "count", "integer"),
        ({"rho": 1.0, "count": True}, "count", "integer"),
        ({"rho": 1.0, "offset": -1}, "offset", "at least 0"),
        ({"rho": 1.0, "seed": -1}, "seed", "from 0"),
        ({"rho": 1.0, "seed": 2**64}, "seed", "18446744073709551615"),
        ({"rho": 1.0, "top_k": -1}, "top_k", "from 0"),
        ({"rho": 1.0, "base": "normal"}, "base", "'prior' or 'uniform'"),
        ({"rho": 1.0, "ball_radius": 2.0}, "ball_radius", "base='uniform'"),
        ({"rho": 1.0, "base": "prior", "box": (-1, 1)}, "box", "base='uniform'"),
        ({"rho": 1.0, "base": "uniform", "ball_radius": 0.0}, "ball_radius", "above 0"),
        ({"rho": 1.0, "base": "uniform", "ball_radius": 1.0, "box": (-1, 1)}, "box", "both are given"),
        ({"rho": 1.0, "base": "uniform", "box": (1, 1)}, "box", "low < high"),
        ({"rho": 1.0, "base": "uniform", "box": 3}, "box", "(low, high)"),
        ({"rho": 1.0, "base": "uniform", "box": (0, float("nan"))}, "box", "finite"),
        ({"rho": 1.0, "manifold": "image"}, "manifold", "'output', 'pre_activation', 'features'"),
        ({"rho": 1.0, "precision": "float16"}, "precision", "'float32', 'float64', 'bfloat16'"),
        ({"rho": 1.0, "truncation_psi": 0.0}, "truncation_psi", "above 0, at most 1"),
        ({"rho": 1.0, "truncation_psi": 1.5}, "truncation_psi", "at most 1"),
        ({"rho": 1.0, "truncation_norm": -1.0}, "truncation_norm", "above 0"),
        ({"rho": 1.0, "truncation_psi": 0.5, "truncation_norm": 2.0}, "truncation_norm", "both are given"),
        ({"rho": 1.0, "min_ess": -1.0}, "min_ess", "not below 0"),
        ({"rho": 1.0, "images": "jpeg"}, "images", "'uint8', 'float32', 'png', None"),
        ({"rho": 1.0, "bank": "../etc"}, "bank", "16 hexadecimal"),
        ({"rho": 1.0, "bank_revision": -1}, "bank_revision", "at least 0"),
        (
            {"rho": 1.0, "images": None, "latents": False, "log_volumes": False, "weights": False},
            "images",
            "nothing is asked for",
        ),
        ({"rho": 1.0, "generator": ""}, "generator", "name"),
    ],
)
def test_what_can_never_be_right_is_refused_before_sending(
    given_arguments: dict[str, Any], field: str, says: str
) -> None:
    arguments = {"generator": "rings", "count": 1, **given_arguments}
    with pytest.raises(InvalidInput) as caught:
        sample_request(Resolved(**arguments))
    assert caught.value.field == field
    assert says in caught.value.message
    assert caught.value.code is None


def test_numpy_integers_are_integers() -> None:
    assert sample_request(Resolved(generator="rings", count=np.int32(7), rho=np.float32(0.5))).count == 7


def test_the_uniform_preset_takes_a_domain_without_naming_its_base() -> None:
    request = sample_request(Resolved(generator="rings", count=1, preset="uniform", ball_radius=2.0))
    assert request.base.uniform.ball.radius == 2.0


def test_a_count_of_zero_means_an_endless_stream_only() -> None:
    assert sample_request(Resolved(generator="rings", count=0, rho=0.0), endless=True).count == 0


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"generator": "a", "count": 1, "rhoo": 2}'])
def test_json_that_is_no_resolved_request_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Resolved.from_json(text)
