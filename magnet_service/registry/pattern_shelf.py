"""Packed activation patterns of the banks last looked through."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

import numpy as np
import torch

from magnet_service.generator import Manifold
from magnet_service.geometry import Engine, Patterns, patterns_of
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import BankRows

__all__ = ["PatternShelf"]

_KEPT_BYTES = 256 << 20
_CHUNK_ROWS = 1024


class PatternShelf:
    """Computes the patterns of a bank's rows, piece by piece, and keeps the pieces computed last.

    Arguments:
        kept_bytes: of all pieces together; those used longest ago go first.
    """

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._known: OrderedDict[tuple[str, str, Manifold, int, int], Patterns] = OrderedDict()

    def pieces(
        self,
        held: HeldGenerator,
        bank_id: str,
        rows: BankRows,
        manifold: Manifold,
        engine: Engine,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Patterns]:
        """The patterns of a bank's rows.

        Arguments:
            held: the generator, its condition held fixed.
            bank_id: stands for the rows together with their number, since rows of a bank never change.
            rows: the first rows of the bank.
            manifold: whose units count.
            engine: how they are computed.
            should_stop: asked before every tile.

        Yields:
            Patterns of consecutive rows, whole tiles but for the last piece.

        Raises:
            Refused, OutOfMemory, Cancelled: as `patterns_of`.

        Accuracy: as `patterns_of`.
        """
        step = -(-_CHUNK_ROWS // engine.tile_rows) * engine.tile_rows
        for first in range(0, len(rows), step):
            some = np.arange(first, min(first + step, len(rows)))
            key = (held.generator.digest, bank_id, manifold, first, len(some))
            found = self._known.pop(key, None)
            if found is None:
                latents = torch.tensor(rows.latents_at(some))
                found = patterns_of(held.generator, latents, manifold=manifold, engine=engine, should_stop=should_stop)
            self._keep(key, found)
            yield found

    def _keep(self, key: tuple[str, str, Manifold, int, int], found: Patterns) -> None:
        self._known[key] = found
        while sum(one.words.nbytes for one in self._known.values()) > self._kept_bytes:
            self._known.popitem(last=False)
