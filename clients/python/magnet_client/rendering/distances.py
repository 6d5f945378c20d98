"""Distances to hyperplanes as a picture: a bar a layer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from magnet_client.distances import HyperplaneDistances
from magnet_client.errors import InvalidInput
from magnet_client.rendering.canvas import layer_colours, new_figure, suffix_of, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_distances"]

_SPACES = {"latent": "the latent space", "layer": "the space of each layer's input"}
_NAMED = 12
"""Layers above which names stand upright."""


def draw_distances(
    found: HyperplaneDistances, path: str | os.PathLike[str] | None, width: float | None, dpi: float
) -> Figure:
    """Draw the bars; as `HyperplaneDistances.render`."""
    suffix_of(path)
    count = len(found.layers)
    if not count:
        raise InvalidInput(
            "there is no layer to draw: none has hyperplanes here; `left_out` says why",
            field="layers",
            reason="INVALID_INPUT",
        )
    many = count > _NAMED
    figure = new_figure(max(6.4, 0.4 * count if many else 1.2 * count) if width is None else width, 4.2)
    from matplotlib.patches import Patch

    axes = figure.add_subplot()
    places = np.arange(count)
    axes.bar(places, found.mean, width=0.7, color=layer_colours(count))
    (mark,) = axes.plot(
        places, found.root_mean_square, "_", color="black", markersize=14, markeredgewidth=2, label="root mean square"
    )
    names = [layer.name if many else f"{layer.name}\n{layer.units:,} units" for layer in found.layers]
    axes.set_xticks(places, names, fontsize="small", rotation=90 if many else 0)
    axes.set(ylabel=f"distance in {_SPACES[found.space]}", xlim=(-0.6, max(count, 3) - 0.4))
    axes.set_ylim(bottom=0.0)
    latents = f"{found.rows:,} latent{'s' * (found.rows != 1)}"
    out = f", {len(found.left_out)} layers left out" if len(found.left_out) > 1 else ""
    out = f", {next(iter(found.left_out))} left out" if len(found.left_out) == 1 else out
    title = f"{found.computed.generator}, distance to the hyperplanes of each layer\n{latents}{out}"
    axes.set_title(title, fontsize="medium")
    axes.legend(handles=[Patch(color="#8c8c8c", label="mean"), mark], frameon=False, fontsize="small")
    return written(figure, path, dpi)
