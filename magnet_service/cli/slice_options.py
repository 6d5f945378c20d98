"""What `magnet slice` reads: latents by number or file, directions, windows, grids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnet_client import Client
from magnet_client.words import ConditionLike
from magnet_service.errors import InvalidInput

__all__ = ["grid_of", "latents_of", "numbers_of", "rows_of", "window_of"]

Floats = NDArray[np.float64]

_NUMBERS = {2: "two", 3: "three"}


def latents_of(
    client: Client,
    generator: str,
    text: str,
    seed: int,
    condition: ConditionLike | None,
    *,
    field: str = "through",
    counts: tuple[int, ...] = (2, 3),
) -> tuple[Floats, str]:
    """Latents by number or file, as those that a slice goes through.

    Arguments:
        client: asked for rows of the prior's draw.
        generator: `name` or `name@version`.
        text: a .npy file of [rows, d], or numbers of rows, as `1,2,3` or `0:256` (without 256), counted from 0.
        seed: of the draw of the prior whose rows they are.
        condition: of that draw.
        field: the option's name, for errors.
        counts: how many rows may be named; empty for any number.

    Returns:
        The latents, and in words where they come from.

    Raises:
        InvalidInput: no such file, or no numbers; the field is `field`.
        As `Client.sample`.

    Accuracy: exact; row i depends on the seed and i alone.
    """
    if text.endswith(".npy"):
        return loaded(text, field), text
    try:
        spans = [_span(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(
            f"write --{field}=I,J,K (rows of the prior's draw, counted from 0) or a .npy file; not {text!r}",
            field=field,
        ) from None
    if not all(0 <= span.start < span.stop for span in spans) or (counts and sum(map(len, spans)) not in counts):
        many = " or ".join(_NUMBERS[count] for count in counts) or "some"
        raise InvalidInput(f"write {many} rows, each 0 or more, as --{field}=1,2,3", field=field)
    drawn = [
        client.sample(
            generator,
            len(span),
            preset="as_trained",
            condition=condition,
            seed=seed,
            offset=span.start,
            images=None,
            log_volumes=False,
            weights=False,
        ).latents
        for span in spans
    ]
    named = ", ".join(str(span.start) if len(span) == 1 else f"{span.start} to {span.stop - 1}" for span in spans)
    words = f"row{'s' * (sum(map(len, spans)) > 1)} {named} of the prior's draw with seed {seed}"
    return np.concatenate([latents for latents in drawn if latents is not None]).astype(np.float64), words


def _span(text: str) -> range:
    """Read `I`, or `I:J` without J."""
    first, colon, last = text.partition(":")
    return range(int(first), int(last) if colon else int(first) + 1)


def window_of(text: str | None) -> Floats | None:
    """Read a window: LEFT,RIGHT,BOTTOM,TOP, LOW,HIGH, corners as X,Y;X,Y;.., or a .npy file of one of these."""
    if text is None or text.endswith(".npy"):
        return None if text is None else loaded(text, "window")
    return rows_of(text, "window") if ";" in text else numbers_of(text, "window")


def numbers_of(text: str, field: str) -> Floats:
    """Read numbers with commas between, or a .npy file of them; InvalidInput with that field otherwise."""
    if text.endswith(".npy"):
        return loaded(text, field)
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        option = field.replace("_", "-")
        raise InvalidInput(f"write --{option}=X,Y,.. or a .npy file; not {text!r}", field=field) from None


def rows_of(text: str, field: str) -> Floats:
    """Read rows of numbers with semicolons between, or a .npy file of them; InvalidInput with that field otherwise."""
    if text.endswith(".npy"):
        return loaded(text, field)
    rows = [numbers_of(part, field) for part in text.split(";")]
    if len({len(row) for row in rows}) > 1:
        raise InvalidInput(
            f"the rows of --{field} have {', '.join(str(len(row)) for row in rows)} numbers", field=field
        )
    return np.stack(rows)


def grid_of(text: str | None) -> tuple[int, int] | None:
    """Read a grid, COLUMNS,ROWS or one number for both; InvalidInput with field `density` otherwise."""
    if text is None:
        return None
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if len(counts) not in (1, 2):
        raise InvalidInput(f"write --density=COLUMNS,ROWS, as --density=128,128; not {text!r}", field="density")
    return counts[0], counts[-1]


def loaded(text: str, field: str) -> Floats:
    """An array of numbers from a .npy file."""
    try:
        found = np.load(Path(text), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"--{field} {text}: no readable .npy file ({error}).", field=field) from error
    if found.dtype.kind not in "fiu":
        raise InvalidInput(f"--{field} {text}: {found.dtype}, where numbers are needed.", field=field)
    array: Floats = found.astype(np.float64)
    return array
