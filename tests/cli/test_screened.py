"""`magnet sample --method`: its lines within a terminal's width, its JSON, and one line for misuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from magnet_client import Resolved
from tests.cli.conftest import Magnet

DRAW = ("sample", "toy", "--rho", 6, "--top-k", 4, "--count", 20, "--seed", 2)


@pytest.fixture(scope="module")
def alone() -> Magnet:
    """`magnet` without a server."""
    return Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")


@pytest.fixture(scope="module")
def here(alone: Magnet, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Options that name a store of one bank, large enough for a surrogate."""
    places = ("--local", "--repository", repository, "--store", tmp_path_factory.mktemp("screened"))
    alone.done("bank", "build", "toy", "--rows", 2048, *places)
    return places


def line_of(text: str, name: str) -> str:
    """What the sheet says beside a name, its wrapped lines joined."""
    lines = text.splitlines()
    first = next(index for index, line in enumerate(lines) if line.split()[:1] == [name])
    last = next((index for index in range(first + 1, len(lines)) if not lines[index].startswith(" " * 6)), len(lines))
    return " ".join(" ".join(lines[first:last]).split()[1:])


@pytest.mark.parametrize("method", ["auto", "screened", "screened_chain"])
def test_a_screened_draw_is_told_within_a_hundred_columns(alone: Magnet, here: tuple[object, ...], method: str) -> None:
    asked = (*DRAW, "--method", method, "--evaluations", 20_000, *here)
    text = alone.done(*asked)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    header = alone.json(*asked)["header"]
    screening = header["screening"]
    told = line_of(text, "method")
    assert told.startswith(header["method"])
    assert header["method_reason"] in told
    assert ("promises" in told) == (method == "auto")
    told = line_of(text, "screening")
    assert f"{screening['exact']:,} exact evaluations, {screening['forwards']:,} forwards" in told
    assert f"surrogate {header['resolved']['surrogate']} off by {screening['residual']:.2f} nats" in told
    assert ("ESS of the pool" in told) == (screening["pool_ess"] is not None) == (header["method"] == "SCREENED")
    assert ("states for one draw" in told) == (screening["autocorrelation"] is not None)
    if method != "auto":
        assert header["method"] == method.upper()
        assert header["resolved"]["method"] == method


def test_a_draw_of_the_bank_has_no_line_of_screening(alone: Magnet, here: tuple[object, ...]) -> None:
    asked = ("sample", "toy", "--rho", 0.2, "--count", 5, "--seed", 2, "--method", "auto", "--evaluations", 100)
    text = alone.done(*asked, *here)
    assert line_of(text, "method").startswith("RESAMPLE (")
    assert not any(line.split()[:1] == ["screening"] for line in text.splitlines())
    header = alone.json(*asked, *here)["header"]
    assert (header["method"], header["screening"]) == ("RESAMPLE", None)


def test_rows_are_written_with_the_request_that_gives_them_again(
    alone: Magnet, here: tuple[object, ...], tmp_path: Path
) -> None:
    files = [tmp_path / "one.npz", tmp_path / "two.npz"]
    for file in files:
        alone.done(*DRAW, "--method", "screened", "--evaluations", 500, "--out", file, *here)
    with np.load(files[0], allow_pickle=False) as one, np.load(files[1], allow_pickle=False) as two:
        assert set(one.files) == {"images", "latents", "log_volumes", "log_weights", "resolved"}
        for name in one.files:
            np.testing.assert_array_equal(one[name], two[name])
        resolved = Resolved.from_json(str(one["resolved"]))
    assert (resolved.method, resolved.evaluations, len(resolved.surrogate or "")) == ("screened", 0.0, 16)


def test_misuse_is_one_line(alone: Magnet, here: tuple[object, ...]) -> None:
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--evaluations", 100), "a budget is of methods"),
        (("--method", "screened", "--evaluations", -1), "not below 0"),
        (("--method", "screened_chain", "--evaluations", 100), "chains need"),
        (("--method", "screened", "--no-replacement"), "replacement"),
    ]
    for arguments, says in cases:
        assert says in alone.error(2, *DRAW, *arguments, *here), arguments
    assert alone(*DRAW, "--method", "fast", *here).exit_code == 2
