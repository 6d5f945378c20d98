"""The words that arguments take instead of enums."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["BaseWord", "ImagesWord", "ManifoldWord", "PrecisionWord", "PresetWord"]

PresetWord: TypeAlias = Literal["as_trained", "uniform", "mode", "anti_mode"]
BaseWord: TypeAlias = Literal["prior", "uniform"]
ManifoldWord: TypeAlias = Literal["output", "pre_activation", "features"]
PrecisionWord: TypeAlias = Literal["float32", "float64", "bfloat16"]
ImagesWord: TypeAlias = Literal["uint8", "float32", "png"]
