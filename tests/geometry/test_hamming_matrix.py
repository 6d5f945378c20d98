"""Hamming distances of all pairs: by layer, of units of more than two states too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from magnet_service.errors import Cancelled, InvalidInput
from magnet_service.generator import Generator
from magnet_service.geometry import hamming, hamming_matrix, patterns_of


def three_kinds() -> Generator:
    """Hardtanh (three states), relu, and a max-pool over four entries."""
    torch.manual_seed(3)
    return Generator.from_module(
        nn.Sequential(
            nn.Linear(3, 70), nn.Hardtanh(), nn.Linear(70, 64), nn.ReLU(), nn.Unflatten(1, (1, 8, 8)), nn.MaxPool2d(2)
        ),
        3,
    )


def test_every_pair_is_that_of_hamming() -> None:
    generator = three_kinds()
    left, right = (torch.randn(rows, 3, generator=torch.Generator().manual_seed(rows)) for rows in (5, 4))
    found = hamming_matrix(patterns_of(generator, left), patterns_of(generator, right))
    expected = torch.stack([hamming(generator, z.expand(4, 3), right).by_layer for z in left])
    assert found.shape == (5, 4, 3)
    assert (found == expected).all()
    assert (found.sum((0, 1)) > 0).all()


def test_none_and_others_and_a_stop() -> None:
    generator = three_kinds()
    some = patterns_of(generator, torch.zeros(2, 3))
    assert hamming_matrix(some.chosen(slice(0, 0)), some).shape == (0, 2, 3)
    other = patterns_of(Generator.from_module(nn.ReLU(), 3), torch.zeros(1, 3))
    with pytest.raises(InvalidInput) as caught:
        hamming_matrix(some, other)
    assert caught.value.field == "right"
    with pytest.raises(Cancelled):
        hamming_matrix(some, some, lambda: True)
