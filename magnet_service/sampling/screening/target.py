"""One interface for all samplers: a target, a budget and a seed give weighted latents with what they are worth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Float64

from magnet_service.generator import Generator, Manifold
from magnet_service.geometry import Engine
from magnet_service.sampling.banks.computing import measured_rows
from magnet_service.sampling.banks.rows import BankRows, Rows
from magnet_service.sampling.diagnostics import Diagnostics
from magnet_service.sampling.law import Law
from magnet_service.sampling.weighed import WeighedRows

__all__ = ["Budget", "Sample", "Sampler", "Target", "seed_of"]

StopSignal = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Target:
    """The law pi(z) ~ q(z) v_k(z)^rho.

    Attributes:
        generator: of its condition.
        law: the base q, bound where it is drawn through the generator.
        manifold: where volumes are taken.
        rho: exponent of v_k, not 0.
        k: number of singular values.
        engine: how volumes are computed.
    """

    generator: Generator
    law: Law
    manifold: Manifold
    rho: float
    k: int
    engine: Engine

    def measured(self, latents: Float32[np.ndarray, "rows latent"], should_stop: StopSignal | None) -> Rows:
        """Latents with their exact log-volumes; as `measured_rows`."""
        return measured_rows(self.generator, self.engine, latents, self.manifold, self.law.tangent_space, should_stop)


@dataclass(frozen=True)
class Budget:
    """What a sampler may compute; both parts are fixed before the first row.

    Attributes:
        exact: latents whose Jacobian is computed, at most.
        forwards: forward passes, one a latent; 0 for samplers that need none.
    """

    exact: int
    forwards: int = 0

    def evaluations(self, columns: int) -> float:
        """The cost in exact evaluations, a forward counted as one of the Jacobian's columns."""
        return self.exact + self.forwards / columns


@dataclass(frozen=True, eq=False)
class Sample:
    """Weighted latents.

    Attributes:
        rows: the latents, with their exact log-volumes.
        weighed: their weights.
        figures: what the weights are worth.
        spent: what was computed.
        notes: what a user should know of how it went, by name: pool ESS, acceptance, autocorrelation time.
    """

    rows: BankRows
    weighed: WeighedRows
    figures: Diagnostics
    spent: Budget
    notes: dict[str, float]

    @property
    def latents(self) -> Float32[np.ndarray, "rows latent"]:
        """All latents."""
        return self.rows.latents_at(np.arange(len(self.rows)))

    @property
    def log_weights(self) -> Float64[np.ndarray, " rows"]:
        """Their log weights, nats, unnormalised."""
        return self.weighed.logs.all()


class Sampler(Protocol):
    """A way to draw from a target; bytes are a function of target, budget and seed."""

    def __call__(self, target: Target, budget: Budget, seed: int, should_stop: StopSignal | None = None) -> Sample:
        """Weighted latents of the target; Cancelled where `should_stop` turns true."""


def seed_of(seed: int, purpose: str) -> int:
    """Another seed for one purpose of a draw: a pool must not hold the rows of a bank of the draw's own seed.

    Example:
        >>> seed_of(1, "pool") != seed_of(1, "start")
        True
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:8], "little")
