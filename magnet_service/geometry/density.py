"""Log density on the manifold of what a generator makes of its latents' law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Manifold
from magnet_service.geometry.engine import Engine
from magnet_service.geometry.volume import Volumes, log_volume, volumes

__all__ = ["LogDensity", "density_of", "log_density"]


@dataclass(frozen=True)
class LogDensity:
    """Log densities, or scores, at the images of some latents; tensors on the CPU.

    Attributes:
        values: log p(z) - log v_k(z) in nats, float64. NaN where the rank is below k: the image of a neighbourhood has
            no k-dimensional volume there, and so no density with respect to it.
        is_density: whether the value is the log density of one preimage: k = d and rank = d.
        k: how many of the largest singular values count.
        columns: singular values there are: d, and d - 1 on a sphere.
        rank: of the Jacobian.
        log_prior: as given, in nats.
        log_volume: log v_k in nats; -inf where the rank is below k.
    """

    values: Float[Tensor, " rows"]
    is_density: Bool[Tensor, " rows"]
    k: int
    columns: int
    rank: Int[Tensor, " rows"]
    log_prior: Float[Tensor, " rows"]
    log_volume: Float[Tensor, " rows"]

    @property
    def label(self) -> str:
        """`density of one preimage` where all singular values count, `score_k` otherwise."""
        return "density of one preimage" if self.k == self.columns else f"score_{self.k}"


def log_density(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    log_prior: Float[Tensor, "*prior"],
    *,
    top_k: int = 0,
    manifold: Manifold = Manifold.OUTPUT,
    engine: Engine | None = None,
    tangent_space: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> LogDensity:
    """The log density of G(z) on the manifold, with respect to its d-dimensional volume.

        log p_G(G(z)) = log p(z) - log v(z)

    That holds where G is of full rank, and where z is the only latent with this image; where there are several, the
    density is the sum over them, and the answer is the share of this one. With fewer singular values the answer is
    score_k = log p(z) - log v_k(z), which ranks latents and is no density.

    Arguments:
        generator: the generator, on any device.
        latents: one row each, float32 or float64, on any device; rounded to the engine's precision first.
        log_prior: [rows], log p(z) of the law that the latents are meant to have, in nats; -inf outside its support.
            On a sphere with respect to its surface.
        top_k: k, 1 to the number of columns; 0 for all.
        manifold: OUTPUT, or PRE_ACTIVATION for the value that feeds the smooth head.
        engine: device, precision, tile rows and threads to compute with; None for `Engine()`.
        tangent_space: the law lives on a sphere: J on its tangent space, d - 1 columns.
        should_stop: asked before every tile; once it answers true the call ends in Cancelled.

    Returns:
        Values, and for each row whether it is a density; the label says so for the whole answer.

    Raises:
        InvalidInput: latents of another width, a log prior that is NaN, +inf or not one number a latent, k out of
            range, a tangent space of a one-dimensional latent.
        OutOfMemory, Cancelled: as `volumes`.

    Accuracy: that of `volumes`; a difference of two numbers, so absolute and not relative.
    Cost: that of `volumes`.
    References: Humayun, Balestriero, Baraniuk, "MaGNET", arXiv 2110.08009; "Polarity Sampling", arXiv 2203.01993.

    Example:
        >>> from torch import nn
        >>> double = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(double.weight, 2.0)
        >>> uniform = torch.zeros(1)  # log of 1 on [0, 1], so 1/2 on [0, 2]
        >>> found = log_density(Generator.from_module(double, 1), torch.tensor([[0.3]]), uniform)
        >>> round(float(found.values[0].exp()), 6), found.label
        (0.5, 'density of one preimage')
    """
    if log_prior.shape != latents.shape[:1]:
        raise InvalidInput(
            f"log_prior has shape {list(log_prior.shape)}; write one number a latent, [{len(latents)}].",
            field="log_prior",
        )
    prior = log_prior.detach().to(device="cpu", dtype=torch.float64)
    if bool((prior.isnan() | (prior == torch.inf)).any()):
        raise InvalidInput(
            "log_prior holds NaN or +inf; write the log density of a law, -inf outside its support.", field="log_prior"
        )
    columns = generator.latent_dim - int(tangent_space)
    if not 0 <= top_k <= columns:
        raise InvalidInput(f"top_k is {top_k}; write a whole number from 1 to {columns}, or 0 for all.", field="top_k")
    found = volumes(
        generator, latents, manifold=manifold, engine=engine, tangent_space=tangent_space, should_stop=should_stop
    )
    return density_of(found, prior, top_k)


def density_of(found: Volumes, log_prior: Float[Tensor, " rows"], top_k: int = 0) -> LogDensity:
    """The log densities of latents whose volumes are known.

    Arguments:
        found: their volumes.
        log_prior: log p(z) in nats, float64, on the CPU; neither NaN nor +inf.
        top_k: k, 1 to the number of columns; 0 for all.

    Returns:
        As `log_density`.

    Raises:
        InvalidInput: k out of range.

    Accuracy: that of the volumes.
    """
    columns = found.log_singular_values.shape[1]
    k = top_k or columns
    logs = log_volume(found, k)
    values = torch.where(found.rank >= k, log_prior - logs, torch.nan)
    full = (found.rank == columns) & (k == columns)
    return LogDensity(values, full, k, columns, found.rank, log_prior.clone(), logs)
