"""The states of all units as small numbers, whatever the units are: what patterns are packed from and compared by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magnet_service.errors import InvalidInput, OutOfMemory
from magnet_service.generator import TABLE, Generator, Manifold, Node, Precision
from magnet_service.generator.affinity import require_piecewise_affine
from magnet_service.generator.pattern import joined_states, rows_of
from magnet_service.geometry.engine import Engine, stopped
from magnet_service.geometry.footprint import numbers_at_work
from magnet_service.geometry.layers import Contest, Layer, contests_of, joined_inputs, layers_of
from magnet_service.geometry.tiles import tiles

__all__ = ["codes_at", "codes_in_tiles", "paired_codes"]

COPIES = 6
"""Values of the widest layer that a forward holds at once, with what is made of them at a layer of units."""


def codes_at(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    layers: Sequence[Layer],
    contests: Mapping[int, Contest],
    manifold: Manifold = Manifold.PRE_ACTIVATION,
) -> Int[Tensor, "rows units"]:
    """The code of every unit: its state, or of a unit that chooses among entries which of these it takes.

    Codes run from 0 to `Layer.states` - 1. Two latents have equal codes of a unit just where they have equal states of
    it, of which a max-pool's is a place in its whole channel.

    Arguments:
        generator: the generator, on the device of the latents.
        latents: rows of one tile; no tiling is done here.
        layers: what `layers_of` answers.
        contests: what `contests_of` answers.
        manifold: up to which value.

    Returns:
        Layer after layer, unit after unit; int8, or int32 where units choose among entries.

    Raises:
        InvalidInput: latents of another width.

    Accuracy: exact for the pre-activations computed in the generator's precision.
    Cost: one forward.
    """
    found: list[Tensor] = []

    def collect(node: Node, inputs: Sequence[Tensor]) -> None:
        contest, rule = contests.get(layers[len(found)].node), TABLE[node.operation].states
        if contest is not None:
            found.append(contest.winners(contest.entries(joined_inputs(inputs))).to(torch.int32))
        elif rule is not None:
            found.append(rows_of(rule(node, inputs)))

    generator.visit(latents, collect, manifold)
    return joined_states(found, latents)


def codes_in_tiles(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    manifold: Manifold,
    engine: Engine | None,
    should_stop: Callable[[], bool] | None,
) -> Iterator[Int[Tensor, "tile units"]]:
    """The codes at many latents in float64, tile by tile, without the rows that fill up the last one.

    Arguments:
        generator: the generator, piecewise affine up to the manifold's value.
        latents: one row each.
        manifold: up to which value.
        engine: device and tile rows; its precision is not read.
        should_stop: asked before every tile.

    Returns:
        Codes of each tile, on the engine's device.

    Raises:
        Refused: something smooth stands before that value, or there is none.
        InvalidInput: latents of another width than the generator's latent dimension.
        OutOfMemory: one tile needs more than the engine's bound.
        Cancelled: `should_stop` answered true.

    Accuracy: exact for the pre-activations computed in float64; those of row i depend on that latent and on
        i mod tile_rows alone.
    Cost: one forward a row.
    """
    require_piecewise_affine(generator, manifold)
    engine = replace(engine if engine is not None else Engine(), precision=Precision.FLOAT64)
    placed, rows = engine.place(generator, latents)
    layers = layers_of(placed, manifold)
    _fits(placed, layers, manifold, engine)
    contests = contests_of(placed, layers)
    left = len(rows)
    for tile in tiles(rows, engine.tile_rows):
        stopped(should_stop)
        with engine.activated():
            found = codes_at(placed, tile, layers, contests, manifold)
        yield found[:left]
        left -= len(tile)


def paired_codes(
    generator: Generator,
    left: Float[Tensor, "*rows latent"],
    right: Float[Tensor, "*_rows latent"],
    manifold: Manifold,
    engine: Engine | None,
    should_stop: Callable[[], bool] | None,
) -> Iterator[tuple[Int[Tensor, "tile units"], Int[Tensor, "tile units"]]]:
    """The codes of pairs of latents, both of a pair at the same place of a tile, so that equal ones have equal bits.

    Arguments:
        generator: the generator, piecewise affine up to the manifold's value.
        left: one latent, or several.
        right: as many.
        manifold: up to which value.
        engine: device and tile rows; its precision is not read.
        should_stop: asked before every tile.

    Returns:
        Codes of each tile, of both sides.

    Raises:
        InvalidInput: not as many of both; and what `codes_in_tiles` raises.

    Accuracy: as `codes_in_tiles`.
    Cost: two forwards a pair.
    """
    if left.ndim == 0 or left.shape != right.shape:
        raise InvalidInput(
            f"latents of shapes {list(left.shape)} and {list(right.shape)} are compared one by one: write as many.",
            field="right",
        )
    sides = (side.reshape(-1, left.shape[-1]) for side in (left, right))
    yield from zip(*(codes_in_tiles(generator, side, manifold, engine, should_stop) for side in sides), strict=True)


def _fits(generator: Generator, layers: Sequence[Layer], manifold: Manifold, engine: Engine) -> None:
    """Refuses a tile that does not fit."""
    units = sum(layer.units for layer in layers)
    needed = engine.tile_rows * (8 * numbers_at_work(generator, layers, manifold, COPIES) + 4 * units)
    if engine.max_memory is not None and needed > engine.max_memory:
        raise OutOfMemory(
            f"Patterns of one tile of {engine.tile_rows} latents need about {needed / 2**20:.0f} MiB, and the bound is "
            f"{engine.max_memory / 2**20:.0f} MiB: raise max_memory, or write fewer tile rows.",
            metadata={"needed_bytes": str(needed)},
        )
