"""The kernels of draws compiled ahead of the first one."""

from __future__ import annotations

import numpy as np

from magnet_service.sampling.blocks import sums_by_block
from magnet_service.sampling.kernels.weighing import add_by_rank
from magnet_service.sampling.log_weights import LogWeights, still
from magnet_service.sampling.resample import with_replacement
from magnet_service.sampling.weighed import WeighedRows

__all__ = ["make_draws_ready"]


def make_draws_ready() -> None:
    """Draw once: a few seconds on a machine that has never drawn, a fraction of one after that.

    Raises:
        Nothing.
    """
    given = np.zeros(6)
    logs = LogWeights.given(given)
    WeighedRows(logs, sums_by_block(logs)).at(np.full(1, 0.5))
    with_replacement(given, 0, 0, 1)
    add_by_rank(*logs.terms, logs.size, still(np.zeros(6, np.int16)), np.zeros(2))
