"""The loop over tiles never waits for the device: no copy to the host, no number read back.

On a CPU such waits cost nothing and would go unseen, so every operator is watched, and the same loop runs on tensors
without data, where reading anything back is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry.crew import over_tiles
from magnet_service.geometry.passes import with_gram
from magnet_service.geometry.sweep import preparation, prepare
from magnet_service.geometry.tiles import tiles
from tests.geometry.oracles import dense, random_latents

READS_BACK = {
    "_local_scalar_dense",
    "item",
    "nonzero",
    "is_nonzero",
    "equal",
    "unique",
    "masked_select",
    "_linalg_eigh",
}


class Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.operators = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        self.operators += 1
        indexed_by_mask = name == "index" and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in args[1]
        )
        to_host = name == "_to_copy" and kwargs.get("device") == torch.device("cpu")
        if name in READS_BACK or indexed_by_mask or to_host:
            self.waits.append(str(func))
        return func(*args, **kwargs)


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU stands for a device, where nothing is compiled."""
    monkeypatch.setattr(preparation, "COMPILES", False)


def loop(generator: Generator, latents: torch.Tensor, tangent_space: bool) -> None:
    with torch.inference_mode():
        sweep = prepare(generator, Manifold.OUTPUT)
        list(over_tiles(sweep, tiles(latents, 16), with_gram(sweep, tangent_space), 1))


@pytest.mark.parametrize("tangent_space", [False, True])
@pytest.mark.parametrize("precision", list(Precision))
def test_the_loop_reads_nothing_back(precision: Precision, tangent_space: bool) -> None:
    generator = Generator.from_module(dense(6, 30, 30, 40, seed=1, head=torch.nn.Tanh()), 6).to(precision=precision)
    latents = random_latents(2, 40, 6, precision.dtype)
    loop(generator, latents, tangent_space)
    with Watch() as watch:
        loop(generator, latents, tangent_space)
    assert watch.operators > 20
    assert watch.waits == []


def test_the_watch_sees_a_number_being_read_back() -> None:
    with Watch() as watch:
        torch.ones(3).sum().item()
        torch.ones(3)[torch.ones(3) > 0]
    assert len(watch.waits) == 2


@pytest.mark.parametrize("tangent_space", [False, True])
def test_the_loop_runs_on_tensors_without_data(tangent_space: bool) -> None:
    generator = Generator.from_module(dense(6, 30, 30, 40, seed=1), 6).to(device="meta")
    loop(generator, torch.empty(40, 6, device="meta"), tangent_space)
