"""Presets: four named laws, and the rho that a bank supports for the two extreme ones."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from magnet_service.sampling.diagnostics import KHAT_LIMIT
from magnet_service.sampling.polarity import SUPPORT_ESS, Weights

__all__ = ["RHO_GRID", "Base", "Preset", "RhoChoice", "choose_rho", "preset_base"]

RHO_GRID = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)


class Base(StrEnum):
    """Which law the power of the volume multiplies: the generator's own, or the uniform one on a domain."""

    PRIOR = "PRIOR"
    UNIFORM = "UNIFORM"


class Preset(StrEnum):
    """Named laws.

    AS_TRAINED is the prior itself; UNIFORM is uniform on the manifold over a domain; MODE and ANTI_MODE weigh the prior
    by the smallest and the largest power of the volume that the bank supports.
    """

    AS_TRAINED = "AS_TRAINED"
    UNIFORM = "UNIFORM"
    MODE = "MODE"
    ANTI_MODE = "ANTI_MODE"


@dataclass(frozen=True)
class RhoChoice:
    """A choice of rho.

    Attributes:
        rho: exponent of v_k, with its sign.
        supported: whether ESS and k-hat allow it; False where none of the grid does.
        reason: one sentence.
    """

    rho: float
    supported: bool
    reason: str


def preset_base(preset: Preset) -> Base:
    """The base of a preset: UNIFORM for UNIFORM, PRIOR for the others."""
    return Base.UNIFORM if preset is Preset.UNIFORM else Base.PRIOR


def choose_rho(weights: Weights, k: int, sign: int) -> RhoChoice:
    """The largest |rho| of the grid .1, .2, .5, 1, 1.5, 2, 3, 4, 5 with ESS >= 200 and k-hat < 0.7 at a given k.

    Arguments:
        weights: rows of the bank, weighted for the base.
        k: number of singular values, held.
        sign: -1 for modes, +1 for anti-modes.

    Returns:
        rho and the reason; where none fits, sign x 0.1, not supported.

    Raises:
        InvalidInput: k out of range; field `top_k`.

    Accuracy:
        Exact for the figures that it compares; an absent k-hat objects to nothing.
    """
    for size in reversed(RHO_GRID):
        sums = weights.sums(sign * size, k)
        ess = sums.ess
        if ess < SUPPORT_ESS:
            continue
        khat, _ = sums.khat
        if khat is None or khat < KHAT_LIMIT:
            shown = "absent" if khat is None else f"{khat:.2f}"
            return RhoChoice(
                sign * size, True, f"the largest |rho| of the grid with ESS {ess:.0f} >= 200 and k-hat {shown}"
            )
    return RhoChoice(sign * RHO_GRID[0], False, f"no |rho| of the grid has ESS >= 200 and k-hat < 0.7 at k = {k}")
