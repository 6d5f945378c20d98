"""Activation patterns of a held generator: those of given latents, and the nearest among a bank's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator import Manifold, Precision
from magnet_service.geometry import (
    Neighbours,
    Patterns,
    hamming,
    hamming_matrix,
    layers_of,
    nearest,
    patterns_of,
)
from magnet_service.geometry.patterns import plane_words, planes_of
from magnet_service.registry.generators import HeldGenerator
from magnet_service.registry.registry import Registry

__all__ = ["BankNeighbours", "bank_neighbours", "distances", "pattern_bytes", "patterns"]

StopSignal = Callable[[], bool]


@dataclass(frozen=True)
class BankNeighbours:
    """The rows of a bank whose patterns are nearest to those of some latents.

    Attributes:
        neighbours: rows and distances.
        latents: of these rows, float32.
        units: of a pattern.
        bank_id: the bank.
        rows: how many of its first rows were looked at.
    """

    neighbours: Neighbours
    latents: Float[np.ndarray, "queries count latent"]
    units: int
    bank_id: str
    rows: int


def pattern_bytes(held: HeldGenerator, manifold: Manifold) -> int:
    """Bytes of a packed pattern."""
    layers = layers_of(held.generator, manifold)
    return 8 * sum(plane_words(layer) * planes_of(layer) for layer in layers)


def patterns(
    registry: Registry,
    held: HeldGenerator,
    latents: Float[np.ndarray, "rows latent"],
    manifold: Manifold,
    should_stop: StopSignal | None = None,
) -> Patterns:
    """Computes packed activation patterns; raises as `patterns_of`, and InvalidInput for too many latents."""
    registry.check_rows(len(latents), "latents")
    return patterns_of(
        held.generator,
        torch.tensor(latents),
        manifold=manifold,
        engine=registry.engine(Precision.FLOAT64),
        should_stop=should_stop,
    )


def distances(
    registry: Registry,
    held: HeldGenerator,
    latents: Float[np.ndarray, "rows latent"],
    others: Float[np.ndarray, "others latent"] | None,
    *,
    paired: bool,
    manifold: Manifold,
    should_stop: StopSignal | None = None,
) -> Int[Tensor, "*pairs layers"]:
    """Counts the units whose state differs, layer by layer.

    Arguments:
        registry: what the server holds.
        held: the generator, its condition held fixed.
        latents: one row each.
        others: to compare them with; None for the latents themselves.
        paired: compare latent i with other i only.
        manifold: whose units count.
        should_stop: asked before every tile and row.

    Returns:
        int64, [rows, layers] for pairs, else [rows, others, layers].

    Raises:
        InvalidInput: too many of them, or not as many for pairs (field `others`).
        Refused, OutOfMemory, Cancelled: as `hamming` and `patterns_of`.

    Accuracy: as `hamming`.
    """
    registry.check_rows(len(latents), "latents")
    registry.check_rows(0 if others is None else len(others), "others")
    engine = registry.engine(Precision.FLOAT64)
    left = torch.tensor(latents)
    if paired:
        count = 0 if others is None else len(others)
        if others is None or count != len(latents):
            raise InvalidInput(f"{len(latents)} latents are paired with {count} others; write as many.", field="others")
        found = hamming(
            held.generator,
            left.double(),
            torch.tensor(others, dtype=torch.float64),
            manifold=manifold,
            engine=engine,
            should_stop=should_stop,
        )
        return found.by_layer
    one = patterns_of(held.generator, left, manifold=manifold, engine=engine, should_stop=should_stop)
    other = one
    if others is not None:
        other = patterns_of(
            held.generator, torch.tensor(others), manifold=manifold, engine=engine, should_stop=should_stop
        )
    return hamming_matrix(one, other, should_stop)


def bank_neighbours(
    registry: Registry,
    held: HeldGenerator,
    latents: Float[np.ndarray, "rows latent"],
    *,
    bank_id: str,
    bank_revision: int,
    count: int,
    manifold: Manifold,
    should_stop: StopSignal | None = None,
) -> BankNeighbours:
    """Finds the rows of a bank whose patterns differ from those of latents in the fewest units.

    Arguments:
        registry: what the server holds.
        held: the generator, its condition held fixed.
        latents: one row each.
        bank_id: of a bank of this generator and condition.
        bank_revision: how many of its first rows are looked at; 0 for all.
        count: neighbours of each.
        manifold: whose units count.
        should_stop: asked before every tile.

    Returns:
        The nearest rows, nearest first, of equally near ones the lower first.

    Raises:
        InvalidInput: too many latents, more rows than the bank has (field `bank_revision`), more neighbours than rows
            (field `count`).
        UnknownResource: no such bank.
        Refused: a bank of another generator or condition (FOREIGN_BANK); as `patterns_of`.
        DamagedData, OutOfMemory, Cancelled: as `Bank.rows` and `patterns_of`.

    Accuracy: exact for the patterns computed in float64; every row is looked at.
    Cost: one forward a row of the bank at the first call; patterns of the banks last used are kept.
    """
    registry.check_rows(len(latents), "latents")
    bank = registry.banks.open(bank_id)
    asked = "" if held.condition is None else held.condition.text
    own = bank.spec.is_of(held.generator.digest, held.reference) and bank.spec.base_law.dim == held.prior.dim
    if not own or bank.spec.condition != asked:
        other = "condition" if own else "generator"
        raise Refused(
            f"bank {bank.id} has rows of another {other}: name another", field="bank_id", reason="FOREIGN_BANK"
        )
    rows = bank.rows(bank_revision or None)
    known = len(rows)
    if not 1 <= count <= known:
        raise InvalidInput(f"count is {count}; write 1 to {known:,}, the rows of the bank.", field="count")
    queries = patterns(registry, held, latents, manifold, should_stop)
    engine = registry.engine(Precision.FLOAT64)
    pieces = registry.patterns.pieces(held, bank.id, rows, manifold, engine, should_stop)
    found = _merged(pieces, queries, count, engine.threads, should_stop)
    places = found.rows.numpy()
    latents = rows.latents_at(places.reshape(-1)).reshape(*places.shape, rows.dim)
    return BankNeighbours(found, latents, queries.units, bank.id, known)


def _merged(
    pieces: Iterable[Patterns], queries: Patterns, count: int, threads: int, should_stop: StopSignal | None
) -> Neighbours:
    """The nearest of several pieces; a stable sort keeps the lower of equally near rows first."""
    rows, far = (torch.zeros(len(queries), 0, dtype=torch.int64) for _ in range(2))
    first = 0
    for piece in pieces:
        found = nearest(piece, queries, min(count, len(piece)), threads=threads, should_stop=should_stop)
        rows, far = torch.cat([rows, found.rows + first], 1), torch.cat([far, found.distances], 1)
        far, order = torch.sort(far, dim=1, stable=True)
        rows, far = rows.gather(1, order)[:, :count], far[:, :count]
        first += len(piece)
    return Neighbours(rows, far)
