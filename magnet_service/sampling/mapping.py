"""A generator's own law of latents, and its binding to the mapping that draws of an inner latent go through."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32

from magnet_service.errors import Refused
from magnet_service.generator import Generator, Precision
from magnet_service.geometry import Engine, forward
from magnet_service.sampling.law import Law
from magnet_service.sampling.law_text import parse_law
from magnet_service.sampling.pushforward import Pushforward

__all__ = ["bound", "prior_law"]


@dataclass(frozen=True)
class Mapping:
    """The part of a network before its latent node, and how it is computed.

    Attributes:
        generator: that part.
        engine: device, tile rows and threads; the precision is always FLOAT32.
    """

    generator: Generator
    engine: Engine

    def __call__(self, latents: Float32[np.ndarray, "rows inner"]) -> Float32[np.ndarray, "rows latent"]:
        """The latents behind it, row i at place i mod tile rows of its tile."""
        found: Float32[np.ndarray, "rows latent"] = (
            forward(self.engine, self.generator, torch.from_numpy(latents)).flatten(1).numpy()
        )
        return found


def prior_law(text: str, generator: Generator) -> Law:
    """The law of a generator's latents under the law of its network's own input.

    Arguments:
        text: that law, as `generator.toml` writes it.
        generator: the generator.

    Returns:
        The law itself; a `Pushforward` of it, not bound to a mapping yet, where the latent is an inner value.

    Raises:
        InvalidInput: as `parse_law`.

    Accuracy:
        Exact.
    """
    if generator.mapping is None:
        return parse_law(text, generator.latent_dim)
    return Pushforward(generator.latent_dim, parse_law(text, generator.mapping.latent_dim))


def bound(law: Law, generator: Generator, engine: Engine) -> Law:
    """A law that can be drawn from: a `Pushforward` with the mapping of its generator, any other law itself.

    Arguments:
        law: the law.
        generator: the generator, of the condition in question where it takes some.
        engine: how the mapping is computed; whatever its precision, in float32.

    Returns:
        An equal law.

    Raises:
        Refused: a pushforward for a generator whose latent is its network's own input (FOREIGN_BANK).

    Accuracy:
        Exact; the rows of a pushforward are as exact as float32 forwards of the mapping.
    """
    if not isinstance(law, Pushforward):
        return law
    if generator.mapping is None:
        raise Refused(
            f"{law.to_text()} is the law of an inner latent, and this generator has none.", reason="FOREIGN_BANK"
        )
    mapping = Mapping(generator.mapping, replace(engine, precision=Precision.FLOAT32))
    return replace(law, mapping=mapping, tile_rows=engine.tile_rows)
