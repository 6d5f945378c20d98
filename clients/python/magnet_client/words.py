"""The words that arguments take instead of enums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BaseWord",
    "ColorWord",
    "ConditionLike",
    "EffectiveRankWord",
    "EstimatorWord",
    "ImagesWord",
    "ManifoldWord",
    "MethodWord",
    "NeedWord",
    "PrecisionWord",
    "PresetWord",
    "SpaceWord",
]

PresetWord: TypeAlias = Literal["as_trained", "uniform", "mode", "anti_mode"]
BaseWord: TypeAlias = Literal["prior", "uniform"]
ManifoldWord: TypeAlias = Literal["output", "pre_activation", "features"]
MethodWord: TypeAlias = Literal["resample", "screened", "screened_chain", "auto"]
PrecisionWord: TypeAlias = Literal["float32", "float64", "bfloat16"]
EffectiveRankWord: TypeAlias = Literal["singular_values", "squares"]
NeedWord: TypeAlias = Literal["none", "rows", "uncertain", "out_of_reach", "fixed", "low_rank"]
EstimatorWord: TypeAlias = Literal["vertices", "frame", "ball"]
ConditionLike: TypeAlias = str | int | Sequence[float] | NDArray[np.floating[Any]]
"""A condition: a label of a class, its index, or a vector."""
SpaceWord: TypeAlias = Literal["latent", "layer"]
ColorWord: TypeAlias = Literal["log_volume", "stretch", "norm", "area", "log_density", "mass", "none"]
"""What tiles are coloured by: log-volume, stretching of the slice's areas, spectral norm, area, log density at the
centroid, probability, or nothing."""
ImagesWord: TypeAlias = Literal["uint8", "float32", "png"]
