"""How and where generators are evaluated: device, precision, rows of a tile, threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.errors import Cancelled, InvalidInput
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry.tiles import tiles

__all__ = ["ENGINE_VERSION", "Engine", "forward", "stamp", "stopped"]

ENGINE_VERSION = "3"
"""Raised whenever a change may alter a single bit of a forward or a volume."""


@dataclass(frozen=True)
class Engine:
    """Everything besides generator and latents that the bytes of a result depend on.

    Attributes:
        device: torch device, as `cpu` or `cuda:0`.
        precision: arithmetic of forwards and tangents.
        tile_rows: rows of a tile; forwards and tangents run on exactly that many rows at a time.
        threads: tiles at work at once on the CPU, each on one core.
        max_memory: bytes that the computation may take besides the weights; no bound where None. No byte of a result
            depends on it.

    Raises:
        InvalidInput: tile_rows or threads below 1.
    """

    device: str = "cpu"
    precision: Precision = Precision.FLOAT32
    tile_rows: int = 16
    threads: int = field(default_factory=torch.get_num_threads)
    max_memory: int | None = None

    def __post_init__(self) -> None:
        """Refuses sizes that cannot be."""
        for name in ("tile_rows", "threads"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}; write a whole number of at least 1.", field=name)

    @contextmanager
    def activated(self, *, alone: bool = False) -> Iterator[None]:
        """Sets the number of threads, and full float32 on a GPU, for the block; restores what was set before.

        Arguments:
            alone: one thread an operation, for work that is cut into pieces done side by side.
        """
        before = torch.get_num_threads()
        with ExitStack() as stack:
            if torch.device(self.device).type == "cuda":
                # cuDNN rounds float32 convolutions to ten bits unless told otherwise.
                stack.enter_context(
                    torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
                )
            torch.set_num_threads(1 if alone else self.threads)
            try:
                yield
            finally:
                torch.set_num_threads(before)

    def place(self, generator: Generator, latents: Float[Tensor, "rows latent"]) -> tuple[Generator, Tensor]:
        """The generator and the latents on this engine's device and in its precision.

        Raises:
            InvalidInput: latents of another width than the generator's latent dimension.
        """
        if latents.ndim != 2 or latents.shape[1] != generator.latent_dim:
            raise InvalidInput(
                f"latents have shape {list(latents.shape)}; write one row of {generator.latent_dim} numbers a latent.",
                field="latents",
            )
        placed = generator.to(device=self.device, precision=self.precision)
        return placed, latents.detach().to(device=self.device, dtype=self.precision.dtype)


def stopped(should_stop: Callable[[], bool] | None) -> None:
    """Raises Cancelled where `should_stop` says so; looked at before every tile."""
    if should_stop is not None and should_stop():
        raise Cancelled("The computation was stopped before it was complete.")


def forward(
    engine: Engine,
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    manifold: Manifold = Manifold.OUTPUT,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """The generator's values, G(z) or what feeds its smooth head, tile by tile.

    Arguments:
        engine: device, precision, tile rows and threads to compute with.
        generator: the generator, on any device.
        latents: one row each, float32 or float64; rounded to the engine's precision first.
        manifold: OUTPUT for the generator's output, PRE_ACTIVATION for the value that feeds its smooth head.
        should_stop: asked before every tile; once it answers true the call ends in Cancelled.

    Returns:
        Values in the engine's precision, on the CPU, one row a latent. The bytes of row i depend on that latent and on
        i mod tile_rows alone.

    Raises:
        InvalidInput: latents of another width than the generator's latent dimension.
        Cancelled: `should_stop` answered true.

    Accuracy: rounding of the engine's precision.
    Cost: one forward a row, the last tile filled up.
    """
    with engine.activated(), torch.inference_mode():
        placed, rows = engine.place(generator, latents)
        # Without rows there is still a shape to answer with: one tile of zeros has it.
        source = rows if len(rows) else rows.new_zeros(1, rows.shape[1])
        values = []
        for tile in tiles(source, engine.tile_rows):
            stopped(should_stop)
            values.append(placed.forward(tile, manifold))
        joined = torch.cat(values)[: len(rows)].cpu()
    # Outside of inference mode, so that the caller may write to it.
    return joined.clone()


def stamp(engine: Engine) -> dict[str, str]:
    """What equal bytes are promised for: results of two engines with equal stamps and settings are equal bit for bit.

    Arguments:
        engine: the engine to describe.

    Returns:
        Engine version, torch build, instruction set, device kind and threads, all strings.

    Raises:
        RuntimeError: a CUDA device that does not exist, from torch.

    Accuracy: exact.
    """
    device = torch.device(engine.device)
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "engine": ENGINE_VERSION,
        "torch": torch.__version__,
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "device": kind,
        "threads": str(engine.threads),
    }
