"""Frames: orthonormal, addressed by number, and uniform, which QR alone would not make them."""

from __future__ import annotations

import pytest
import torch

from magnet_service.errors import InvalidInput
from magnet_service.geometry import random_frames


@pytest.mark.parametrize(("directions", "dim"), [(1, 1), (1, 5), (3, 5), (5, 5), (25, 64)])
def test_directions_are_orthonormal(directions: int, dim: int) -> None:
    frames = random_frames(3, 0, 50, directions, dim)
    assert frames.shape == (50, directions, dim)
    identity = torch.eye(directions, dtype=torch.float64).expand(50, -1, -1)
    torch.testing.assert_close(frames @ frames.mT, identity, rtol=0, atol=1e-13)


def test_a_frame_is_a_function_of_seed_and_number() -> None:
    whole = random_frames(11, 0, 40, 3, 7)
    assert torch.equal(random_frames(11, 13, 9, 3, 7), whole[13:22])
    assert torch.equal(random_frames(2**64 - 1, 5, 1, 3, 7), random_frames(2**64 - 1, 0, 6, 3, 7)[5:])
    assert not torch.equal(random_frames(12, 0, 40, 3, 7), whole)
    assert whole.unique(dim=0).shape == whole.shape
    assert random_frames(11, 4, 0, 3, 7).shape == (0, 3, 7)


def test_the_first_frame_grows_by_directions() -> None:
    whole = random_frames(11, 0, 1, 6, 6)
    for directions in range(1, 6):
        torch.testing.assert_close(random_frames(11, 0, 1, directions, 6), whole[:, :directions], rtol=0, atol=1e-13)


def test_frames_are_uniform() -> None:
    # Of a uniform frame every entry has mean 0 and square 1/d, in any fixed basis, and no two entries go together.
    count, dim = 20_000, 3
    frames = random_frames(1, 0, count, dim, dim).reshape(count, dim * dim)
    noise = 5 / count**0.5
    assert frames.mean(0).abs().max() < noise
    products = frames.T @ frames / count
    assert (products - torch.eye(dim * dim, dtype=torch.float64) / dim).abs().max() < noise
    # QR itself fixes the sign of diagonals of R, and with it the side of every direction: it would fail the first.
    normal = torch.randn(count, dim, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.linalg.qr(normal).Q.reshape(count, -1).mean(0).abs().max() > 0.3


@pytest.mark.parametrize(
    ("field", "seed", "start", "count", "directions"),
    [
        ("seed", -1, 0, 1, 2),
        ("seed", 2**64, 0, 1, 2),
        ("start", 0, -1, 1, 2),
        ("count", 0, 0, -1, 2),
        ("directions", 0, 0, 1, 0),
        ("directions", 0, 0, 1, 4),
    ],
)
def test_what_cannot_be_is_refused_by_field(field: str, seed: int, start: int, count: int, directions: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        random_frames(seed, start, count, directions, 3)
    assert caught.value.field == field
