"""Pages of a draw: outputs and figures of some of its rows, the same bytes however the draw is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32, Int64

from magnet_service.errors import Refused
from magnet_service.generator import Manifold
from magnet_service.generator.condition import Condition
from magnet_service.geometry import Engine, forward, log_volume, volumes
from magnet_service.registry.conditions import named
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import Draw, MixtureDraw, from_text

__all__ = ["Page", "Plan", "Wanted", "by_class", "measured", "outputs", "page", "spans"]


@dataclass(frozen=True)
class Wanted:
    """What an answer carries for each row.

    Attributes:
        values: the generator's outputs.
        latents: the latents.
        log_volumes: log v_k.
        log_weights: log of weight over mean weight.
    """

    values: bool = True
    latents: bool = False
    log_volumes: bool = False
    log_weights: bool = False


@dataclass(frozen=True)
class Plan:
    """A draw settled in all respects; its pages are a function of it.

    Attributes:
        held: the generator; its condition is open where rows have all classes in turn. None for a bank alone.
        draw: its rows.
        engine: how they are computed.
    """

    held: HeldGenerator | None
    draw: Draw
    engine: Engine

    @property
    def generator(self) -> HeldGenerator:
        """The generator; Refused (NO_GENERATOR) for a bank alone."""
        if self.held is None:
            raise Refused(
                "this draw names a bank and no generator, so that there is nothing to compute outputs with: name the "
                "generator beside the bank, or ask for no images (IMAGES_NONE) but latents, log_volumes or weights",
                field="generator",
                reason="NO_GENERATOR",
            )
        return self.held

    @property
    def latent_dim(self) -> int:
        """Width of a latent."""
        return from_text(self.draw.resolved.base_law).dim

    @property
    def block(self) -> int:
        """Rows that are computed together: a tile, or a tile of each class."""
        classes = self.draw.count_of_classes if isinstance(self.draw, MixtureDraw) else 1
        return self.engine.tile_rows * classes

    def step(self, rows: int) -> int:
        """What pages of about `rows` rows are multiples of: a block where one fits, and no row is computed twice."""
        return self.block if self.block <= max(rows, self.engine.tile_rows) else self.engine.tile_rows


@dataclass(frozen=True)
class Page:
    """Some rows of a draw, or of latents that a client sent; what was not wanted is None.

    Attributes:
        values: [rows, ...] as the generator gives them.
        latents: [rows, d].
        log_volumes: [rows], nats.
        log_weights: [rows], nats.
        bank_rows: [rows]; None too where no bank is read.
        classes: [rows]; None where the generator has no classes.
    """

    values: Float[np.ndarray, "rows ..."] | None = None
    latents: Float32[np.ndarray, "rows latent"] | None = None
    log_volumes: Float64[np.ndarray, " rows"] | None = None
    log_weights: Float64[np.ndarray, " rows"] | None = None
    bank_rows: Int64[np.ndarray, " rows"] | None = None
    classes: Int32[np.ndarray, " rows"] | None = None


def page(plan: Plan, start: int, count: int, wanted: Wanted, should_stop: Callable[[], bool] | None = None) -> Page:
    """Computes answer rows start to start + count - 1.

    Row i of a draw stands at place i mod tile_rows of its tile, whichever page asks for it; of a draw over C classes,
    where a tile holds one class, at place (i div C) mod tile_rows.

    Arguments:
        plan: the draw.
        start: first row, counted from 0 of the draw.
        count: rows.
        wanted: what to answer.
        should_stop: asked before every tile.

    Returns:
        The rows.

    Raises:
        Cancelled: `should_stop` answered true.
        Refused: outputs of a bank alone; reason NO_GENERATOR.

    Accuracy: bytes are equal to those of any other page that holds the row.
    """
    draw, engine = plan.draw, plan.engine
    lead = start % plan.block  # rows before `start` in its tile: computed, so that places are right, and dropped
    resolved = draw.resolved
    latents = draw.latents(start - lead, lead + count)
    log_volumes = draw.log_volumes(start, count) if wanted.log_volumes else None
    if wanted.log_volumes and log_volumes is None:
        k, manifold = resolved.top_k, resolved.manifold
        log_volumes = by_class(
            plan, latents, lambda held, rows: measured(held, engine, rows, k, manifold, should_stop)
        )[lead:]
    values = None
    if wanted.values:
        values = by_class(plan, latents, lambda held, rows: outputs(engine, held, rows, should_stop))[lead:]
    return Page(
        values=values,
        latents=latents[lead:] if wanted.latents else None,
        log_volumes=log_volumes,
        log_weights=draw.log_weights(start, count) if wanted.log_weights else None,
        bank_rows=draw.indices(start, count),
        classes=draw.classes(start, count),
    )


def by_class(
    plan: Plan,
    latents: Float32[np.ndarray, "rows latent"],
    compute: Callable[[HeldGenerator, np.ndarray], Float[np.ndarray, "some ..."]],
) -> Float[np.ndarray, "rows ..."]:
    """Computes rows from the beginning of a block, those of each class by the generator of that class.

    Arguments:
        plan: the draw.
        latents: of rows that begin with a block.
        compute: what to compute of a generator at some latents.

    Returns:
        The results in the order of the latents.

    Raises:
        What `compute` raises.

    Accuracy: that of `compute`.
    """
    if not isinstance(plan.draw, MixtureDraw):
        return compute(plan.generator, latents)
    classes = plan.draw.count_of_classes
    found = [
        compute(named(plan.generator, Condition(index=index)), latents[index::classes])
        for index in range(min(classes, len(latents)))
    ]
    whole = np.empty((len(latents), *found[0].shape[1:]), dtype=found[0].dtype)
    for index, rows in enumerate(found):
        whole[index::classes] = rows
    return whole


def measured(
    held: HeldGenerator,
    engine: Engine,
    latents: Float[np.ndarray, "rows latent"],
    top_k: int,
    manifold: Manifold,
    should_stop: Callable[[], bool] | None,
) -> Float64[np.ndarray, " rows"]:
    """Log-volumes of latents that no bank holds.

    Arguments:
        held: the generator.
        engine: how to compute.
        latents: one row each.
        top_k: k of log v_k; 0 for all columns.
        manifold: where the image is taken.
        should_stop: asked before every tile.

    Returns:
        log v_k in nats, -inf where the rank is below k.

    Raises:
        Cancelled: `should_stop` answered true.
        InvalidInput: top_k above the Jacobian's columns.

    Accuracy: that of `volumes`.
    """
    found = volumes(
        held.generator,
        torch.tensor(latents),
        manifold=manifold,
        engine=engine,
        tangent_space=held.prior.tangent_space,
        should_stop=should_stop,
    )
    logs: Float64[np.ndarray, " rows"] = log_volume(found, top_k or held.prior.columns).numpy()
    return logs


def spans(offset: int, count: int | None, rows: int, tile_rows: int) -> Iterator[tuple[int, int]]:
    """Cuts a draw into pages of whole tiles.

    Arguments:
        offset: first row.
        count: rows in all; None without an end.
        rows: rows of a page, rounded down to whole tiles, one tile at least.
        tile_rows: rows of a tile.

    Yields:
        Start and count of each page; every page but the first starts at a tile, every page but the last ends at one.

    Raises:
        Nothing.

    Accuracy: exact.

    Example:
        >>> list(spans(5, 30, 16, 16))
        [(5, 11), (16, 16), (32, 3)]
    """
    step = max(1, rows // tile_rows) * tile_rows
    start, end = offset, None if count is None else offset + count
    while end is None or start < end:
        stop = start - start % step + step
        stop = stop if end is None else min(stop, end)
        yield start, stop - start
        start = stop


def outputs(
    engine: Engine,
    held: HeldGenerator,
    latents: Float[np.ndarray, "rows latent"],
    should_stop: Callable[[], bool] | None,
) -> Float[np.ndarray, "rows ..."]:
    """The generator's outputs at given latents.

    Arguments:
        engine: how to compute.
        held: the generator.
        latents: one row each.
        should_stop: asked before every tile.

    Returns:
        Values in the engine's precision.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: that of `forward`.
    """
    values: Float[np.ndarray, "rows ..."] = forward(
        engine, held.generator, torch.tensor(latents), Manifold.OUTPUT, should_stop
    ).numpy()
    return values
