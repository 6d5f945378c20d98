"""Surrogates for tests: fitted ones, and one that knows nothing."""

from __future__ import annotations

import numpy as np
import torch

from magnet_service.generator import Generator, Manifold
from magnet_service.geometry import Engine
from magnet_service.sampling import Law, Rows
from magnet_service.sampling.banks.computing import measured_rows
from magnet_service.sampling.banks.rows import BankRows
from magnet_service.sampling.screening.features import features, features_version
from magnet_service.sampling.screening.fitting import fitting
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Target

ENGINE = Engine(tile_rows=64)
OUTPUT, PRE_ACTIVATION = Manifold.OUTPUT, Manifold.PRE_ACTIVATION


def target_of(generator: Generator, law: Law, rho: float, k: int, manifold: Manifold = PRE_ACTIVATION) -> Target:
    return Target(generator, law, manifold, rho, k, ENGINE)


def rows_of(generator: Generator, law: Law, count: int, seed: int = 0, manifold: Manifold = PRE_ACTIVATION) -> Rows:
    return measured_rows(generator, ENGINE, law.rows(seed, 0, count), manifold, law.tangent_space)


def fitted(
    rows: BankRows,
    generator: Generator,
    *,
    seed: int = 0,
    bank_id: str = "bank",
    manifold: Manifold = PRE_ACTIVATION,
    shares: list[float] | None = None,
) -> Surrogate:
    """What the steps of a fit come to; the shares done are added to a list."""
    steps = fitting(rows, generator, ENGINE, manifold=manifold, bank_id=bank_id, seed=seed)
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            found: Surrogate = end.value
            return found
        if shares is not None:
            shares.append(share)


def noise(generator: Generator, columns: int, *, nats: float = 1.0, seed: int = 0) -> Surrogate:
    """Random networks of the generator's features, which say about `nats` of nonsense."""
    width = features(generator, torch.zeros(1, generator.latent_dim), PRE_ACTIVATION).shape[1]
    source = torch.Generator().manual_seed(seed)

    def member() -> tuple[torch.Tensor, ...]:
        entering, leaving = torch.randn(16, width, generator=source), torch.randn(2 * columns, 16, generator=source)
        leaving[columns:] = 0.0  # a rank that is certain
        biases = torch.cat([torch.zeros(columns), torch.full((columns,), 20.0)])
        return entering / width**0.5, torch.zeros(16), leaving, biases

    flat = np.zeros((1, columns), np.float16)
    return Surrogate(
        origin={
            "bank_id": "noise",
            "revision": "1",
            "seed": str(seed),
            "manifold": str(PRE_ACTIVATION),
            "features": features_version,
        },
        kept=np.arange(width),
        centre=np.zeros(width, np.float32),
        scale=np.ones(width, np.float32),
        members=(member(),),
        log_centre=np.zeros(columns),
        log_scale=np.full(columns, nats),
        residuals=flat,
        log_ranks=flat,
    )
