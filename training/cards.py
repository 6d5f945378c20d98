"""The text of the model cards; every figure comes from `training.evaluate`."""

from __future__ import annotations

from typing import Any

from training.data import LABELS
from training.reweighting import RANKS, RHOS, Outcome
from training.tiles import Tessellation

__all__ = ["fashion_card", "rings_card"]

FASHION = """# fashion

A convolutional GAN for 28x28 grey images of garments, trained on a set made long-tailed on purpose: the biased
generator that users have. Written by `python -m training.evaluate`; no figure is copied by hand.

## Data

Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747, MIT licence; Debian package `dataset-fashion-mnist`), the training
split, cut to {rows:,} rows: class c in the natural label order keeps its first 6000 * 20^(-c/9) rows.
The rarest three are {rare}. The data is not part of this repository.

## Recipe

* Generator: {latent} standard normal numbers; one Linear, two ConvTranspose2d, one Conv2d; BatchNorm, ReLU, Tanh;
  {parameters:,} parameters. Unconditional.
* Training: hinge loss; critic with spectral norm (arXiv 1802.05957) and a minibatch-stddev channel; shifts by up to two
  pixels of real and generated images alike (arXiv 2006.10738); Adam 2e-4 / 4e-4 with betas (0, 0.9); batch {batch};
  {steps} updates, both rates faded to a tenth over the last quarter.
* Kept: the average of the weights (decay 0.999) at update {chosen_step}, the report (one every {every} updates) with
  the smallest Frechet distance. BatchNorm statistics averaged over prior latents.
* Seed {seed}, {minutes:.0f} minutes on {machine}; the machine was shared with other work.

## Samples

10,000 prior draws, class by the largest logit of the bundled classifier (test accuracy {accuracy:.4f}, trained on the
full balanced set). The last column is the weighting chosen below.

{classes}

* Classes: {occur}. Total variation to equal shares: {tv:.3f} (training set: {training_tv:.3f}).
* Mean top probability {top:.3f} (training images: {real_top:.3f}).
* Frechet distance in the classifier's 96 features, 10,000 draws against all {rows:,} training rows: {frechet:.2f}
  (one half of the training rows against the other: {frechet_halves:.2f}). Not comparable with Inception features; the
  checkpoint was chosen by such a figure on other draws.
* Precision {precision:.3f}, recall {recall:.3f} (k-NN, k = {neighbours}, arXiv 1904.06991; {manifold_rows:,} rows of
  each).

## Volumes

{latents:,} prior latents, Jacobian of the output image in float32. Numerical rank {lowest} to {highest} of {latent}.

{spreads}

## Reweighting by v_k^rho

(rho, k) has the least total variation on the first {half:,} latents among those with ESS >= 200 and at least 0.9 of
the mean top probability as trained. The rows below are measured on the other {half:,}; intervals are bootstrap 95 %.

{outcomes}

Total variation falls by {cut:.0f} %, the share of the rarest three grows by a factor of {growth:.2f}, mean top
probability is {kept_top:.3f} of as trained.

Total variation / ESS on the first {half:,} latents:

{grid}
"""

RINGS = """# rings

A plane generator, latents uniform on [-1, 1]^2 to points of the plane, for exact tests and pictures. Written by
`python -m training.evaluate`; no figure is copied by hand.

## Data

Drawn by the script: Gaussians of standard deviation {spread:g} on concentric rings
({rings}), in the spirit of the 2-D WGAN toy of Humayun et
al. 2024 (arXiv 2408.04809, Figure 12), whose architecture is not given.

## Recipe

* Generator: Linear and ReLU, widths 2-32-32-32-2, linear head, {parameters:,} parameters.
* Training: WGAN with gradient penalty (arXiv 1704.00028) of weight {weight:g}; {inner} critic updates for each of
  {steps} generator updates; batch {batch}; Adam 1e-3 / 2e-3, rates faded; weights averaged.
* Seed {seed}, {seconds:.0f} seconds on {machine}, shared with other work.
* Seeds 1 to 3 were tried: all are full rank on every tile, and this one has the gentlest spread of log v. Longer
  training folds the map more and lets log v spread beyond 1.2 nats.

## Samples

10,000 prior draws, each counted at the nearest Gaussian. Within three standard deviations of one: {inside:.3f} (data:
{real_inside:.3f}); the map is continuous, so points between the Gaussians are unavoidable.

{modes}

## Tiles of the domain, exact

Every polygon of the tessellation, float64:

* {tiles:,} tiles; areas sum to {area:.12f} (the square: 4).
* Full rank on every tile (sigma_2 > 2 eps sigma_1): {full}. Smallest sigma_2 {smallest:.3g}, smallest
  sigma_2 / sigma_1 {ratio:.3g}.
* log v from {low:.2f} to {high:.2f}; standard deviation over the domain {sd:.3f} nats.
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def outcome_row(name: str, found: Outcome) -> list[str]:
    """Return the cells of one weighting."""
    low, high = found.interval
    total = f"{found.tv:.3f} ({low:.3f} to {high:.3f})"
    k = f"{found.k}" if found.rho else "-"
    return [name, f"{found.rho:g}", k, total, f"{found.rare:.3f}", f"{found.top:.3f}", f"{found.ess:.0f}"]


def grid_table(grid: list[Outcome]) -> str:
    """Return total variation and ESS of every (rho, k) of the grid."""
    cells = {(cell.rho, cell.k): cell for cell in grid}
    ranks = [k for k in RANKS if (RHOS[0], k) in cells]
    rows = [[f"{rho:g}", *(f"{cells[rho, k].tv:.3f} / {cells[rho, k].ess:.0f}" for k in ranks)] for rho in RHOS]
    return table(["rho \\ k", *map(str, ranks)], rows)


def class_table(figures: dict[str, Any]) -> str:
    """Return the shares of each class: in the training set, as trained, reweighted."""
    columns = (figures["training_shares"], figures["shares"], figures["chosen"].shares.tolist())
    rows = [
        [label, str(count), *(f"{share:.3f}" for share in shares)]
        for label, count, *shares in zip(LABELS, figures["counts"], *columns, strict=True)
    ]
    return table(["class", "training rows", "training share", "as trained", "reweighted"], rows)


def fashion_card(figures: dict[str, Any]) -> str:
    """Return the card of `fashion` as Markdown, from the figures of `measure_fashion`."""
    plain, chosen = figures["plain"], figures["chosen"]
    spreads = figures["log_volume_sd"]
    missing = [label for label, share in zip(LABELS, figures["shares"], strict=True) if share == 0]
    head = ["weighting", "rho", "k", "total variation", "share of the rarest three", "mean top probability", "ESS"]
    lowest, highest = figures["rank"]
    texts = {
        "rows": sum(figures["counts"]),
        "rare": ", ".join(LABELS[index] for index in figures["rare"]),
        "minutes": figures["record"]["seconds"] / 60,
        "classes": class_table(figures),
        "occur": f"missing {', '.join(missing)}" if missing else "all ten occur",
        "latents": 2 * figures["half"],
        "lowest": lowest,
        "highest": highest,
        "spreads": table(
            ["k", *map(str, spreads)], [["sd of log v_k (nats)", *(f"{v:.2f}" for v in spreads.values())]]
        ),
        "outcomes": table(head, [outcome_row("as trained", plain), outcome_row("balanced", chosen)]),
        "cut": 100 * (1 - chosen.tv / plain.tv),
        "growth": chosen.rare / plain.rare,
        "kept_top": chosen.top / plain.top,
    }
    return FASHION.format(**{**figures["record"], **figures, **texts, "grid": grid_table(figures["grid"])})


def rings_card(figures: dict[str, Any]) -> str:
    """Return the card of `rings` as Markdown, from the figures of `measure_rings`."""
    tiles: Tessellation = figures["tessellation"]
    modes = [
        [str(index), f"{wanted:.4f}", f"{got:.4f}"]
        for index, (wanted, got) in enumerate(zip(figures["chances"], figures["shares"], strict=True))
    ]
    texts = {
        "rings": "; ".join(
            f"{count} at radius {radius:g}, share {share:g}" for count, radius, share in figures["mixture"]
        ),
        "modes": table(["Gaussian", "share in the data", "share of the draws"], modes),
        "tiles": len(tiles.areas),
        "area": tiles.areas.sum(),
        "full": "yes" if tiles.full_rank() else "no",
        "smallest": tiles.singular[:, 1].min(),
        "ratio": (tiles.singular[:, 1] / tiles.singular[:, 0]).min(),
        "low": tiles.log_volumes().min(),
        "high": tiles.log_volumes().max(),
        "sd": tiles.spread(),
    }
    return RINGS.format(**{**figures["record"], **figures, **texts})
