"""Activation patterns of many latents in few bytes: one bit for a unit of two states, as few as tell more apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Manifold
from magnet_service.geometry.codes import codes_in_tiles
from magnet_service.geometry.engine import Engine
from magnet_service.geometry.layers import Layer, layers_of

__all__ = ["Patterns", "pack_patterns", "patterns_of", "plane_words", "planes_of", "unpack_patterns", "words_of"]

WORD = 64
"""Units whose bits share a word."""


@dataclass(frozen=True)
class Patterns:
    """The patterns of some latents, packed.

    A layer has one plane of words, a bit a unit, for each binary digit of its units' codes, lowest digit first: one
    plane for relu, two for hardtanh or a pool over four entries. A unit is in another state just where some digit
    differs, so that the number of such units is a count of bits: those of the OR over the planes of the XOR. Bits that
    fill up the last word of a plane are 0.

    Attributes:
        words: uint64, layer after layer, plane after plane, unit after unit.
        layers: the layers of units.
    """

    words: UInt64[np.ndarray, "rows words"]
    layers: tuple[Layer, ...]

    def __len__(self) -> int:
        """How many patterns there are."""
        return len(self.words)

    @property
    def units(self) -> int:
        """How many units a pattern has."""
        return sum(layer.units for layer in self.layers)

    def chosen(self, rows: slice | Int[np.ndarray, " chosen"]) -> Patterns:
        """Some of them."""
        return Patterns(self.words[rows], self.layers)


def planes_of(layer: Layer) -> int:
    """Binary digits that tell the states of a layer's units apart."""
    return (layer.states - 1).bit_length()


def plane_words(layer: Layer) -> int:
    """Words that hold one bit of each of a layer's units."""
    return -(-layer.units // WORD)


def words_of(layers: Sequence[Layer]) -> tuple[slice, ...]:
    """Which words of a row belong to each layer.

    Arguments:
        layers: the layers of units.

    Returns:
        A slice for each layer.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    ends = [0]
    for layer in layers:
        ends.append(ends[-1] + plane_words(layer) * planes_of(layer))
    return tuple(slice(start, end) for start, end in itertools.pairwise(ends))


def pack_patterns(codes: Int[Tensor, "rows units"], layers: Sequence[Layer]) -> Patterns:
    """Pack the codes of units, as `codes_at` gives them: their states, but for units that choose among entries.

    Arguments:
        codes: from 0 to the layer's number of states - 1.
        layers: the layers of units.

    Returns:
        Packed patterns.

    Raises:
        InvalidInput: codes of another number of units, or beyond the states of a layer (field `codes`).

    Accuracy: exact; `unpack_patterns` gives the codes back.
    Cost: a pass over the codes for each binary digit.
    """
    units = sum(layer.units for layer in layers)
    if codes.shape[1] != units:
        raise InvalidInput(f"codes of {codes.shape[1]} units: write those of {units}.", field="codes")
    numbers, places = codes.cpu().numpy(), words_of(layers)
    words = np.zeros((len(numbers), places[-1].stop if places else 0), np.uint64)
    for layer, place in zip(layers, places, strict=True):
        own = numbers[:, layer.first : layer.first + layer.units]
        if own.size and not (own.min() >= 0 and own.max() < layer.states):
            raise InvalidInput(f"codes of {layer.name} are not all from 0 to {layer.states - 1}.", field="codes")
        for plane in range(planes_of(layer)):
            packed = np.packbits((own >> plane) & 1, axis=1, bitorder="little")
            size = plane_words(layer)
            whole = np.zeros((len(own), 8 * size), np.uint8)
            whole[:, : packed.shape[1]] = packed
            start = place.start + plane * size
            words[:, start : start + size] = whole.view(np.uint64)
    return Patterns(words, tuple(layers))


def unpack_patterns(patterns: Patterns) -> Int[Tensor, "rows units"]:
    """The codes that were packed.

    Arguments:
        patterns: packed.

    Returns:
        int32, unit after unit.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    rows = len(patterns)
    parts = [np.zeros((rows, 0), np.int32)]
    for layer, place in zip(patterns.layers, words_of(patterns.layers), strict=True):
        own, size = np.zeros((rows, layer.units), np.int32), plane_words(layer)
        for plane in range(planes_of(layer)):
            start = place.start + plane * size
            words = np.ascontiguousarray(patterns.words[:, start : start + size])
            bits = np.unpackbits(words.view(np.uint8).reshape(rows, 8 * size), axis=1, bitorder="little")
            own |= bits[:, : layer.units].astype(np.int32) << plane
        parts.append(own)
    return torch.from_numpy(np.concatenate(parts, 1))


def patterns_of(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    *,
    manifold: Manifold = Manifold.PRE_ACTIVATION,
    engine: Engine | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Patterns:
    """The packed activation patterns of many latents, as those of a bank.

    Arguments:
        generator: the generator, piecewise affine up to the manifold's value.
        latents: one row each.
        manifold: PRE_ACTIVATION for what feeds the smooth head, OUTPUT or FEATURES where nothing smooth is before them.
        engine: device, tile rows and memory to compute with; its precision is not read, patterns are those of float64.
        should_stop: asked before every tile; once it answers true the call ends in Cancelled.

    Returns:
        One pattern a latent.

    Raises:
        Refused: something smooth stands before that value (NOT_PIECEWISE_AFFINE), or there is none (NO_FEATURES).
        InvalidInput: latents of another width than the generator's latent dimension.
        OutOfMemory: one tile needs more than the engine's bound, which is on what is held besides the patterns.
        Cancelled: `should_stop` answered true.

    Accuracy: exact for the pre-activations computed in float64; row i depends on that latent and on i mod tile_rows
        alone.
    Cost: one forward a latent; an eighth of a byte a relu in memory.

    Example:
        >>> found = patterns_of(Generator.from_module(torch.nn.ReLU(), 3), torch.tensor([[1.0, -1.0, 2.0]]))
        >>> found.words.tolist(), unpack_patterns(found).tolist()
        ([[5]], [[1, 0, 1]])
    """
    layers = layers_of(generator, manifold)
    places = words_of(layers)
    words = np.zeros((len(latents), places[-1].stop if places else 0), np.uint64)
    done = 0
    for codes in codes_in_tiles(generator, latents, manifold, engine, should_stop):
        words[done : done + len(codes)] = pack_patterns(codes, layers).words
        done += len(codes)
    return Patterns(words, layers)
