"""The law of an inner latent: draws of another law pushed through a mapping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float32, Float64

from magnet_service.errors import Refused
from magnet_service.sampling.law import Law

__all__ = ["Pushforward"]


@final
@dataclass(frozen=True)
class Pushforward(Law):
    """The law of w = m(z), where z has the law `source` and m is the mapping before a generator's latent node.

    It can be drawn from, where a mapping is bound to it, and has no density that could be computed: rows of it can be
    weighted by volumes, but never be corrected to another law, nor rows of another law to it.

    Arguments:
        dim: width of w.
        source: law of z.
        mapping: m, row i of its result that of row i given. Laws are equal whatever it is: the digest of the generator
            that it belongs to stands beside them.
        tile_rows: rows on which m works at once; a row's bytes may depend on its place among them.
    """

    source: Law
    mapping: Callable[[np.ndarray], np.ndarray] | None = field(default=None, compare=False, repr=False)
    tile_rows: int = field(default=1, compare=False, repr=False)
    name: ClassVar[str] = "pushforward"

    def _drawn(self, seed: int, start: int, count: int) -> Float32[np.ndarray, "rows latent"]:
        if self.mapping is None:
            raise Refused(f"{self.to_text()} is drawn through its generator: bind it to one.", reason="UNBOUND_LAW")
        # From the beginning of a tile, so that every row stands at its own place whatever page asks for it.
        lead = start % self.tile_rows
        return self.mapping(self.source.rows(seed, start - lead, lead + count))[lead:]

    def _log_density(self, latents: Float64[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
        raise Refused(
            f"{self.to_text()} has no density that could be computed: its rows cannot be corrected to another law.",
            field="base",
            reason="NO_DENSITY",
        )
