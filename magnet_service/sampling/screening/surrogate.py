"""The surrogate: log v_k of a latent guessed from what one forward pass tells, for all k at once."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32, Float64, Int64
from torch import Tensor
from torch.nn.functional import linear, silu

from magnet_service.errors import DamagedData, Refused
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine
from magnet_service.geometry.crew import pool
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.tiles import tiles
from magnet_service.sampling.screening.features import FEATURE_TILE_ROWS, features, features_version

__all__ = ["Scores", "Surrogate", "guessed", "standardised"]

_BOUND = 6.0
"""Standard deviations at which a feature is held: behind that the bank has nothing to say."""

_ARRAYS = ("kept", "centre", "scale", "log_centre", "log_scale", "residuals", "log_ranks")


@dataclass(frozen=True, eq=False)
class Scores:
    """What a surrogate says of some latents.

    Attributes:
        log_volumes: s_k, nats, column k - 1.
        log_ranks: log of the guessed probability that the rank is at least k.
    """

    log_volumes: Float64[np.ndarray, "rows columns"]
    log_ranks: Float64[np.ndarray, "rows columns"]

    def tilt(self, rho: float, k: int) -> Float64[np.ndarray, " rows"]:
        """rho s_k + log P(rank >= k), nats: what latents are screened by."""
        tilts: Float64[np.ndarray, " rows"] = rho * self.log_volumes[:, k - 1] + self.log_ranks[:, k - 1]
        return tilts


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Three small networks, each fitted without a third of a bank's rows; their mean is the guess.

    Attributes:
        origin: what it was fitted on: bank id, revision, seed, manifold and the version of the features.
        kept: places of the features that vary.
        centre, scale: of these, mean and standard deviation over the rows.
        members: of each network the weights and biases of its layers, in order.
        log_centre, log_scale: mean and standard deviation of log v_k, for k = 1, 2, ...
        residuals: out-of-fold log v_k - s_k of the rows that it was fitted on, nats; not a number where rank < k.
        log_ranks: out-of-fold log P(rank >= k) of these rows.
    """

    origin: dict[str, str]
    kept: Int64[np.ndarray, " kept"]
    centre: Float32[np.ndarray, " kept"]
    scale: Float32[np.ndarray, " kept"]
    members: tuple[tuple[Tensor, ...], ...]
    log_centre: Float64[np.ndarray, " columns"]
    log_scale: Float64[np.ndarray, " columns"]
    residuals: Float16[np.ndarray, "rows columns"]
    log_ranks: Float16[np.ndarray, "rows columns"]

    @property
    def bank_id(self) -> str:
        """The bank that it was fitted on."""
        return self.origin["bank_id"]

    @property
    def revision(self) -> int:
        """First rows of the bank that it was fitted on, or could have been: those beyond a limit are not read."""
        return int(self.origin["revision"])

    @property
    def columns(self) -> int:
        """The largest k that it guesses."""
        return int(self.log_centre.size)

    @cached_property
    def digest(self) -> str:
        """First 16 digits of the SHA-256 of its bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    def residual(self, k: int) -> float:
        """Out-of-fold standard deviation of log v_k - s_k over the bank's rows of rank k or more, nats."""
        errors = self.residuals[:, k - 1].astype(np.float64)
        return float(np.nanstd(errors))

    def check_top_k(self, k: int) -> None:
        """Refused (NO_SURROGATE) for a k that it does not guess."""
        if k > self.columns:
            raise Refused(
                f"top_k is {k}: the surrogate of bank {self.bank_id} reaches k = {self.columns}, where half of the "
                f"bank's rows still have that rank. Write top_k {self.columns} or less, or method RESAMPLE.",
                field="top_k",
                reason="NO_SURROGATE",
            )

    def scores(
        self,
        generator: Generator,
        engine: Engine,
        latents: Float32[np.ndarray, "rows latent"],
        should_stop: Callable[[], bool] | None = None,
    ) -> Scores:
        """s_k and log P(rank >= k) at latents.

        Arguments:
            generator: the one of the bank, of its condition.
            engine: device and threads; tiles have 64 rows whatever it says.
            latents: one row each.
            should_stop: asked before every tile.

        Returns:
            The scores. The bytes of row i depend on that latent and on i mod 64 alone.

        Raises:
            Cancelled: `should_stop` answered true.

        Accuracy: a guess; `residual` says how good.
        Cost: one forward a row and about as much again.
        """
        manifold = Manifold(self.origin["manifold"])
        alike = replace(engine, precision=Precision.FLOAT32)  # whatever the volumes are computed in
        placed, rows = alike.place(generator, torch.from_numpy(latents))
        kept = torch.from_numpy(self.kept).to(rows.device)
        centre, scale = (torch.from_numpy(array).to(rows.device) for array in (self.centre, self.scale))
        members = [tuple(part.to(rows.device) for part in member) for member in self.members]

        def score(tile: Tensor) -> Tensor:
            with torch.inference_mode():
                stopped(should_stop)
                held = standardised(features(placed, tile, manifold).float()[:, kept], centre, scale)
                return torch.stack([guessed(member, held) for member in members]).double().mean(0).cpu()

        cut = list(tiles(rows, FEATURE_TILE_ROWS))
        workers = min(engine.threads, len(cut)) if rows.device.type == "cpu" else 1
        with engine.activated(alone=True), ExitStack() as stack:
            # A thread for one tile costs as much as the tile of a small network.
            each = stack.enter_context(pool(workers)).map(score, cut) if workers > 1 else map(score, cut)
            guesses = list(each)
        joined = torch.cat(guesses)[: len(rows)].numpy().copy() if guesses else np.empty((0, 2 * self.columns))
        volumes = joined[:, : self.columns] * self.log_scale + self.log_centre
        return Scores(volumes, -np.logaddexp(0.0, -joined[:, self.columns :]))

    def to_bytes(self) -> bytes:
        """An `.npz` file without pickles; equal surrogates give equal bytes."""
        arrays: dict[str, np.ndarray] = {name: getattr(self, name) for name in _ARRAYS}
        for index, member in enumerate(self.members):
            arrays |= {f"member_{index}_{place}": part.numpy() for place, part in enumerate(member)}
        arrays["origin"] = np.frombuffer(json.dumps(self.origin, sort_keys=True).encode(), dtype=np.uint8)
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **arrays)
        return stream.getvalue()

    @staticmethod
    def from_bytes(data: bytes, name: str = "surrogate") -> Surrogate:
        """What `to_bytes` wrote.

        Arguments:
            data: bytes of the file.
            name: of it, for messages.

        Returns:
            The surrogate.

        Raises:
            DamagedData: anything else.
            Refused: of other features than this version computes (OTHER_ENGINE).

        Accuracy: exact.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays: dict[str, Any] = {key: file[key] for key in file.files}
            origin = {str(key): str(value) for key, value in json.loads(arrays["origin"].tobytes()).items()}
            count = 1 + max(int(key.split("_")[1]) for key in arrays if key.startswith("member_"))
            members = tuple(_member(arrays, index) for index in range(count))
            found = Surrogate(origin=origin, members=members, **{name: arrays[name] for name in _ARRAYS})
        except (KeyError, ValueError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedData(f"{name} is no surrogate: {error}. Delete it, and another is fitted.") from error
        if origin.get("features") != features_version:
            raise Refused(
                f"{name} was fitted on features of version {origin.get('features')}, this engine computes "
                f"{features_version}: delete it, and another is fitted.",
                reason="OTHER_ENGINE",
            )
        return found


def standardised(
    seen: Float[Tensor, "rows kept"], centre: Float[Tensor, " kept"], scale: Float[Tensor, " kept"]
) -> Float[Tensor, "rows kept"]:
    """Features in standard deviations, held within 6 of them; one that is not a number at its mean."""
    return ((seen - centre) / scale).nan_to_num(0.0).clamp(-_BOUND, _BOUND)


def guessed(member: tuple[Tensor, ...], rows: Float[Tensor, "rows kept"]) -> Float[Tensor, "rows outputs"]:
    """One network's outputs: standardised log v_k, then logits of rank >= k.

    Arguments:
        member: weight, bias, weight, bias, ... of its layers.
        rows: standardised features.

    Returns:
        [rows, 2 columns].

    Raises:
        Nothing.

    Accuracy: float32.
    """
    for place in range(0, len(member) - 2, 2):
        rows = silu(linear(rows, member[place], member[place + 1]))
    return linear(rows, member[-2], member[-1])


def _member(arrays: dict[str, Any], index: int) -> tuple[Tensor, ...]:
    count = sum(key.startswith(f"member_{index}_") for key in arrays)
    return tuple(torch.from_numpy(arrays[f"member_{index}_{place}"]) for place in range(count))
