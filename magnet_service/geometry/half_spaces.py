"""Half-spaces whose intersection is a region: one for every way in which a unit can leave its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from magnet_service.generator import Node
from magnet_service.generator.pattern import rows_of
from magnet_service.geometry.layers import Contest, Layer, joined_inputs

__all__ = ["OF_BOX", "TIED", "HalfSpaces", "bounds_of_layer", "box_half_spaces", "joined_half_spaces"]

OF_BOX = -1
"""Stands for the node where a half-space is a side of the stated box."""

TIED = 1e-13
"""Entries of a contest whose gradients differ by less than this share of their lengths are one entry twice."""


UNDERFLOW = 1e-140
"""Lengths below which the squares of a vector's numbers may be lost."""


@dataclass(frozen=True)
class HalfSpaces:
    """The intersection of {z : normals z <= offsets}, and which unit each row belongs to; float64 and on the CPU.

    Attributes:
        normals: of unit length, pointing out of the region.
        offsets: of the hyperplanes along their normals.
        distances: of the latent for which they were made to each hyperplane, at least 0.
        nodes: the unit's node in `generator.graph.nodes`; -1 for a side of a stated box.
        units: number of the unit among those of its node; the coordinate for a side of a box.
        sides: +1 where the pre-activation reaches the next breakpoint above, -1 below, 0 where another entry wins.
        contenders: place of the entry that wins beyond, in the node's inputs flattened and joined; -1 elsewhere.
    """

    normals: Float[Tensor, "rows latent"]
    offsets: Float[Tensor, " rows"]
    distances: Float[Tensor, " rows"]
    nodes: Int[Tensor, " rows"]
    units: Int[Tensor, " rows"]
    sides: Int[Tensor, " rows"]
    contenders: Int[Tensor, " rows"]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.offsets)

    def contains(self, latents: Float[Tensor, "points latent"], slack: float = 0.0) -> Bool[Tensor, " points"]:
        """Whether each point is in all of them, or outside by at most `slack`."""
        return (latents.double().cpu() @ self.normals.mT <= self.offsets + slack).all(1)

    def chosen(self, rows: Int[Tensor, " chosen"]) -> HalfSpaces:
        """Some of them, in the order given."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def joined_half_spaces(parts: Sequence[HalfSpaces], latent_dim: int) -> HalfSpaces:
    """All half-spaces of several sets, in order; none at all where there is no part."""
    none = torch.zeros(0, dtype=torch.int64)
    empty = HalfSpaces(
        torch.zeros(0, latent_dim, dtype=torch.float64),
        *(torch.zeros(0, dtype=torch.float64) for _ in range(2)),
        *(none for _ in range(4)),
    )
    listed = parts or [empty]
    return HalfSpaces(*(torch.cat([getattr(part, field.name) for part in listed]) for field in fields(HalfSpaces)))


def box_half_spaces(latent: Float[Tensor, " latent"], low: float, high: float) -> HalfSpaces:
    """The sides of the box low <= z_i <= high, two a coordinate, as half-spaces of the latent.

    Arguments:
        latent: inside of the box, float64.
        low: of every coordinate.
        high: of every coordinate.

    Returns:
        2 d half-spaces.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    d = len(latent)
    identity = torch.eye(d, dtype=torch.float64)
    normals = torch.stack([-identity, identity], 1).reshape(2 * d, d)
    sides = torch.tensor([-1, 1]).repeat(d)
    return HalfSpaces(
        normals,
        torch.tensor([-low, high], dtype=torch.float64).repeat(d),
        torch.stack([latent - low, high - latent], 1).reshape(-1),
        torch.full((2 * d,), OF_BOX),
        torch.arange(d).repeat_interleave(2),
        sides,
        torch.full((2 * d,), -1),
    )


def bounds_of_layer(
    layer: Layer,
    node: Node,
    contest: Contest | None,
    states: Int[Tensor, " units"],
    inputs: Sequence[Float[Tensor, "1 ..."]],
    tangents: Sequence[Float[Tensor, "1 latent ..."] | None],
    latent: Float[Tensor, " latent"],
) -> tuple[HalfSpaces, int]:
    """The half-spaces in which the units of one layer keep their states.

        a unit between two breakpoints:   b_below < p(z') <= b_above,   p(z') = p(z) + g (z' - z)
        a unit that takes the largest:    p_taken(z') >= p_other(z')   for each other entry

    Arguments:
        layer: the layer.
        node: its node.
        contest: its entries, where it has some.
        states: of its units at the latent.
        inputs: what the node reads there.
        tangents: their derivatives in the directions of the d coordinates; None for an input that is constant.
        latent: z, float64, on the CPU.

    Returns:
        The half-spaces on the CPU, ordered by unit, and how many more carry no constraint because their gradient is
        zero: the unit's pre-activation, or the difference of two entries, is constant on the region.

    Raises:
        Nothing.

    Accuracy: that of the tangents in float64. A difference of two entries below TIED times their lengths is rounding
        and counts as zero.
    Cost: one pass over the tangents, and one number a half-space and coordinate.
    """
    values = joined_inputs(inputs)[0]
    columns = len(latent)
    known = [
        value.new_zeros(()).expand(columns, value[0].numel()) if tangent is None else rows_of(tangent, 2)[0]
        for value, tangent in zip(inputs, tangents, strict=True)
    ]
    gradients = (known[0] if len(known) == 1 else torch.cat(known, 1)).mT
    if contest is None:
        limits = values.new_tensor([-torch.inf, *layer.breakpoints, torch.inf])
        at = states.long()
        margins = torch.stack([values - limits[at], limits[at + 1] - values], 1)
        units, upper = margins.isfinite().nonzero(as_tuple=True)
        # A value that is not finite has no margin either: the caller looks for those.
        sides = 2 * upper - 1
        steep = gradients[units] * sides[:, None]
        rivals = torch.full_like(units, -1)
        lengths = _lengths(steep)
        stands = lengths > 0
    else:
        entries = contest.entries(values[None])
        taken = contest.winners(entries)[0]
        losing = contest.places >= 0
        losing[torch.arange(layer.units, device=losing.device), taken] = False
        units, column = losing.nonzero(as_tuple=True)
        winner, rivals = contest.places[units, taken[units]], contest.places[units, column]
        upper, sides = column, torch.zeros_like(units)
        steep = gradients[rivals] - gradients[winner] if contest.largest else gradients[winner] - gradients[rivals]
        margins = entries[0].gather(1, taken[:, None]) - entries[0]
        lengths, each = _lengths(steep), _lengths(gradients)
        stands = lengths > TIED * (each[rivals] + each[winner])
    kept = stands.nonzero().flatten()
    normals = (steep[kept] / lengths[kept, None]).cpu()
    distances = (margins[units[kept], upper[kept]] / lengths[kept]).cpu()
    made = HalfSpaces(
        normals,
        distances + normals @ latent,
        distances,
        torch.full((len(kept),), layer.node),
        units[kept].cpu(),
        sides[kept].cpu(),
        rivals[kept].cpu(),
    )
    return made, len(units) - len(kept)


def _lengths(vectors: Float[Tensor, "rows latent"]) -> Float[Tensor, " rows"]:
    """Euclidean lengths, right for numbers whose squares underflow too."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    short = (lengths < UNDERFLOW).nonzero().flatten()
    if len(short):
        largest = vectors[short].abs().amax(1)
        scaled = vectors[short] / torch.where(largest > 0, largest, 1.0)[:, None]
        lengths[short] = torch.linalg.vector_norm(scaled, dim=1) * largest
    return lengths
