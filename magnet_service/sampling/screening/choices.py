"""The latents that screening chose, with exact volumes: what the surrogate promised is divided out again."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from magnet_service.errors import DamagedData
from magnet_service.sampling.banks.rows import Rows
from magnet_service.sampling.blocks import sums_by_block
from magnet_service.sampling.diagnostics import figures_of
from magnet_service.sampling.log_weights import LogWeights
from magnet_service.sampling.screening.target import Budget, Sample
from magnet_service.sampling.weighed import WeighedRows

__all__ = ["Choices"]

_ROWS = ("latents", "log_volumes", "rank", "status")


@dataclass(frozen=True, eq=False)
class Choices:
    """Distinct latents under the law that chose them: never rows of a bank.

    Attributes:
        rows: the latents with their log-volumes.
        copies: how often each was chosen.
        tilts: t, log of the density over the base's that they were chosen by, nats, up to a constant.
        spent: what was computed.
        notes: as `Sample` has them; `autocorrelation` is the number of choices that stand for one independent choice.
    """

    rows: Rows
    copies: Int64[np.ndarray, " rows"]
    tilts: Float64[np.ndarray, " rows"]
    spent: Budget
    notes: dict[str, float]

    def sample(self, rho: float, k: int) -> Sample:
        """Weights of the latents under pi ~ q v_k^rho, and what they are worth.

            W_j = copies_j v_k(z_j)^rho / e^(t(z_j)),   0 where the rank is below k

        Arguments:
            rho: exponent of v_k, the one that they were chosen for.
            k: number of singular values, likewise.

        Returns:
            The sample: ESS divided by the autocorrelation time, low-rank share that of the choices.

        Raises:
            Nothing: weights that are all zero have an ESS of 0.

        Accuracy:
            Exact for the log-volumes given; a rounding of float32 times |rho|.
        """
        logs = LogWeights.of(self.rows, np.log(self.copies) - self.tilts, rho, k)
        sums = sums_by_block(logs)
        deficient = float(self.copies[self.rows.rank < k].sum() / self.copies.sum())
        figures = figures_of(sums, low_rank_share=deficient)
        figures = replace(figures, ess=figures.ess / self.notes.get("autocorrelation", 1.0))
        return Sample(self.rows, WeighedRows(logs, sums), figures, self.spent, self.notes)

    def to_bytes(self) -> bytes:
        """An `.npz` file without pickles."""
        known = {"spent": [self.spent.exact, self.spent.forwards], "notes": self.notes}
        arrays: dict[str, Any] = {name: getattr(self.rows, name) for name in _ROWS}
        arrays |= {"copies": self.copies, "tilts": self.tilts}
        arrays["known"] = np.frombuffer(json.dumps(known).encode(), dtype=np.uint8)
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **arrays)
        return stream.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Choices:
        """What `to_bytes` wrote; DamagedData for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            known = json.loads(arrays["known"].tobytes())
            exact, forwards = (int(number) for number in known["spent"])
            rows = Rows(**{name: arrays[name] for name in _ROWS})
            notes = {str(name): float(value) for name, value in known["notes"].items()}
            return Choices(rows, arrays["copies"], arrays["tilts"], Budget(exact, forwards), notes)
        except (KeyError, ValueError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedData(f"kept volumes cannot be read: {error}") from error
