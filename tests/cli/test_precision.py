"""What the command line tells of arithmetics, and how it takes the memory bound."""

from __future__ import annotations

import re

import pytest

from tests.cli.conftest import Magnet


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_a_bank_shows_its_error_at_a_few_k(magnet: Magnet, precision: str) -> None:
    built = magnet.json("bank", "build", "toy", "--rows", 256, "--seed", 31, "--precision", precision)
    assert (built["precision"], built["errors"][0]["precision"]) == (precision, precision)
    shown = magnet.json("bank", "show", built["bank_id"])
    assert shown == built
    text = " ".join(magnet.done("bank", "show", built["bank_id"]).split())
    assert re.search(r"error \S+ at k = 1, \S+ at k = 4 nats \(largest at 64 latents against float64", text), text
    assert f"output, {precision}, log v_1 to log v_4" in text
    # The toy is no hard case: what was asked for is what is used, and there is nothing to explain.
    assert (built["precision_used"], built["precision_reason"]) == (precision, "")
    assert "computed in" not in text


def test_a_draw_names_an_arithmetic_that_was_asked_for(magnet: Magnet) -> None:
    magnet.json("bank", "build", "toy", "--rows", 256, "--seed", 31, "--precision", "bfloat16")
    text = " ".join(magnet.done("sample", "toy", "--rho", 0.5, "--count", 5, "--precision", "bfloat16").split())
    assert re.search(r"precision bfloat16 \(log v_k off by up to \S+ nats\)", text), text
    assert "precision" not in magnet.done("sample", "toy", "--rho", 0, "--count", 5)


def test_a_memory_bound_that_is_none_is_refused(magnet: Magnet) -> None:
    assert "K, M, G or T" in magnet.error(2, "serve", "--max-memory", "7x")
