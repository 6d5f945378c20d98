"""Rows of a bank computed, and the checks that whoever computes them gives the bank's own bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float32

from magnet_service.errors import Refused
from magnet_service.generator import Generator, Manifold
from magnet_service.geometry import Engine, prefix_sums, stamp, volumes
from magnet_service.sampling.banks.bank import Bank
from magnet_service.sampling.banks.manifest import Manifest
from magnet_service.sampling.banks.rows import NON_FINITE, OK, Rows
from magnet_service.sampling.banks.spec import BankSpec
from magnet_service.sampling.mapping import bound

__all__ = ["check_recipe", "check_stamp", "compute_rows", "engine_for", "measured_rows", "stamp_difference"]


def engine_for(spec: BankSpec, device: str = "cpu") -> Engine:
    """The engine that computes a bank of this recipe on a device of its kind."""
    return Engine(device=device, precision=spec.precision, tile_rows=spec.tile_rows, threads=spec.threads)


def compute_rows(
    generator: Generator,
    engine: Engine,
    spec: BankSpec,
    start: int,
    stop: int,
    should_stop: Callable[[], bool] | None = None,
) -> Rows:
    """Rows start to stop - 1 of a recipe, computed; start must begin a tile.

    Arguments:
        generator, engine: of the recipe.
        spec: the recipe.
        start: first row, a multiple of the tile rows.
        stop: behind the last row; the last tile is computed whole.
        should_stop: asked between tiles.

    Returns:
        The rows.

    Raises:
        Cancelled: should_stop turned true.

    Accuracy:
        As `build`.
    """
    law = bound(spec.base_law, generator, engine)
    whole = -(-stop // spec.tile_rows) * spec.tile_rows
    latents = law.rows(spec.seed, start, whole - start)
    return measured_rows(generator, engine, latents, spec.manifold, law.tangent_space, should_stop).first(stop - start)


def measured_rows(
    generator: Generator,
    engine: Engine,
    latents: Float32[np.ndarray, "rows latent"],
    manifold: Manifold,
    tangent_space: bool,
    should_stop: Callable[[], bool] | None = None,
) -> Rows:
    """Latents with their log-volumes.

    Arguments:
        generator, engine: to compute with.
        latents: one row each.
        manifold: where the image is taken.
        tangent_space: whether J is taken on the tangent space of the sphere through each latent.
        should_stop: asked between tiles.

    Returns:
        The rows, volumes rounded to float32.

    Raises:
        Cancelled: should_stop turned true.

    Accuracy:
        As `geometry.volumes`.
    """
    found = volumes(
        generator,
        torch.from_numpy(latents),
        manifold=manifold,
        engine=engine,
        tangent_space=tangent_space,
        should_stop=should_stop,
    )
    return Rows(
        latents,
        prefix_sums(found).numpy().astype(np.float32),
        found.rank.numpy().astype(np.int16),
        np.where(found.finite.numpy(), OK, NON_FINITE).astype(np.int8),
    )


def check_recipe(bank: Bank, generator: Generator, engine: Engine) -> None:
    """Refused where generator or engine are not those of a bank's recipe (FOREIGN_BANK), or it has none (IMPORTED)."""
    spec = bank.spec
    if spec.imported:
        raise Refused(
            f"bank {bank.id} was imported: its rows are those of a file and no generator adds to them. Build a bank of "
            "the generator beside it, or import a larger file.",
            field="bank_id",
            reason="IMPORTED",
        )
    pairs = {
        "generator": (spec.generator_digest[:16], generator.digest[:16]),
        "latent dimension": (spec.base_law.dim, generator.latent_dim),
        "precision": (spec.precision, engine.precision),
        "tile rows": (spec.tile_rows, engine.tile_rows),
        "threads": (spec.threads, engine.threads),
        "device": (spec.device, torch.device(engine.device).type),
    }
    for name, (wanted, found) in pairs.items():
        if wanted != found:
            raise Refused(f"bank {bank.id} is of {name} {wanted}, this is {found}", reason="FOREIGN_BANK")


def stamp_difference(there: Mapping[str, str], engine: Engine) -> str:
    """What of a stamp this engine has otherwise, in words; empty where it would give the same bits."""
    here = stamp(engine)
    differing = sorted(key for key in {*here, *there} if here.get(key) != there.get(key))
    return ", ".join(f"{key} {there.get(key)} there and {here.get(key)} here" for key in differing)


def check_stamp(manifest: Manifest, engine: Engine) -> None:
    """Refused (OTHER_ENGINE) where this engine would give a bank's rows other last bits."""
    what = stamp_difference(manifest.stamp, engine)
    if what:
        raise Refused(
            f"bank {manifest.spec.id} cannot grow here, its rows would not be one computation: {what}. It can still be "
            "drawn from; build another with another seed, or delete it first.",
            reason="OTHER_ENGINE",
        )
