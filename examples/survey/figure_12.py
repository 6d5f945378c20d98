"""After Figure 12: draws from a mixture's generator at its modes, as trained, and at its anti-modes.

The bundled generator `rings` was trained as a Wasserstein GAN with gradient penalty on twelve Gaussians on two rings
(`python -m training.rings`). A bank of its log-volumes is computed here, and this package's sampler draws from it with
latents weighted by v^rho: rho far below 0 draws where the generator contracts most, at modes; 0 is the generator as
trained; 1 is uniform on its manifold; far above 0 draws between the modes. Above: data and draws, with crosses at the
means of the Gaussians. Below: the tiles of the latent square, coloured by log v, and over them the draws' latents.

Differs from the survey: the mixture, the architecture and the values of rho are our own. rho is the exponent of v; the
survey writes det(A^T A)^rho, so that its rho is half of this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from examples.survey.command import run
from examples.survey.drawing import draw_edges, fill_tiles, plane
from examples.survey.toys import square
from magnet_service.config import BUNDLED
from magnet_service.generator import Generator, Manifold, load_version
from magnet_service.geometry.slice import slice_along
from magnet_service.geometry.tessellation import Tessellation, tessellate
from magnet_service.sampling import BankSpec, SampleRequest, choose_bank, compute_rows, engine_for, parse_law, resolve
from training.rings import SPREAD, centres_and_shares, draw_mixture

__all__ = ["Drawn", "Polarities", "draw", "make", "picture", "tile_law"]

RHOS = (-2.0, 0.0, 1.0, 3.0)
NAMES = {-2.0: "modes", 0.0: "as trained", 1.0: "uniform on the manifold", 3.0: "anti-modes"}
TILE_ROWS = 1024


@dataclass(frozen=True)
class Drawn:
    """Draws at one polarity.

    Attributes:
        rho: exponent of v.
        ess: effective rows of the bank at that rho.
        latents: [draws, 2].
        points: [draws, 2], what the generator makes of them.
    """

    rho: float
    ess: float
    latents: NDArray[np.float32]
    points: NDArray[np.float32]

    @property
    def near(self) -> float:
        """Share of the points within two standard deviations of the mean of one of the Gaussians."""
        distances = np.linalg.norm(self.points[:, None] - centres_and_shares()[0].numpy(), axis=-1)
        return float((distances.min(axis=1) < 2 * SPREAD).mean())


@dataclass(frozen=True)
class Polarities:
    """What the figure shows.

    Attributes:
        data: points of the mixture.
        tessellation: of the latent square.
        draws: one for each rho.
    """

    data: NDArray[np.float32]
    tessellation: Tessellation
    draws: list[Drawn]


def make(count: int = 3000, rows: int = 50 * TILE_ROWS, rhos: Sequence[float] = RHOS, seed: int = 1) -> Polarities:
    """Compute a bank's rows and draw from it at each polarity.

    Arguments:
        count: points of each draw.
        rows: of the bank.
        rhos: exponents of v.
        seed: of the draws.

    Returns:
        Data, tiles and draws.
    """
    generator, card, _ = load_version(BUNDLED / "rings")
    prior = parse_law(card.prior, card.latent_dim)
    spec = BankSpec(
        generator_digest=generator.digest,
        law=prior.to_text(),
        manifold=Manifold.PRE_ACTIVATION,
        tile_rows=TILE_ROWS,
        seed=0,
    )
    stored = compute_rows(generator, engine_for(spec), spec, 0, rows)
    draws = []
    for rho in rhos:
        request = SampleRequest(count=count, seed=seed, rho=rho, top_k=2, manifold=Manifold.PRE_ACTIVATION)
        digest = generator.digest
        choice = choose_bank([spec], request, prior, generator_digest=digest) if request.needs_bank else None
        found = resolve(request, prior, generator_digest=digest, choice=choice, rows=stored)
        latents = found.latents(0, count)
        points = generator.forward(torch.from_numpy(latents)).numpy()
        draws.append(Drawn(rho, found.diagnostics.ess, latents, points))
    data = draw_mixture(count, torch.Generator().manual_seed(seed)).numpy()
    return Polarities(data, tiles_of(generator), draws)


def tiles_of(generator: Generator) -> Tessellation:
    """The latent square's tiles."""
    return tessellate(generator, slice_along(torch.zeros(2), torch.eye(2), square(1.0)))


def tile_law(tessellation: Tessellation, rho: float) -> NDArray[np.float64]:
    """The exact probability of each tile, area v^rho over its sum."""
    logs = np.log(tessellation.areas) + rho * np.log(tessellation.stretches)
    weights = np.exp(logs - logs.max())
    law: NDArray[np.float64] = weights / weights.sum()
    return law


def draw(shown: Polarities) -> Figure:
    """The figure: points above, latents over the tiles below, a column for each rho."""
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    panels = figure.subplots(2, 1 + len(shown.draws))
    scatter(panels[0, 0], shown.data, "data", "#111827")
    found = shown.tessellation
    logs = np.log(found.stretches)
    tiles = coloured(panels[1, 0], found, logs)
    draw_edges(panels[1, 0], found, ~found.border, "white", 0.3)
    plane(panels[1, 0], found.slice.window, f"{found.tiles} tiles of the latent square")
    bar = figure.colorbar(tiles, ax=panels[1, 0], location="left", shrink=0.8, pad=0.03)
    bar.set_label("log v, nats", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    for column, drawn in enumerate(shown.draws, start=1):
        name = NAMES.get(drawn.rho, "")
        scatter(panels[0, column], drawn.points, f"rho = {drawn.rho:g}: {name}", "#2563eb")
        below = panels[1, column]
        coloured(below, found, logs)
        below.scatter(drawn.latents[:, 0], drawn.latents[:, 1], s=1.5, c="#f43f5e", linewidths=0)
        worth = f"ESS of the bank {drawn.ess:,.0f}" if drawn.rho else "no bank is read"
        plane(below, found.slice.window, f"its latents; {worth}")
    return figure


def coloured(panel: Axes, found: Tessellation, logs: NDArray[np.float64]) -> PolyCollection:
    """Tiles coloured by log v, in colours that points stand out against."""
    tiles = fill_tiles(panel, found, logs)
    tiles.set_cmap("bone")
    tiles.set_clim(*np.quantile(logs, (0.02, 0.98)))
    return tiles


def scatter(panel: Axes, points: NDArray[np.float32], title: str, colour: str) -> None:
    """Points, and crosses at the means of the Gaussians."""
    means = centres_and_shares()[0].numpy()
    panel.scatter(points[:, 0], points[:, 1], s=1.5, c=colour, linewidths=0)
    panel.scatter(means[:, 0], means[:, 1], s=24, c="#f97316", marker="+", linewidths=1)
    plane(panel, torch.tensor([[-2.6, -2.6], [2.6, 2.6]]), title)


def picture() -> tuple[Figure, list[str]]:
    """The figure at full size, and its facts."""
    shown = make()
    facts = [
        f"rho {drawn.rho:g}: ESS {drawn.ess:,.0f}, within 2 standard deviations of a mean {drawn.near:.3f}"
        for drawn in shown.draws
    ]
    return draw(shown), facts


if __name__ == "__main__":
    run(12, picture, __doc__)
