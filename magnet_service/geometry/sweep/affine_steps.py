"""The steps of dense layers and convolutions: sites, taps, weights and segments as the kernels read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.geometry.kernels.layers import SEGMENT
from magnet_service.geometry.kernels.rounded import MASKED
from magnet_service.geometry.sweep.moves import Convolve
from magnet_service.geometry.sweep.program import Affine, Program, Rounded
from magnet_service.geometry.sweep.sites import Sites

__all__ = [
    "FACTOR_BLOCK",
    "LEAST_ROUNDED",
    "Ends",
    "convolution_step",
    "dense_step",
    "filled_up",
    "halved",
    "numbers_held",
    "rounded",
]

OUTPUTS_AT_ONCE = 96
"""Outputs of a wide dense layer that are done for all rows before the next ones: their weights stay in cache."""

LEAST_ROUNDED = 1024
"""Outputs of the last layer, where it is dense, from which it is worth being rounded to bfloat16."""

ROUNDED_AT_ONCE = 192
"""As `OUTPUTS_AT_ONCE`, of such a layer."""

FACTOR_BLOCK = 64
"""Inputs and outputs of a triangular factor that count as one site, so that the zero half costs nothing."""


@dataclass(frozen=True)
class Ends:
    """What a layer reads and writes.

    Attributes:
        made: buffer written.
        source: buffer read.
        lines: of each number of the value read, -1 for none.
        last: whether the Jacobian is what is written.
    """

    made: int
    source: int
    lines: Tensor
    last: bool


def dense_step(ends: Ends, weight: Tensor, triangular: bool, rounds: bool) -> Affine | Rounded:
    """A dense layer, at every place where the value read has several.

    Arguments:
        ends: what it reads and writes.
        weight: [outputs, inputs], float64.
        triangular: whether it is the factor of a folded tail, whose zero half is left out.
        rounds: whether a wide last layer is rounded to bfloat16.

    Returns:
        The step.

    Raises:
        Nothing.

    Accuracy: weights rounded to float32 once.
    """
    if triangular:
        return triangular_step(ends, weight)
    outputs, channels = weight.shape
    sites = len(ends.lines) // channels
    rounds = rounds and ends.last and sites == 1 and outputs >= LEAST_ROUNDED
    most = ROUNDED_AT_ONCE if rounds else OUTPUTS_AT_ONCE
    spans = [(first, min(first + most, outputs)) for first in range(0, outputs, most)]
    segments = np.array([(site, site + 1, *span) for site in range(sites) for span in spans], np.int32)
    lines = ends.lines.to(torch.int32).numpy()
    if rounds:
        return Rounded(ends.made, ends.source, lines, halved(weight), segments)
    return Affine(
        made=ends.made,
        source=ends.source,
        lines=lines,
        channels=channels,
        weights=rounded(weight),
        taps=np.stack([np.arange(sites), np.zeros(sites)], 1).astype(np.int32),
        starts=np.arange(sites + 1, dtype=np.int32),
        bases=np.zeros(sites, np.int32),
        segments=segments,
        outputs=outputs,
    )


def triangular_step(ends: Ends, weight: Tensor) -> Affine:
    """A triangular factor by blocks: a block of outputs reads the blocks of inputs from its own on."""
    inputs = weight.shape[1]
    size = filled_up(inputs)
    blocks = size // FACTOR_BLOCK
    whole = torch.zeros(size, size, dtype=torch.float64)
    whole[:inputs, :inputs] = weight
    lines = torch.full((size,), -1, dtype=torch.int64)
    lines[:inputs] = ends.lines
    taps = [(there, there * FACTOR_BLOCK) for site in range(blocks) for there in range(site, blocks)]
    return Affine(
        made=ends.made,
        source=ends.source,
        lines=lines.to(torch.int32).numpy(),
        channels=FACTOR_BLOCK,
        weights=rounded(whole),
        taps=np.array(taps, np.int32),
        starts=np.cumsum([0, *(blocks - site for site in range(blocks))]).astype(np.int32),
        bases=(np.arange(blocks) * FACTOR_BLOCK).astype(np.int32),
        segments=np.array([(site, site + 1, 0, FACTOR_BLOCK) for site in range(blocks)], np.int32),
        outputs=FACTOR_BLOCK,
    )


def convolution_step(ends: Ends, move: Convolve, sites: Sites, shape: tuple[int, ...]) -> Affine:
    """A convolution, by its sites.

    Arguments:
        ends: what it reads and writes.
        move: with the weights in float64.
        sites: of it.
        shape: of a row of the value read.

    Returns:
        The step.

    Raises:
        Nothing.

    Accuracy: weights rounded to float32 once.
    """
    count = len(sites.bases)
    at_once = -(-SEGMENT // sites.outputs) if ends.last else count
    spans = [(first, min(first + at_once, count)) for first in range(0, count, at_once)]
    by_pixel = ends.lines.reshape(shape[0], -1).t().reshape(-1)
    return Affine(
        made=ends.made,
        source=ends.source,
        lines=by_pixel.to(torch.int32).numpy(),
        channels=shape[0] // move.node.integer("groups"),
        weights=rounded(sites.weights(move)),
        taps=sites.taps,
        starts=sites.starts,
        bases=sites.bases,
        segments=np.array([(*span, 0, sites.outputs) for span in spans], np.int32),
        outputs=sites.outputs,
    )


def numbers_held(program: Program) -> int:
    """Numbers of a row in the buffers that are held at once, at most; beside what waits for its eigenvalues.

    Arguments:
        program: its steps, buffers and what reads them last.

    Returns:
        A count.

    Raises:
        Nothing.

    Accuracy: exact but for scratch.
    """
    most = 0
    alive: dict[int, int] = {}
    for number, step in enumerate(program.steps):
        alive[step.made] = program.buffers[step.made].units * program.stride
        held = sum(alive.values())
        if isinstance(step, Rounded):  # pairs of bfloat16: inputs, weights and outputs of a segment
            outputs, width = ROUNDED_AT_ONCE, step.weights.shape[1]
            held += (width + outputs) * program.stride // 2 + outputs * (width + MASKED) // 2
        most = max(most, held)
        alive = {
            index: size for index, size in alive.items() if program.last[index] > number or index == program.target
        }
    return most


def filled_up(inputs: int) -> int:
    """Inputs and outputs of a triangular factor of whole blocks."""
    return -(-inputs // FACTOR_BLOCK) * FACTOR_BLOCK


def rounded(weight: Tensor) -> NDArray[np.float32]:
    """Weights in float32, line after line."""
    made: NDArray[np.float32] = weight.to(torch.float32).contiguous().numpy()
    return made


def halved(weight: Tensor) -> NDArray[np.uint16]:
    """The bits of weights in bfloat16, lines filled up with zeros as `affine_rounded` reads them."""
    outputs, inputs = weight.shape
    filled = torch.zeros(outputs, -(-inputs // MASKED) * MASKED, dtype=torch.bfloat16)
    filled[:, :inputs] = weight.to(torch.float32)
    made: NDArray[np.uint16] = filled.view(torch.int16).numpy().view(np.uint16)
    return made
