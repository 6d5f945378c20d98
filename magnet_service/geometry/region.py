"""The region of a latent: the polytope on which the generator is one affine map, that map, and the walls around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from magnet_service.errors import InvalidInput, OutOfMemory
from magnet_service.generator import TABLE, Generator, Manifold, Node, Precision
from magnet_service.generator.affinity import require_piecewise_affine
from magnet_service.generator.pattern import joined_states, rows_of
from magnet_service.geometry.engine import Engine, stopped
from magnet_service.geometry.footprint import numbers_at_work
from magnet_service.geometry.half_spaces import (
    OF_BOX,
    HalfSpaces,
    bounds_of_layer,
    box_half_spaces,
    joined_half_spaces,
)
from magnet_service.geometry.layers import Layer, contests_of, layers_of
from magnet_service.geometry.memory import default_max_memory
from magnet_service.geometry.redundancy import irredundant

__all__ = ["Region", "region_at"]

COPIES = 5
"""Tensors of the widest layer's tangents that one push holds at once, with what is made of them at a layer of units."""


@dataclass(frozen=True)
class Region:
    """The region of one latent; all tensors float64 (the pattern: integers) and on the CPU.

    Attributes:
        latent: for which it was asked, inside of it or on its boundary.
        manifold: the value that G stands for.
        pattern: the states of all units, as `activation_pattern` has them.
        matrix: A of G(z') = A z' + c on the region, the output flattened.
        shift: c.
        half_spaces: their intersection is the region, with its boundary.
        radius: distance from the latent to the nearest other region, a box aside; infinite where there is none. Inside
            of the ball of that radius the pattern is constant.
        unconstrained: how many bounds of units carry no constraint, because their gradient is zero on the region.
        minimal: whether no half-space is redundant. False where that was not asked for, and where the region has no
            inside (its latent is on a boundary whose tie rule leaves no room), since then it is not well defined.
        layers: the layers of units, for the names of nodes.
    """

    latent: Float[Tensor, " latent"]
    manifold: Manifold
    pattern: Int[Tensor, " units"]
    matrix: Float[Tensor, "output latent"]
    shift: Float[Tensor, " output"]
    half_spaces: HalfSpaces
    radius: float
    unconstrained: int
    minimal: bool
    layers: tuple[Layer, ...]

    @property
    def nearest(self) -> int | None:
        """Number of the listed half-space of a unit that is nearest to the latent; None where no unit's is listed."""
        distances = self.half_spaces.distances.masked_fill(self.half_spaces.nodes == OF_BOX, torch.inf)
        return int(distances.argmin()) if bool(distances.isfinite().any()) else None

    def contains(self, latents: Float[Tensor, "points latent"], slack: float = 0.0) -> Bool[Tensor, " points"]:
        """Whether each point is in the region, or outside of a half-space by at most `slack`."""
        return self.half_spaces.contains(latents, slack)

    def values(self, latents: Float[Tensor, "points latent"]) -> Float[Tensor, "points output"]:
        """A z' + c for each point, which is G(z') for those in the region."""
        return latents.double().cpu() @ self.matrix.mT + self.shift

    def name_of(self, row: int) -> str:
        """The unit of a half-space in words, as `relu_1[17]`; `box[2]` for a side of the box."""
        node, unit = int(self.half_spaces.nodes[row]), int(self.half_spaces.units[row])
        return f"{next((layer.name for layer in self.layers if layer.node == node), 'box')}[{unit}]"


def region_at(
    generator: Generator,
    latent: Float[Tensor, " latent"],
    *,
    manifold: Manifold = Manifold.PRE_ACTIVATION,
    minimal: bool = False,
    box: tuple[float, float] | None = None,
    engine: Engine | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Region:
    """The region of a latent: its half-spaces, its affine map and its activation pattern.

        {z' : pattern(z') = pattern(z)} = {z' : N z' <= h} up to its boundary,   G(z') = A z' + c there

    Arguments:
        generator: the generator, piecewise affine up to the manifold's value.
        latent: z.
        manifold: PRE_ACTIVATION for what feeds the smooth head, OUTPUT or FEATURES where nothing smooth is before them.
        minimal: leave out half-spaces that are redundant: those without which the region (in the box) stays the same.
        box: (low, high) of every coordinate; its sides are added to the half-spaces, and those of units that lie
            outside of it are redundant.
        engine: device and memory to compute with; its precision is not read, regions are float64. Without a bound
            on memory a share of what is free is the bound.
        should_stop: asked before the push and between linear programs; once it answers true the call ends in Cancelled.

    Returns:
        The region. At a latent exactly on a boundary the tie rule decides which: a unit at its breakpoint takes the
        lower state, and of equal entries the first is taken; the radius is 0 there.

    Raises:
        Refused: something smooth stands before that value (NOT_PIECEWISE_AFFINE), or there is none (NO_FEATURES).
        InvalidInput: a latent of another width, that is not finite, outside of the box, or at which the generator's
            values are not finite (field `latent`); a box that is none (field `box`).
        OutOfMemory: the half-spaces need more than the bound; `radii` and `same_region` store none.
        Cancelled: `should_stop` answered true.

    Accuracy: rounding of float64. A unit within rounding of its breakpoint may be on either side; a pre-activation that
        cancels but for rounding has a half-space where rounding puts it.
    Cost: d tangents pushed forward, one number a half-space and coordinate. `minimal`: one linear program a half-space.
    References: Balestriero and Baraniuk, Mad Max, 1805.06576.

    Example:
        >>> absolute = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.ReLU())
        >>> _ = torch.nn.init.constant_(absolute[0].weight, 2.0)
        >>> region = region_at(Generator.from_module(absolute, 1), torch.tensor([0.25]))
        >>> region.radius, region.matrix.tolist(), region.half_spaces.normals.tolist(), region.pattern.tolist()
        (0.25, [[2.0]], [[-1.0]], [1])
    """
    require_piecewise_affine(generator, manifold)
    engine = replace(engine if engine is not None else Engine(), precision=Precision.FLOAT64)
    with engine.activated():
        placed, rows = engine.place(generator, latent[None])
        at = rows[0].cpu()
        _check(at, box)
        layers = layers_of(placed, manifold)
        _fits(placed, layers, manifold, engine)
        stopped(should_stop)
        found, matrix, value, pattern, unconstrained = _pushed(placed, rows, at, layers, manifold)
        half_spaces = joined_half_spaces(found, len(at))
        radius = float(half_spaces.distances.min()) if len(half_spaces) else torch.inf
        if box is not None:
            half_spaces = joined_half_spaces([half_spaces, box_half_spaces(at, *box)], len(at))
    kept = irredundant(half_spaces, should_stop) if minimal else None
    return Region(
        latent=at,
        manifold=manifold,
        pattern=pattern,
        matrix=matrix,
        shift=value - matrix @ at,
        half_spaces=half_spaces if kept is None else half_spaces.chosen(kept),
        radius=radius,
        unconstrained=unconstrained,
        minimal=kept is not None,
        layers=layers,
    )


def _pushed(
    generator: Generator, rows: Tensor, at: Tensor, layers: Sequence[Layer], manifold: Manifold
) -> tuple[list[HalfSpaces], Tensor, Tensor, Tensor, int]:
    """One push of d directions: half-spaces by layer, A, G(z), the pattern, and how many bounds have no gradient."""
    contests = contests_of(generator, layers)
    states: list[Tensor] = []
    found: list[HalfSpaces] = []
    idle = 0
    finite = rows.isfinite().all()

    def watch(node: Node, inputs: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> None:
        nonlocal idle, finite
        layer, rule = layers[len(found)], TABLE[node.operation].states
        if rule is not None:
            states.append(rows_of(rule(node, inputs)))
        for value in (*inputs, *tangents):
            finite &= value is None or value.isfinite().all()
        made, without = bounds_of_layer(layer, node, contests.get(layer.node), states[-1][0], inputs, tangents, at)
        found.append(made)
        idle += without

    values, tangents = generator.push(rows, manifold=manifold, watch=watch)
    if not bool(finite & values.isfinite().all() & tangents.isfinite().all()):
        raise InvalidInput(
            "at this latent the generator's values or derivatives are not finite; write one nearer to the origin.",
            field="latent",
        )
    return found, tangents[0].mT.cpu(), values[0].cpu(), joined_states(states, rows)[0].cpu(), idle


def _check(latent: Tensor, box: tuple[float, float] | None) -> None:
    """Refuses what has no region."""
    if not bool(latent.isfinite().all()):
        raise InvalidInput("the latent is not finite: write finite numbers.", field="latent")
    if box is None:
        return
    low, high = box
    if not (isfinite(low) and isfinite(high) and low < high):
        raise InvalidInput(f"box is ({low}, {high}): write two finite numbers, low < high.", field="box")
    if not bool(((latent >= low) & (latent <= high)).all()):
        raise InvalidInput(
            f"the latent is outside of the box ({low}, {high}): write a wider box, or none.", field="latent"
        )


def _fits(generator: Generator, layers: Sequence[Layer], manifold: Manifold, engine: Engine) -> None:
    """Refuses half-spaces that do not fit."""
    d, width = generator.latent_dim, generator.output_dim_of(manifold)
    rows = [layer.units * (layer.entries - 1 if layer.entries else min(2, len(layer.breakpoints))) for layer in layers]
    needed = 8 * d * (2 * sum(rows) + width + numbers_at_work(generator, layers, manifold, COPIES))
    bound = engine.max_memory if engine.max_memory is not None else default_max_memory(engine.device)
    if needed > bound:
        raise OutOfMemory(
            f"The {sum(rows)} half-spaces of a region in {d} dimensions need about {needed / 2**20:.0f} MiB, and the "
            f"bound is {bound / 2**20:.0f} MiB: raise max_memory, or ask for radii or same_region, which store none.",
            metadata={"needed_bytes": str(needed)},
        )
