"""How far latents are from the hyperplanes of a network's units: what batch norm keeps small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magnet_service.errors import InvalidInput, OutOfMemory
from magnet_service.generator import TABLE, Generator, Manifold, Node
from magnet_service.geometry.affine_chain import chain_to, row_lengths
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.traversal import Traversal, finite_latents, traversal_of

__all__ = ["DistanceSpace", "HyperplaneDistances", "hyperplane_distances"]

RESOLVED = 1e-12
"""Share of a layer's longest gradient below which there is no telling a gradient from rounding."""

BATCH_BYTES = 32 << 20
"""Bytes of one batch of latents where no bound is nearer."""


class DistanceSpace(StrEnum):
    """Where distances are measured: in the latent space, or in the space of what feeds the layer."""

    LATENT = "latent"
    LAYER = "layer"


@dataclass(frozen=True)
class HyperplaneDistances:
    """Distances of some latents to the hyperplanes of each layer's units; tensors on the CPU.

    Attributes:
        layers: names of the layers answered, in order of execution.
        units: how many units each has.
        mean: mean distance over latents and hyperplanes, float64; NaN where there is no hyperplane.
        root_mean_square: square root of the mean squared distance, which total least squares minimises; NaN likewise.
        counted: pairs of a latent and a hyperplane.
        without: pairs of a latent and a unit's breakpoint without a hyperplane, as the gradient is zero there.
        left_out: names of the layers not answered, with the reason.
        space: where distances are measured.
    """

    layers: tuple[str, ...]
    units: tuple[int, ...]
    mean: Float[Tensor, " layers"]
    root_mean_square: Float[Tensor, " layers"]
    counted: Int[Tensor, " layers"]
    without: Int[Tensor, " layers"]
    left_out: Mapping[str, str]
    space: DistanceSpace


def hyperplane_distances(
    generator: Generator,
    latents: Float[Tensor, "*any"],
    *,
    space: DistanceSpace | str = DistanceSpace.LATENT,
    manifold: Manifold = Manifold.PRE_ACTIVATION,
    max_memory: int | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> HyperplaneDistances:
    """Mean distance of latents to the hyperplanes of each layer's units.

        latent:  |h_k(z) - t| / |grad_z h_k(z)|,    layer:  |w_k . x + b_k - t| / |w_k|,    h_k(z) = w_k . x(z) + b_k

    h_k is a unit's pre-activation and t one of its breakpoints (0 for a ReLU unit; a unit with two bounds has two
    hyperplanes). In the latent space the hyperplane is that of the latent's own region, extended beyond it. In the
    space of the layer x is what the layer of units before makes, or the latent, and w_k the row of all affine
    operations since, batch norm among them.

    Arguments:
        generator: piecewise affine before the value of the manifold; a conditional one of one condition.
        latents: [rows, d], finite.
        space: `latent`, or `layer`.
        manifold: whose units count: PRE_ACTIVATION for those before the smooth head.
        max_memory: bytes that the computation may take besides the weights; no bound where None.
        should_stop: asked before every batch; once it answers true the call ends in Cancelled.

    Returns:
        Means by layer. Left out, with the reason: layers that choose among entries, as max-pools do, which have no
        hyperplane a unit; and in the space of the layer those that several values feed, as after a residual sum, or
        whose composed map is too large.

    Raises:
        InvalidInput: a space that is neither, latents of another width or not finite.
        Refused: a smooth operation stands before the value of the manifold, reason NOT_PIECEWISE_AFFINE.
        OutOfMemory: one latent with one tangent is above the bound.
        Cancelled: `should_stop` answered true.

    Accuracy: rounding of float64, relative to |h_k| + |t|. Gradients not above 1e-12 of the longest of the layer at
        that latent count as zero.
    Cost: `latent` d + 1 forwards a latent; `layer` one, and once what `row_lengths` says.
    References: Balestriero, Baraniuk, "Batch Normalization Explained", arXiv 2209.14778.

    Example:
        >>> from torch import nn
        >>> module = nn.Sequential(nn.Linear(2, 1), nn.ReLU())
        >>> _ = module[0].weight.data.copy_(torch.tensor([[3.0, 4.0]])), module[0].bias.data.fill_(5.0)
        >>> hyperplane_distances(Generator.from_module(module, 2), torch.zeros(1, 2)).mean.tolist()
        [1.0]
    """
    if space not in list(DistanceSpace):
        raise InvalidInput(f"space is {space}; write {' or '.join(DistanceSpace)}.", field="space")
    where = DistanceSpace(space)
    placed = finite_latents(generator, latents)
    layers = traversal_of(generator, manifold)
    with torch.inference_mode():
        lengths, left_out = lengths_of(layers, where, max_memory, should_stop)
        tallies = [None if node.name in left_out else Tally(node) for node in layers.nodes]
        size, block = batch(layers, where, max_memory)
        for rows in placed.split(size):
            stopped(should_stop)
            if where is DistanceSpace.LAYER:
                in_layers(layers, rows, tallies, lengths)
            else:
                in_latents(layers, rows, tallies, block)
    answered = [tally for tally in tallies if tally is not None]

    def column(name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor([float(getattr(tally, name)) for tally in answered], dtype=torch.float64).to(dtype)

    counted = column("counted", torch.int64)
    return HyperplaneDistances(
        tuple(tally.node.name for tally in answered),
        tuple(prod(tally.node.shape) for tally in answered),
        column("total", torch.float64) / counted,
        (column("squares", torch.float64) / counted).sqrt(),
        counted,
        column("without", torch.int64),
        left_out,
        where,
    )


@dataclass
class Tally:
    """Sums over the distances of one layer; tensors without dimensions once something was added.

    Attributes:
        node: the layer.
        total, squares: of distances.
        counted, without: pairs that have a hyperplane, and that have none.
    """

    node: Node
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0
    counted: Tensor | int = 0
    without: Tensor | int = 0

    def add(self, values: Tensor, lengths: Tensor) -> None:
        """Take in pre-activations [rows, units] with the lengths [1 or rows, units] of their gradients."""
        rule = TABLE[self.node.operation].breakpoints
        real = (lengths > RESOLVED * lengths.amax(1, keepdim=True)).expand_as(values)
        for limit in rule(self.node) if rule is not None else ():
            distances = torch.where(real, (values - limit).abs() / lengths, 0.0)
            self.total = self.total + distances.sum()
            self.squares = self.squares + distances.square().sum()
            self.counted = self.counted + real.sum()
            self.without = self.without + (~real).sum()


def lengths_of(
    layers: Traversal, where: DistanceSpace, max_memory: int | None, should_stop: Callable[[], bool] | None
) -> tuple[list[Tensor | None], dict[str, str]]:
    """For LAYER the lengths of each layer's rows, [1, units]; what is left out, and why."""
    lengths: list[Tensor | None] = [None] * len(layers.steps)
    left_out: dict[str, str] = {}
    for place, node in enumerate(layers.nodes):
        if TABLE[node.operation].breakpoints is None:
            left_out[node.name] = "its units choose among entries and have no hyperplane each"
        elif where is DistanceSpace.LAYER:
            chain = chain_to(layers.generator, node.inputs[0])
            if chain is None:
                left_out[node.name] = "several values feed it; take space latent"
                continue
            found = row_lengths(layers.generator, chain, max_memory, should_stop)
            if found is None:
                left_out[node.name] = "the affine map that feeds it is too large; take space latent"
            else:
                lengths[place] = found[None]
    return lengths, left_out


def in_layers(
    layers: Traversal, rows: Tensor, tallies: Sequence[Tally | None], lengths: Sequence[Tensor | None]
) -> None:
    """Take in some latents, in the spaces of the layers."""
    places = iter(zip(tallies, lengths, strict=True))

    def see(node: Node, inputs: Sequence[Tensor]) -> None:
        tally, found = next(places)
        if tally is not None and found is not None:
            tally.add(inputs[0].flatten(1), found)

    layers.visit(rows, see)


def in_latents(layers: Traversal, rows: Tensor, tallies: Sequence[Tally | None], block: int) -> None:
    """Take in some latents, in the latent space, `block` tangents at a time."""
    dim = layers.generator.latent_dim
    values: list[Tensor] = []
    squares: list[Tensor] = []

    def observe(node: Node, inputs: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> None:
        place = next(places)
        if tallies[place] is None:
            return
        given = tangents[0]
        found = inputs[0].new_zeros(1, 1) if given is None else given.flatten(2).square().sum(1)
        if place in known:
            squares[known[place]] = squares[known[place]] + found
        else:
            known[place] = len(values)
            values.append(inputs[0].flatten(1))
            squares.append(found)

    known: dict[int, int] = {}
    for directions in torch.eye(dim, dtype=torch.float64, device=rows.device).split(block):
        places = iter(range(len(tallies)))
        layers.observe(rows, directions[None], observe)
    for place, number in known.items():
        tally = tallies[place]
        if tally is not None:
            tally.add(values[number], squares[number].sqrt())


def batch(layers: Traversal, where: DistanceSpace, max_memory: int | None) -> tuple[int, int]:
    """Latents at once, and tangents of each."""
    dim = layers.generator.latent_dim if where is DistanceSpace.LATENT else 0
    kept = 0 if where is DistanceSpace.LAYER else 3 * sum(layers.units)
    bound = BATCH_BYTES if max_memory is None else max_memory
    one = 8 * (layers.row_numbers * (1 + min(dim, 1)) + kept)
    if max_memory is not None and one > max_memory:
        raise OutOfMemory(
            f"One latent needs about {one / 2**20:.1f} MiB, and the bound is {max_memory / 2**20:.1f} MiB: raise "
            f"max_memory.",
            metadata={"needed_bytes": str(one)},
        )
    whole = 8 * (layers.row_numbers * (1 + dim) + kept)
    block = max(1, min(dim, (bound // 8 - kept) // layers.row_numbers - 1))
    return max(1, min(bound, BATCH_BYTES) // whole), block
