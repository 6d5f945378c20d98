"""`--condition`: a label, an index, numbers with commas, or a file of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from magnet_client import Client
from magnet_client.words import ConditionLike
from magnet_service.errors import InvalidInput

__all__ = ["AllConditions", "Condition", "all_conditions", "condition_of", "read_condition"]

Condition = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL|INDEX|X,Y,..",
        help="Condition: a label, an index, numbers with commas, or a .npy file. All classes in turn if not given.",
        rich_help_panel="What to draw",
    ),
]
AllConditions = Annotated[bool, typer.Option(help="A bank for each class.", rich_help_panel="What to draw")]


def condition_of(client: Client, generator: str | None, text: str | None) -> ConditionLike | None:
    """What a condition written on the command line means.

    Arguments:
        client: asked for the labels where a number may be one of them.
        generator: `name` or `name@version`; None where nobody tells labels from indices.
        text: as written.

    Returns:
        A label, an index, or a vector; None where none is written.

    Raises:
        InvalidInput: a file that holds no vector (field `condition`).
        As `Client.generator`.

    Accuracy: exact.
    """
    if text is None:
        return None
    if text.isdecimal():
        known = None if generator is None else client.generator(generator).conditions
        return text if known is not None and text in known.labels else int(text)
    return read_condition(text)


def read_condition(text: str) -> ConditionLike:
    """A condition as written, a number being an index; raises as `condition_of`."""
    if text.endswith(".npy"):
        return _vector(Path(text))
    if text.isdecimal():
        return int(text)
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if "," in text and all(_is_number(part) for part in parts):
        return [float(part) for part in parts]
    return text


def all_conditions(client: Client, generator: str) -> tuple[tuple[ConditionLike | None, str], ...]:
    """Every class of a generator by index, each with its label; InvalidInput where it has no classes."""
    known = client.generator(generator).conditions
    if known is None or known.kind == "vector":
        raise InvalidInput(
            f"{generator} has no classes: leave --all-conditions out{'' if known is None else ', and name a vector'}.",
            field="all_conditions",
        )
    return tuple((index, known.labels[index] if known.labels else str(index)) for index in range(known.width))


def _vector(path: Path) -> list[float]:
    try:
        numbers = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"--condition {path}: no readable .npy file ({error}).", field="condition") from error
    if numbers.ndim != 1 or numbers.dtype.kind not in "fiu":
        raise InvalidInput(
            f"--condition {path}: {numbers.dtype} of shape {list(numbers.shape)}, where a vector of numbers is needed.",
            field="condition",
        )
    return [float(number) for number in numbers]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
