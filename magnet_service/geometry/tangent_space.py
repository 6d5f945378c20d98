"""An orthonormal basis of the tangent space of a sphere at each latent."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["tangent_basis"]


def tangent_basis(latents: Float[Tensor, "rows latent"]) -> Float[Tensor, "rows columns latent"]:
    """Orthonormal vectors orthogonal to each latent, from one Householder reflection a row.

    With v = z / |z| and u = v + sign(v_1) e_1, the reflection H = I - u u^T / (1 + |v_1|) maps v to -sign(v_1) e_1;
    its rows 2..d are orthonormal and orthogonal to z.

    Arguments:
        latents: z, one row each, at least two wide.

    Returns:
        The d - 1 basis vectors of each row, in the dtype and on the device of the latents.

    Raises:
        Nothing: a latent of length zero has no tangent space, its basis is not a number.

    Accuracy: orthonormal within a few eps of the dtype.
    Cost: O(d^2) a row.

    Example:
        >>> tangent_basis(torch.tensor([[0.0, 2.0]])).tolist()
        [[[-1.0, 0.0]]]
    """
    unit = latents / torch.linalg.vector_norm(latents, dim=1, keepdim=True)
    first = unit[:, :1]
    # The sign that adds, never cancels: 1 + |v_1| is at least 1.
    mirror = torch.cat([first + torch.where(first < 0, -1.0, 1.0).to(first.dtype), unit[:, 1:]], dim=1)
    identity = torch.eye(latents.shape[1], dtype=latents.dtype, device=latents.device)
    weighted = mirror[:, 1:] / (1 + first.abs())
    basis: Tensor = identity[1:] - weighted[:, :, None] * mirror[:, None, :]
    return basis
