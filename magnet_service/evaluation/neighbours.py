"""Precision, recall, density and coverage of draws against a reference, by the `prdc` package."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from magnet_service.errors import InvalidInput, Refused

__all__ = ["Neighbourhoods", "check_installed", "check_rows", "compare"]


@dataclass(frozen=True)
class Neighbourhoods:
    """What balls around rows, each reaching its k-th nearest neighbour, say of two sets of features.

    Attributes:
        precision: share of draws inside the ball of some reference row.
        recall: share of reference rows inside the ball of some draw.
        density: mean number of reference balls that a draw lies in, over k; above 1 where draws crowd.
        coverage: share of reference rows whose ball holds a draw.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def check_installed() -> None:
    """Refused (EVALUATE_PARTS_MISSING) where the packages of the extra `evaluate` are not installed."""
    try:
        import matplotlib  # noqa: F401
        import prdc  # noqa: F401
    except ModuleNotFoundError as error:
        raise Refused(
            f"An evaluation needs {error.name}: pip install 'magnet-service[evaluate]'.",
            reason="EVALUATE_PARTS_MISSING",
        ) from error


def check_rows(rows: int, neighbours: int, what: str, field: str, *, times: int = 1) -> None:
    """InvalidInput where rows are too few for k nearest neighbours.

    Arguments:
        rows: how many there are.
        neighbours: k.
        what: the rows, in words.
        field: at fault.
        times: how many times as many are needed as the bare minimum, each row's k others and one more; 2 where some are
            left out in turn to find the error.

    Returns:
        Nothing.

    Raises:
        InvalidInput: too few rows (`field`), or k below 1 (field `neighbours`).

    Accuracy: exact.
    """
    if neighbours < 1:
        raise InvalidInput(f"neighbours is {neighbours}: write 1 or more", field="neighbours")
    if rows < times * (neighbours + 2):
        raise InvalidInput(
            f"{what} are {rows}, and {neighbours} nearest neighbours need {times * (neighbours + 2)} at least: give "
            f"more of them or write fewer neighbours",
            field=field,
        )


def compare(
    reference: Float[np.ndarray, "some width"], draws: Float[np.ndarray, "rows width"], neighbours: int = 5
) -> Neighbourhoods:
    """Compares draws with a reference.

    Arguments:
        reference: features; as many rows as draws keep the four figures comparable.
        draws: features of the same network.
        neighbours: k of the balls.

    Returns:
        The four figures.

    Raises:
        InvalidInput: fewer than k + 2 rows on one side; field `neighbours`.
        Refused: the extra `evaluate` is not installed.

    Accuracy: exact comparisons of distances rounded to float64; a distance equal to the radius is outside. Draws that
        repeat one latent shrink the balls around it, which lowers recall and nothing else.

    Cost: three distance matrices of rows^2 numbers.

    References:
        Kynkaanniemi et al., arXiv 1904.06991 (precision, recall); Naeem et al., arXiv 2002.09797 (density, coverage).
    """
    check_installed()
    check_rows(len(reference), neighbours, "rows of the reference", "neighbours")
    check_rows(len(draws), neighbours, "draws", "neighbours")
    from prdc import compute_prdc

    # The package prints how many rows it was given.
    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(reference.astype(np.float64), draws.astype(np.float64), nearest_k=neighbours)
    return Neighbourhoods(**{name: float(value) for name, value in found.items()})
