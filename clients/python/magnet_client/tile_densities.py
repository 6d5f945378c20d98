"""How dense the images of tiles lie, and how probable tiles are."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from magnet_client.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from magnet_client.tessellation import Tessellation

__all__ = ["TileDensity", "TileMasses", "tile_density", "tile_log_volumes", "tile_masses"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TileDensity:
    """log p(z) - log v_k at the centroid of each tile; p is the generator's prior, v_k the same all over a tile."""

    values: NDArray[np.float64] = dataclasses.field(repr=False)
    """[tiles], nats: -inf outside of the prior's support, NaN where rank < k."""
    is_density: NDArray[np.bool_] = dataclasses.field(repr=False)
    """[tiles]: whether the value is the log density of one preimage, that is k = d and rank = d."""
    label: str
    """`density of one preimage` for k = d, else `score_k` with the number k, which ranks latents and is no density."""
    top_k: int
    """The k used."""
    columns: int
    """Singular values there are: d."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TileMasses:
    """Probabilities of the tiles of a plane, the prior's or those at a power of v_k."""

    masses: NDArray[np.float64] = dataclasses.field(repr=False)
    """[tiles], integrals over the tiles."""
    law: str
    """Under which law: for rho = 0 `latent law` where d = 2, `conditional on the slice` where d is larger; for other
    rho as `p v^0.5, conditional on the window`, or `.., conditional on the slice`."""
    window: float | None
    """Their sum where that is the window's probability under the latent law; None where they add up to 1."""
    error: float
    """Estimated error of their sum."""
    rho: float
    top_k: int
    """The k used; d for rho = 0, which reads no volumes."""
    left_out: float
    """Share of the prior's probability on tiles of rank < k, which count for nothing; 0 for rho = 0."""


def tile_log_volumes(found: Tessellation, top_k: int = 0) -> tuple[NDArray[np.float64], int]:
    """Return log v_k of each tile and k.

    Arguments:
        found: a slice with volumes.
        top_k: k; 0 for d.

    Returns:
        [tiles] in nats, -inf where rank < k, and k.

    Raises:
        InvalidInput: there are no volumes (field `volumes`), or no such k (field `top_k`).

    Accuracy: that of the log singular values.
    """
    logs = found.log_singular_values
    if logs is None:
        why = "a TRUNCATED slice has none" if found.truncated else "ask for volumes=True"
        raise _invalid("volumes", f"there are no log-volumes of these tiles: {why}")
    columns = logs.shape[1]
    if isinstance(top_k, bool) or not isinstance(top_k, int | np.integer) or not 0 <= top_k <= columns:
        raise _invalid("top_k", f"top_k must be an integer from 1 to {columns}, or 0 for all; not {top_k!r}")
    k = int(top_k) or columns
    return logs[:, :k].sum(axis=1), k


def tile_density(found: Tessellation, top_k: int = 0) -> TileDensity:
    """As `Tessellation.log_density`."""
    logs, k = tile_log_volumes(found, top_k)
    prior, rank = found.log_prior, found.rank
    if prior is None or rank is None:
        raise Refused(
            f"the prior of {found.header.generator}, {found.header.prior}, has no density on a slice",
            field="volumes",
            reason="NO_DENSITY",
        )
    columns = found.header.frame.shape[1]
    good = rank >= k
    values = np.full(len(prior), np.nan)
    values[good] = prior[good] - logs[good]
    label = "density of one preimage" if k == columns else f"score_{k}"
    is_density = (rank == columns) & (k == columns)
    return TileDensity(values=values, is_density=is_density, label=label, top_k=k, columns=columns)


def tile_masses(found: Tessellation, rho: float, top_k: int = 0) -> TileMasses:
    """As `Tessellation.masses_at`."""
    masses, named = found.masses, found.header.masses
    if masses is None or named is None:
        raise _invalid("masses", "there are no masses of these tiles: ask for masses=True, on a plane")
    try:
        power = float(rho)
    except (TypeError, ValueError):
        power = math.nan
    if not math.isfinite(power):
        raise _invalid("rho", f"rho must be a finite number; not {rho!r}")
    if power == 0:
        k = found.header.frame.shape[1]
        return TileMasses(
            masses=masses, law=named.law, window=named.window, error=named.error, rho=0.0, top_k=k, left_out=0.0
        )
    logs, k = tile_log_volumes(found, top_k)
    good = np.isfinite(logs) & (masses > 0)
    if not good.any():
        raise _invalid("top_k", f"no tile of rank {k} or more has any probability: take a smaller top_k")
    weights = np.full(len(masses), -np.inf)
    weights[good] = np.log(masses[good]) + power * logs[good]
    total = weights.max() + np.log(np.exp(weights - weights.max()).sum())
    power_text = f"p v{'' if k == found.header.frame.shape[1] else f'_{k}'}^{power:g}"
    where = "window" if named.window is not None else "slice"
    return TileMasses(
        masses=np.exp(weights - total),
        law=f"{power_text}, conditional on the {where}",
        window=None,
        error=named.error * float(np.exp((power * logs[good]).max() - total)),
        rho=power,
        top_k=k,
        left_out=float(masses[~np.isfinite(logs)].sum() / masses.sum()),
    )


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, field=field, reason="INVALID_INPUT")
