"""The crew that words ask for."""

from __future__ import annotations

from collections.abc import Callable

from magnet_service.sampling.crews.crew import Crew
from magnet_service.sampling.crews.local import local_crew
from magnet_service.sampling.crews.ray_actors import ray_crew
from magnet_service.sampling.crews.recipe import Recipe
from magnet_service.sampling.crews.words import Workers

__all__ = ["open_crew"]


def open_crew(workers: Workers, recipe: Recipe, tell: Callable[[str], None] | None = None) -> Crew:
    """Starts the workers asked for.

    Arguments:
        workers: from `parse_workers`.
        recipe: what they compute.
        tell: given a line whenever a worker dies or is left out.

    Returns:
        The crew; close it.

    Raises:
        As `local_crew` and `ray_crew`.

    Accuracy: rows are those of one process bit for bit.
    """
    if workers.kind == "ray":
        return ray_crew(recipe, workers.address, workers.count, tell)
    return local_crew(recipe, workers.count, tell)
