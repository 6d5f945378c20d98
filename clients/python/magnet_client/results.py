"""Answers other than draws and descriptions of generators: banks, volumes, grids of polarity."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from magnet_client.errors import InvalidInput
from magnet_client.words import ManifoldWord, PrecisionWord

__all__ = [
    "BankInfo",
    "BankList",
    "BankRows",
    "Generated",
    "MeasuredError",
    "PolarityCell",
    "PolarityGrid",
    "Progress",
    "Volumes",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuredError:
    """How far the log-volumes of an arithmetic are from those of float64, measured at latents of the law."""

    precision: PrecisionWord
    log_volume: tuple[float, ...]
    """Largest |error| of log v_k in nats for k = 1, 2, ...; infinite where only one of the two ranks reaches k."""
    latents: int
    """How many were measured."""
    other_pattern: tuple[int, ...]
    """Numbers of those that lie in another region in float64; they are left out of `log_volume`."""
    recomputed: int
    """How many were done again in float64, as rows are whose rank is doubtful in this arithmetic."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Generated:
    """Outputs at the caller's own latents, in their order."""

    images: NDArray[np.uint8] | NDArray[np.float32] | None
    """uint8 or float32, [rows, ...]; None if not asked for."""
    log_volumes: NDArray[np.float64] | None
    """log v_k in nats, [rows]; None if not asked for."""
    generator_digest: str
    stamp: dict[str, str]
    """How the numbers were computed."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Volumes:
    """What the generator does to volume at the caller's own latents, in their order."""

    log_volumes: NDArray[np.float64]
    """log v_k in nats, [rows]; -inf where rank < k."""
    log_singular_values: NDArray[np.float64]
    """log sigma_1 >= ... >= log sigma_m in nats, [rows, m]; m is d, or d - 1 for a prior on a sphere."""
    rank: NDArray[np.int32]
    """Numerical rank, [rows]."""
    top_k: int
    manifold: ManifoldWord
    precision: PrecisionWord
    error: MeasuredError | None
    """In bfloat16 what was measured for this generator; None in the others."""
    generator_digest: str
    stamp: dict[str, str]
    """How the numbers were computed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BankInfo:
    """A bank: stored latents of one law with a generator's log-volumes at each."""

    bank_id: str
    """Digest of everything that its rows depend on."""
    generator: str
    """Generator by name and version; empty if the server no longer holds it."""
    generator_digest: str
    """SHA-256; empty for an imported bank whose generator was not held then."""
    law: str
    """Law of the latents, as `normal(dim=20)`."""
    condition: str
    """Index of a class, or the numbers of a vector; empty for a generator without conditions."""
    condition_label: str
    """Label of the class, if its card gives one."""
    manifold: ManifoldWord
    precision: PrecisionWord
    """The arithmetic asked for."""
    precision_used: PrecisionWord | None
    """The arithmetic of its rows: another where bfloat16 is too inexact for this generator; None before the first."""
    precision_reason: str
    """Why it is another; empty if it is not."""
    errors: tuple[MeasuredError, ...]
    """Measured before the first rows: of `precision`, and of `precision_used` where that is another."""
    largest_k: int
    """The largest k that draws from it may use: all columns, fewer in bfloat16."""
    tile_rows: int
    threads: int
    seed: int
    revision: int
    """Number of rows."""
    columns: int
    """Columns of log-volumes, log v_1 to log v_columns."""
    bytes: int
    """Bytes stored."""
    stamp: dict[str, str]
    """How the numbers were computed."""
    origin: str = ""
    """Of an imported bank, sha256 of its file's arrays; such a bank cannot grow, and its volumes are as published."""
    generator_name: str = ""
    """Of an imported bank, its generator as the importer called it."""

    def __len__(self) -> int:
        return self.revision


@dataclasses.dataclass(frozen=True, kw_only=True)
class BankList(Sequence[BankInfo]):
    """The banks of a server, in order; a sequence."""

    banks: tuple[BankInfo, ...]
    """Ordered by generator, law, condition and id."""
    unreadable: tuple[str, ...]
    """Banks whose files are not what they were, each with what is wrong."""

    @overload
    def __getitem__(self, index: int) -> BankInfo: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[BankInfo, ...]: ...

    def __getitem__(self, index: int | slice) -> BankInfo | tuple[BankInfo, ...]:
        return self.banks[index]

    def __len__(self) -> int:
        return len(self.banks)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BankRows:
    """Rows of a bank, in their order."""

    offset: int
    """Index of the first row."""
    latents: NDArray[np.float32]
    """[rows, d]."""
    log_volumes: NDArray[np.float32]
    """log v_1 to log v_columns in nats, [rows, columns]; -inf above the rank."""
    rank: NDArray[np.int32]
    """[rows]."""

    def __len__(self) -> int:
        return len(self.latents)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """A build as it stands."""

    operation: str
    """Its name, `operations/...`."""
    bank_id: str
    generator: str
    condition: str
    """Of the bank, its label where it has one; empty for a generator without conditions."""
    rows_done: int
    rows_total: int
    rows_per_second: float
    remaining: float | None
    """Seconds to go at that rate; None before the first rows."""
    done: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolarityCell:
    """What the weights of one (rho, k) are worth on a bank."""

    rho: float
    top_k: int
    ess: float
    """Effective sample size in rows."""
    khat: float | None
    """Pareto k-hat; None below 5 distinct tail weights."""
    largest_weight: float
    """Largest normalised weight, 0 to 1."""
    low_rank_share: float
    """Share of the base law's rows with rank < k, left out for rho != 0."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolarityGrid:
    """Which rho and k a bank supports."""

    cells: tuple[PolarityCell, ...] = dataclasses.field(repr=False)
    """Rho by rho, k ascending inside."""
    bank_id: str
    bank_revision: int
    """Rows used."""
    bank_reason: str
    """Why this bank."""
    base: str
    """The base law as text."""
    advice: str
    """What the figures mean, in words."""

    @property
    def rhos(self) -> tuple[float, ...]:
        """Values of rho, in the grid's order."""
        return tuple(dict.fromkeys(cell.rho for cell in self.cells))

    @property
    def top_ks(self) -> tuple[int, ...]:
        """Values of k, in the grid's order."""
        return tuple(dict.fromkeys(cell.top_k for cell in self.cells))

    def cell(self, rho: float, top_k: int) -> PolarityCell:
        """Return one cell.

        Arguments:
            rho: exponent of v_k, one of `rhos`.
            top_k: k, one of `top_ks`.

        Returns:
            The cell.

        Raises:
            InvalidInput: if the grid has no such cell.

        Accuracy: exact look-up.
        """
        for cell in self.cells:
            if cell.rho == rho and cell.top_k == top_k:
                return cell
        raise InvalidInput(
            f"the grid has no cell (rho {rho}, k {top_k}); rho is one of {self.rhos}, k of {self.top_ks}",
            field="rho",
            reason="INVALID_INPUT",
        )
