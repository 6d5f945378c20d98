"""In how many units two activation patterns differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Manifold
from magnet_service.geometry.codes import paired_codes
from magnet_service.geometry.engine import Engine
from magnet_service.geometry.kernels.popcounts import pair_distances
from magnet_service.geometry.layers import Layer, layers_of
from magnet_service.geometry.patterns import Patterns, plane_words, planes_of, words_of

__all__ = ["Hamming", "check_layers", "hamming", "packed_hamming", "runs_of"]


@dataclass(frozen=True)
class Hamming:
    """Units in another state, of some pairs of latents.

    Attributes:
        by_layer: their number in each layer, int64, on the CPU.
        layers: the layers of units.
    """

    by_layer: Int[Tensor, "*rows layers"]
    layers: tuple[Layer, ...]

    @property
    def total(self) -> Int[Tensor, "*rows"]:
        """Their number in all layers: the Hamming distance of the patterns."""
        return self.by_layer.sum(-1)

    @property
    def share(self) -> Float[Tensor, "*rows"]:
        """The distance as a share of all units, 0 to 1, float64; 0 where there are none."""
        return self.total.double() / max(1, sum(layer.units for layer in self.layers))


def hamming(
    generator: Generator,
    left: Float[Tensor, "*rows latent"],
    right: Float[Tensor, "*_rows latent"],
    *,
    manifold: Manifold = Manifold.PRE_ACTIVATION,
    engine: Engine | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Hamming:
    """The number of units whose state differs between two latents, or two inputs of a classifier, layer by layer.

        d(z, z') = #{units u : state_u(z) != state_u(z')}

    A unit counts once, however many of its breakpoints lie between. The distance is 0 just where both are in one
    region, and a metric on regions.

    Arguments:
        generator: the generator, piecewise affine up to the manifold's value.
        left: one latent, or several.
        right: as many.
        manifold: PRE_ACTIVATION for what feeds the smooth head, OUTPUT or FEATURES where nothing smooth is before them.
        engine: device, tile rows and memory to compute with; its precision is not read, patterns are those of float64.
        should_stop: asked before every tile; once it answers true the call ends in Cancelled.

    Returns:
        Numbers of units for each pair.

    Raises:
        Refused: something smooth stands before that value (NOT_PIECEWISE_AFFINE), or there is none (NO_FEATURES).
        InvalidInput: latents of another width than the generator's latent dimension, or not as many of both.
        OutOfMemory: one tile needs more than the engine's bound.
        Cancelled: `should_stop` answered true.

    Accuracy: exact for the pre-activations computed in float64.
    Cost: one forward a latent.
    References: Balestriero and Baraniuk, Mad Max, 1805.06576 (distances of signals by their partition's regions).

    Example:
        >>> sign = Generator.from_module(torch.nn.ReLU(), 3)
        >>> found = hamming(sign, torch.tensor([1.0, 2.0, -1.0]), torch.tensor([-1.0, 3.0, 2.0]))
        >>> found.total.item(), round(found.share.item(), 3)
        (2, 0.667)
    """
    layers = layers_of(generator, manifold)
    sizes = [layer.units for layer in layers]
    found = [torch.zeros(0, len(sizes), dtype=torch.int64)]
    for one, other in paired_codes(generator, left, right, manifold, engine, should_stop):
        parts = torch.split(one != other, sizes, dim=1) if sizes else ()
        counts = [part.sum(1) for part in parts]
        found.append(torch.stack(counts, 1).cpu() if counts else torch.zeros(len(one), 0, dtype=torch.int64))
    return Hamming(torch.cat(found).reshape(*left.shape[:-1], len(sizes)), layers)


def packed_hamming(left: Patterns, right: Patterns) -> Int[Tensor, " rows"]:
    """The number of units whose state differs between packed patterns, row by row.

    Arguments:
        left: packed.
        right: as many, of the same layers.

    Returns:
        int64.

    Raises:
        InvalidInput: patterns of other layers, or not as many (field `right`).

    Accuracy: exact.
    Cost: a pass over the words.
    """
    check_layers(left, right, "right")
    if len(left) != len(right):
        raise InvalidInput(
            f"{len(left)} and {len(right)} patterns are compared in pairs: write as many.", field="right"
        )
    made = np.zeros(len(left), np.int64)
    one, other = (np.ascontiguousarray(side.words).reshape(-1) for side in (left, right))
    pair_distances(one, other, left.words.shape[1], runs_of(left.layers), made)
    return torch.from_numpy(made)


def check_layers(one: Patterns, other: Patterns, field: str) -> None:
    """Refuses patterns of other layers of units, which are not to be compared."""
    if one.layers != other.layers:
        raise InvalidInput("patterns of other layers of units: write those of one generator and manifold.", field=field)


def runs_of(layers: Sequence[Layer]) -> NDArray[np.int64]:
    """First word, words of a plane, and planes of each layer, as the kernels want them; layers of one plane joined."""
    runs: list[list[int]] = []
    for layer, place in zip(layers, words_of(layers), strict=True):
        planes = planes_of(layer)
        if planes == 0:  # one state only
            continue
        if runs and runs[-1][2] == planes == 1:
            runs[-1][1] += plane_words(layer)
        else:
            runs.append([place.start, plane_words(layer), planes])
    return np.array(runs, np.int64).reshape(-1, 3)
