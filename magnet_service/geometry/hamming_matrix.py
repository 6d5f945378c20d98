"""In how many units every pattern of one set differs from every pattern of another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from magnet_service.geometry.engine import stopped
from magnet_service.geometry.hamming import check_layers
from magnet_service.geometry.patterns import Patterns, plane_words, planes_of, words_of

__all__ = ["hamming_matrix"]


def hamming_matrix(
    left: Patterns, right: Patterns, should_stop: Callable[[], bool] | None = None
) -> Int[Tensor, "left right layers"]:
    """The number of units of each layer whose state differs, of all pairs of packed patterns.

    Arguments:
        left: packed.
        right: of the same layers.
        should_stop: asked before every row of `left`; once it answers true the call ends in Cancelled.

    Returns:
        int64.

    Raises:
        InvalidInput: patterns of other layers (field `right`).
        Cancelled: `should_stop` answered true.

    Accuracy: exact.
    Cost: one XOR and count of bits for each pair and word.

    Example:
        >>> from magnet_service.generator import Generator
        >>> from magnet_service.geometry.patterns import patterns_of
        >>> sign = Generator.from_module(torch.nn.ReLU(), 2)
        >>> found = patterns_of(sign, torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]))
        >>> hamming_matrix(found, found)[:, :, 0].tolist()
        [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    """
    check_layers(left, right, "right")
    made = np.zeros((len(left), len(right), len(left.layers)), np.int64)
    places = words_of(left.layers)
    for row in range(len(left)):
        stopped(should_stop)
        other = left.words[row] ^ right.words
        for column, (layer, place) in enumerate(zip(left.layers, places, strict=True)):
            # A unit counts once, however many digits of its code differ.
            planes = other[:, place].reshape(len(right), planes_of(layer), plane_words(layer))
            made[row, :, column] = np.bitwise_count(np.bitwise_or.reduce(planes, axis=1)).sum(axis=1)
    return torch.from_numpy(made)
