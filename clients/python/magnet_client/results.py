"""Answers other than draws: generators, banks, volumes, grids of polarity."""

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
    "GeneratorInfo",
    "GeneratorSummary",
    "Operation",
    "PolarityCell",
    "PolarityGrid",
    "Progress",
    "RankStatistics",
    "Volumes",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorSummary:
    """A generator in one line."""

    name: str
    version: int
    """The newest, or the one asked for."""
    versions: tuple[int, ...]
    """All, ascending."""
    latent_dim: int
    """d."""
    output_shape: tuple[int, ...]
    """Shape of one output."""
    prior: str
    """The generator's own latent law, as `normal(dim=20)`."""
    digest: str
    """SHA-256 of the graph and its weights."""
    description: str
    problem: str
    """Why it cannot be used; then only its name is known. Empty for all that can."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """One node of a generator's graph."""

    name: str
    operation: str
    """Name in the table of operations."""
    kind: str
    """affine, piecewise_linear, smooth or structural."""
    shape: tuple[int, ...]
    """Shape of its value, without the batch."""
    units: int
    """Nonlinearity units that it adds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankStatistics:
    """Rank and spread of the volumes over prior latents."""

    latents: int
    """Latents measured."""
    rank_min: int
    rank_median: int
    rank_max: int
    log_volume_sd: tuple[float, ...]
    """Standard deviation of log v_k for k = 1..d in nats, over the latents with rank >= k."""
    log_singular_value_mean: tuple[float, ...]
    """Mean log sigma_i for i = 1..d in nats, over the latents with rank >= i."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorInfo(GeneratorSummary):
    """A generator in full."""

    layout: str
    """HW, CHW, HWC or vector."""
    value_range: tuple[float, float]
    """Lowest and highest value of an output."""
    labels: tuple[str, ...]
    """Names of the classes in the training data, if its card gives them."""
    training_shares: tuple[float, ...]
    """Share of each class in the training data; as many as labels, or none."""
    licence: str
    source: str
    operations: tuple[Operation, ...] = dataclasses.field(repr=False)
    """The graph, in order of execution."""
    units: int
    """Nonlinearity units."""
    parameters: int
    """Weights."""
    piecewise_affine: bool
    """Whether everything before the smooth head is piecewise affine."""
    piecewise_affine_until: str
    """Node up to which it is: where the pre_activation manifold lies."""
    smooth_inside: tuple[str, ...]
    """Smooth operations that stand before the head."""
    verified_against: str
    """`probe` (outputs of the original module) or `interpreter`."""
    forward_error: float
    """Largest relative difference of the forward from that reference."""
    jacobian_error: float
    """Largest relative difference of Jacobian rows from autograd."""
    rank: RankStatistics | None
    """Measured only if `rank_latents` was given."""


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
    law: str
    """Law of the latents, as `normal(dim=20)`."""
    condition: str
    manifold: ManifoldWord
    precision: PrecisionWord
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

    def __len__(self) -> int:
        return self.revision


@dataclasses.dataclass(frozen=True, kw_only=True)
class BankList(Sequence[BankInfo]):
    """The banks of a server, in order; a sequence."""

    banks: tuple[BankInfo, ...]
    """Ordered by generator, law and id."""
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
    """Share of rows with rank < k."""


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
