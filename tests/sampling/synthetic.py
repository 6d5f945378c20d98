"""Rows with volumes made up for the purpose, as a bank would hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from magnet_service.sampling import (
    BankChoice,
    BankRows,
    BankSpec,
    Draw,
    Law,
    Normal,
    Rows,
    SampleRequest,
    Stream,
    resolve,
    uniforms,
)

DIGEST = "d" * 64


def spec_of(law: Law, **changes: object) -> BankSpec:
    return BankSpec(generator_digest=DIGEST, law=law.to_text(), **changes)  # type: ignore[arg-type]  # any attribute


def rows_of(law: Law, count: int, spreads: Sequence[float], *, rank: np.ndarray | None = None) -> Rows:
    """Independent log sigma_i of given standard deviations, so that sd(log v_k)^2 is the sum of their squares."""
    columns = len(spreads)
    normal = special.ndtri(uniforms(123, Stream.LATENTS, 0, count, columns))
    volumes = np.cumsum(normal * np.asarray(spreads), axis=1)
    ranks = np.full(count, columns) if rank is None else rank
    volumes[np.arange(1, columns + 1) > ranks[:, None]] = -np.inf
    return Rows(
        law.rows(0, 0, count), volumes.astype(np.float32), ranks.astype(np.int16), np.zeros(count, dtype=np.int8)
    )


def draw_of(request: SampleRequest, rows: BankRows, law: Law | None = None, prior: Law | None = None) -> Draw:
    prior = Normal(rows.dim) if prior is None else prior
    choice = BankChoice(spec_of(prior if law is None else law), "for the test")
    return resolve(request, prior, generator_digest=DIGEST, choice=choice, rows=rows)
