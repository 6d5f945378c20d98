"""Everything that is compiled, compiled ahead of the first computation."""

from __future__ import annotations

import torch

from magnet_service.generator import Generator, Graph, Node
from magnet_service.geometry.kernels.readiness import make_kernels_ready
from magnet_service.geometry.slice import slice_along
from magnet_service.geometry.tessellation import hyperplane_density, tessellate

__all__ = ["make_ready"]


def make_ready() -> None:
    """Compute a little of everything: under a minute on a machine that has never run it, a fraction of a second then.

    Raises:
        Nothing.
    """
    make_kernels_ready()
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    nodes = (
        Node("linear", "linear", (0,), {}, {"weight": weight, "bias": weight[:, 0] / 3}, (3,), ""),
        Node("relu", "relu", (1,), {}, {}, (3,), ""),
        Node("largest", "extremum", (2,), {"dims": (1,), "keep": True, "largest": True}, {}, (1,), ""),
    )
    plane = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
    # So little memory that the window is cut in pieces too.
    found = tessellate(Generator(Graph((2,), nodes, torch.float32)), plane, boundary=True, max_memory=4_000, threads=1)
    hyperplane_density(found, (2, 2))
