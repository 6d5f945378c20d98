"""Rows of a bank computed in other processes: local ones, or Ray actors."""

from __future__ import annotations

from magnet_service.sampling.crews.crew import Crew
from magnet_service.sampling.crews.opening import open_crew
from magnet_service.sampling.crews.recipe import Recipe, recipe_of
from magnet_service.sampling.crews.words import Workers, parse_workers

__all__ = ["Crew", "Recipe", "Workers", "open_crew", "parse_workers", "recipe_of"]
