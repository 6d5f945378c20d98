"""Descriptions of generators: what goes in, what comes out, graph, rank, verification, AUTO's k."""

from __future__ import annotations

import dataclasses

from magnet_client.words import ManifoldWord, PrecisionWord

__all__ = [
    "AutoTopK",
    "Conditions",
    "GeneratorInfo",
    "GeneratorSummary",
    "Operation",
    "RankStatistics",
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
    rank_counts: dict[int, int]
    """Latents of each rank seen, lowest rank first."""
    quantile_levels: tuple[float, ...]
    """Levels of the quantiles below, 0 to 1, ascending."""
    log_sigma_first: tuple[float, ...]
    """Quantiles of log sigma_1 in nats, one a level."""
    log_sigma_last: tuple[float, ...]
    """Quantiles of log sigma_m in nats, m the Jacobian's columns; -inf where rank < m."""
    log_condition: tuple[float, ...]
    """Quantiles of log(sigma_1 / sigma_m) in nats; inf where rank < m."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoTopK:
    """The k that AUTO takes at rho 1 over one base, and why."""

    base: str
    """PRIOR or UNIFORM."""
    law: str
    """The base law as text; empty where the generator has no such base."""
    manifold: ManifoldWord
    precision: PrecisionWord
    condition: str
    bank_id: str
    """The bank that answers; empty if there is none."""
    bank_revision: int
    """Its rows; 0 if there is none."""
    bank_reason: str
    """How its law relates to the base."""
    top_k: int
    """AUTO's k; 0 if there is no bank."""
    supported: bool
    """Whether the bank supports it; if not, k is 1 for want of better."""
    reason: str
    """Why this k; or why there is none, with the command that builds the bank."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """Conditions that a generator takes."""

    kind: str
    """one_hot, index or vector."""
    width: int
    """Number of classes for one_hot and index, of numbers for vector."""
    labels: tuple[str, ...]
    """Names of the classes, if they have any."""


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
    """`probe` (outputs of the original module), `onnxruntime` or `interpreter`."""
    forward_error: float
    """Largest relative difference of the forward from that reference."""
    jacobian_error: float
    """Largest relative difference of Jacobian rows from autograd."""
    rank: RankStatistics | None
    """Measured only if `rank_latents` was given."""
    auto_top_k: tuple[AutoTopK, ...]
    """AUTO's k at rho 1 for each base; looked up only if `auto_top_k` was given."""
    verified_rows: int
    """Latents at which the outputs were compared with the reference."""
    bits_depend_on_position: bool | None
    """Whether a row's float32 bits depend on its place in a tile; None where that was not probed."""
    bits_depend_on_neighbours: bool | None
    """Whether they depend on the latents beside it."""
    format: str
    """Format of its file: `pt2` or `onnx`."""
    conditions: Conditions | None
    """What conditions it takes; None for a generator without any."""
    latent_node: str
    """Name of the inner value that is its latent; empty where that is the file's own input."""
    features: str
    """File of the network behind the output in whose space volumes may be taken; empty for none."""
