"""The refusal of everything that needs a piecewise affine network: regions, slices, exact laws of tiles."""

from __future__ import annotations

from magnet_service.errors import Refused
from magnet_service.generator.generator import Generator
from magnet_service.generator.manifold import Manifold
from magnet_service.generator.operations import TABLE, Kind

__all__ = ["require_piecewise_affine"]


def require_piecewise_affine(generator: Generator, manifold: Manifold = Manifold.PRE_ACTIVATION) -> None:
    """Refuse a generator that is not piecewise affine up to the value that carries a manifold.

    Whatever speaks of regions, their affine maps, slices or exact probabilities of tiles calls it first. Volumes do not
    need it: every operation has its own derivative.

    Arguments:
        generator: the generator.
        manifold: PRE_ACTIVATION for everything before the smooth head, OUTPUT or FEATURES for all up to there.

    Returns:
        Nothing.

    Raises:
        Refused: a smooth operation stands before that value; reason NOT_PIECEWISE_AFFINE, with the first one's
            `operation`, `node` and `place` among the metadata. Also reason NO_FEATURES, as `Generator.plan`.

    Accuracy: exact.
    """
    for step in generator.plan(manifold).steps:
        node = generator.graph.nodes[step]
        if TABLE[node.operation].kind is not Kind.SMOOTH:
            continue
        advice = "only its volumes and draws are to be had"
        if manifold is not Manifold.PRE_ACTIVATION and generator.piecewise_affine:
            advice = f"take manifold PRE_ACTIVATION, which ends before it, at {generator.piecewise_affine_until}"
        raise Refused(
            f"The generator is not piecewise affine: {node.name} ({node.operation}, {node.place}) is smooth, so that "
            f"there are no regions on which it is affine; {advice}.",
            reason="NOT_PIECEWISE_AFFINE",
            metadata={"operation": node.operation, "node": node.name, "place": node.place},
        )
