"""Training by Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["fit"]


def fit(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    rate: float,
    batch: int | None = None,
    decay: float = 0.0,
    anneal: bool = True,
    seed: int = 0,
    threads: int = 1,
    look_at: Collection[int] = (),
    look: Callable[[int], None] = lambda step: None,
) -> None:
    """Train a network in place, on one seeded order of rows; it is left in evaluation mode.

    Arguments:
        network: any module.
        inputs: [rows, ...].
        targets: one a row.
        loss: of the network's values and targets, a number.
        steps: updates.
        rate: learning rate at the beginning.
        batch: rows of an update, drawn with replacement; all where None.
        decay: of the weights, decoupled.
        anneal: whether the rate falls to 0 along a cosine.
        seed: of the rows drawn.
        threads: of torch while it trains; more than one only delays small networks.
        look_at: numbers of updates after which to call `look`, 0 for before the first.
        look: what to do then; the network is in evaluation mode.
    """
    draws = torch.Generator().manual_seed(seed)
    adam = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps) if anneal else None
    with using(threads):
        for step in range(steps + 1):
            if step in look_at:
                network.eval()
                look(step)
            if step == steps:
                break
            network.train()
            rows = slice(None) if batch is None else torch.randint(len(inputs), (batch,), generator=draws)
            adam.zero_grad()
            loss(network(inputs[rows]), targets[rows]).backward()
            adam.step()
            if schedule is not None:
                schedule.step()
    network.eval()


@contextmanager
def using(threads: int) -> Iterator[None]:
    """So many threads of torch for the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
