"""What the volume benchmark measures against: torch's own Jacobian, the published recipe, and plain forwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["best_chunk", "by_forward", "by_jacfwd", "by_projection", "in_double", "projection"]

Function = Callable[[Tensor], Tensor]

PROJECTED = 128
LARGEST = 30
TRIES, LONG = 5, 2.0
"""Runs of a chunk, fewer where they add up to more seconds."""

PATIENCE = 1.5
"""A chunk that makes a rival so much slower than its best ends the search: larger ones only cost memory."""


def by_jacfwd(function: Function, latents: Tensor, chunk: int) -> Tensor:
    """Log singular values [rows, d] as torch offers them: forward mode over the unit vectors, then `svdvals`."""
    jacobians = torch.func.vmap(torch.func.jacfwd(lambda latent: function(latent[None]).flatten()))
    return torch.cat([torch.linalg.svdvals(jacobians(rows).float()).log() for rows in torch.split(latents, chunk)])


def in_double(function: Function, latents: Tensor, chunk: int) -> Tensor:
    """The same in float64: the reference."""
    jacobians = torch.func.vmap(torch.func.jacfwd(lambda latent: function(latent[None]).flatten()))
    return torch.cat([torch.linalg.svdvals(jacobians(rows)).log() for rows in torch.split(latents, chunk)])


def projection(outputs: int, dtype: torch.dtype) -> Tensor:
    """128 random orthonormal directions of the outputs, or all of them where there are fewer."""
    source = torch.Generator().manual_seed(1)
    drawn = torch.randn(outputs, min(PROJECTED, outputs), generator=source)
    rows: Tensor = torch.linalg.qr(drawn).Q.T.contiguous().to(dtype)
    return rows


def by_projection(function: Function, latents: Tensor, directions: Tensor, chunk: int) -> Tensor:
    """The largest 30 log singular values behind a random projection, one reverse pass for each projected output.

    The recipe of the code published with Polarity Sampling (arXiv 2203.01993): it answers less, with a bias, and is
    timed as what it is.
    """
    found = []
    for rows in torch.split(latents, chunk):
        leaves = rows.clone().requires_grad_()
        outputs = function(leaves).flatten(1) @ directions.T
        gradients = [torch.autograd.grad(out.sum(), leaves, retain_graph=True)[0] for out in outputs.unbind(1)]
        found.append(torch.linalg.svdvals(torch.stack(gradients, dim=1).float())[:, :LARGEST].log())
    return torch.cat(found)


def by_forward(function: Function, latents: Tensor, chunk: int) -> None:
    """Values alone."""
    with torch.no_grad():
        for rows in torch.split(latents, chunk):
            function(rows)


def best_chunk(run: Callable[[int], object], chunks: Sequence[int]) -> int:
    """The chunk at which a rival takes the least time a latent.

    Arguments:
        run: runs the rival on as many latents as the chunk says, in one piece.
        chunks: ascending.

    Returns:
        The best of those tried.
    """
    best, least = chunks[0], float("inf")
    for chunk in chunks:
        run(chunk)
        tries = []
        for _ in range(TRIES):
            start = time.perf_counter()
            run(chunk)
            tries.append((time.perf_counter() - start) / chunk)
            if sum(tries) * chunk > LONG:
                break
        taken = min(tries)
        if taken < least:
            best, least = chunk, taken
        elif taken > PATIENCE * least and chunk >= 16:
            break
    return best
