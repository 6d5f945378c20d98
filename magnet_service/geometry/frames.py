"""Orthonormal frames of directions in latent space: drawn uniformly, one by one addressable, or given and checked."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.errors import InvalidInput

__all__ = ["check_frame", "random_frames"]

MAX_SEED = 2**64 - 1

STREAM = 1 << 32
"""Second word of the key, apart from all streams by which latents are drawn."""

WORDS_PER_BLOCK = 4

ORTHONORMAL = 1e-5
"""What products of a given frame's directions may be off by: rounding of float32."""


def random_frames(
    seed: int, start: int, count: int, directions: int, dim: int
) -> Float[Tensor, "count directions dim"]:
    """Frames number start to start + count - 1 of a seed, each uniform among all orthonormal frames.

        V^T = Q sign(diag R),   Q R = X,   X of independent standard normal numbers, d x P

    Arguments:
        seed: 0 to 2^64 - 1.
        start: number of the first frame, at least 0.
        count: how many, at least 0.
        directions: P, 1 to d.
        dim: d.

    Returns:
        Frames in float64 on the CPU, directions in rows. Frame i is a function of (seed, i, P, d) alone; frame 0 with
        fewer directions is the beginning of frame 0 with more.

    Raises:
        InvalidInput: seed, start, count or directions out of range.

    Accuracy: orthonormal within rounding; without the signs, Q would not be uniform.
    Cost: 2 d P^2 operations a frame.
    References: Mezzadri, "How to generate random matrices from the classical compact groups", Notices AMS 54 (2007).

    Example:
        >>> page = random_frames(7, 0, 5, 2, 3)
        >>> bool((random_frames(7, 3, 2, 2, 3) == page[3:]).all())
        True
    """
    check_range("seed", seed, 0, MAX_SEED)
    check_range("directions", directions, 1, dim)
    check_range("start", start, 0, 2**63)
    check_range("count", count, 0, 2**63)
    words = directions * dim
    blocks = -(-words // WORDS_PER_BLOCK)
    # numpy adds one to the counter before it makes a block, so the counter given is the one before the first block.
    philox = np.random.Philox(key=np.array([seed, STREAM], dtype=np.uint64), counter=(start * blocks - 1) % 2**256)
    raw = philox.random_raw(count * blocks * WORDS_PER_BLOCK).reshape(count, blocks * WORDS_PER_BLOCK)[:, :words]
    uniform = ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    normal: Tensor = torch.special.ndtri(torch.from_numpy(uniform)).reshape(count, directions, dim)
    factors = torch.linalg.qr(normal.mT)
    signs = torch.where(factors.R.diagonal(dim1=1, dim2=2) < 0, -1.0, 1.0).to(torch.float64)
    frames: Tensor = (factors.Q * signs[:, None, :]).mT.contiguous()
    return frames


def check_frame(frame: Float[Tensor, "*any"], rows: int, dim: int) -> Float[Tensor, "frames directions dim"]:
    """A frame for all rows, or one a row, where it is orthonormal.

    Arguments:
        frame: [P, d], or [rows, P, d].
        rows: number of latents.
        dim: d.

    Returns:
        [1 or rows, P, d] in float64, numbers as given.

    Raises:
        InvalidInput: another shape, or directions that are not orthonormal; field `frame`.

    Accuracy: products of directions may be off by 1e-5, as frames rounded to float32 are.
    """
    shaped = frame[None] if frame.ndim == 2 else frame
    known = shaped.ndim == 3 and shaped.shape[2] == dim and 1 <= shaped.shape[1] <= dim
    if not known or (frame.ndim == 3 and len(frame) != rows):
        raise InvalidInput(
            f"a frame of shape {list(frame.shape)}: write [P, {dim}] for all latents or [{rows}, P, {dim}], with P "
            f"from 1 to {dim}.",
            field="frame",
        )
    exact = shaped.detach().double()
    identity = torch.eye(exact.shape[1], dtype=torch.float64, device=exact.device)
    # A comparison that NaN fails too.
    if not bool(((exact @ exact.mT - identity).abs() <= ORTHONORMAL).all()):
        raise InvalidInput(
            "the directions of a frame are not orthonormal; write rows of unit length at right angles, as the Q of a "
            "QR decomposition has them in its columns.",
            field="frame",
        )
    return exact


def check_range(name: str, value: int, low: int, high: int) -> None:
    """InvalidInput where an integer is out of range."""
    if isinstance(value, bool) or not low <= value <= high:
        raise InvalidInput(f"{name} is {value}; write a whole number from {low} to {high}.", field=name)
