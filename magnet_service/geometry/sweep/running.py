"""Running the program of a sweep: the pass over tangents by compiled kernels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.geometry.kernels.layers import affine, combine, grams_of
from magnet_service.geometry.kernels.rounded import affine_rounded
from magnet_service.geometry.sweep.program import Affine, Combine, Program, Rounded
from magnet_service.geometry.sweep.trace import Trace

__all__ = ["run"]

Numbers = NDArray[np.float32]


def run(program: Program, traced: Trace) -> tuple[Tensor, Tensor]:
    """Jacobians and their Gram matrices of the rows of a trace.

    Arguments:
        program: of the generator that the trace is of.
        traced: of the rows wanted.

    Returns:
        Jacobians [rows, outputs, stride], their columns filled up with zeros and their outputs in any order, lines of
        zeros among them; and J^T J [rows, columns, columns], float64.

    Raises:
        MemoryError: buffers do not fit.

    Accuracy: products and sums of a layer in float32, fused; of Gram matrices in float32 over at most a segment,
        between segments in float64. Of a layer that rounds, products of bfloat16, summed in float32; its Gram matrix
        is of its lines rounded once more.
    Cost: of a layer, 2 columns (active inputs) (active outputs) operations a row.
    """
    return Run(program, traced).whole()


class Run:
    """The state of one run."""

    def __init__(self, program: Program, traced: Trace) -> None:
        self.program = program
        self.traced = traced
        self.rows = traced.rows
        self.lines: dict[int, Numbers] = {}
        self.slopes: dict[int, Numbers] = {}
        self.grams = np.zeros((self.rows, program.stride, program.stride), np.float64)

    def whole(self) -> tuple[Tensor, Tensor]:
        """Take every step; the Gram matrix grows with the last, while its lines are in cache."""
        program = self.program
        for number, step in enumerate(program.steps):
            if isinstance(step, Combine):
                self.combine(step)
            else:
                self.affine(step)
            for index in [index for index in self.lines if program.last[index] <= number and index != program.target]:
                del self.lines[index], self.slopes[index]
        made = torch.from_numpy(self.lines[program.target])
        lower = torch.from_numpy(self.grams)[:, : program.columns, : program.columns].tril()
        return made, lower + lower.tril(-1).mT

    def factor(self, value: int | None, places: Tensor | None) -> Tensor:
        """The factor of a value [rows, units], its units in another order; 1 without."""
        found = None if value is None else self.traced.factor(value)
        if found is None:
            return torch.ones(1, 1)
        flat = found.flatten(1)
        if places is None:
            return flat
        chosen = flat.index_select(1, places.clamp(min=0))
        return chosen.mul_(places >= 0)

    def slopes_of(self, index: int) -> Numbers:
        """What the lines of a buffer are multiplied by [rows, units]; 0 where a line does not count."""
        if index not in self.slopes:
            buffer = self.program.buffers[index]
            found = self.factor(buffer.factor, buffer.order)
            if buffer.factor is None and buffer.order is not None:
                found = (buffer.order >= 0).float()[None]
            made: Numbers = found.expand(self.rows, buffer.units).contiguous().numpy()
            self.slopes[index] = made
        return self.slopes[index]

    def lines_of(self, index: int) -> Numbers:
        """The lines of a buffer: those that are there, those of a constant, or new ones."""
        buffer = self.program.buffers[index]
        if buffer.constant is not None:
            return buffer.constant
        if index not in self.lines:
            self.lines[index] = np.empty((self.rows, buffer.units, self.program.stride), np.float32)
        return self.lines[index]

    def affine(self, step: Affine | Rounded) -> None:
        """One layer, and the Gram matrix if it is the last."""
        target = step.made == self.program.target
        shared = self.program.buffers[step.source].constant is not None
        given, slopes = self.lines_of(step.source), self.slopes_of(step.source)
        made, own = self.lines_of(step.made), self.slopes_of(step.made)
        grams = self.grams if target else self.grams[:0]
        if isinstance(step, Rounded):
            affine_rounded(given, shared, slopes, step.lines, step.weights, step.segments, made, own, target, grams)
            return
        affine(
            given, shared, slopes, step.lines, step.channels, step.weights, step.taps, step.starts, step.bases,
            step.segments, step.outputs, made, own, target, grams,
        )  # fmt: skip

    def combine(self, step: Combine) -> None:
        """One sum."""
        own = self.slopes_of(step.made)
        target = step.made == self.program.target
        made = self.lines_of(step.made)
        if target:
            made.fill(0.0)
        for number, part in enumerate(step.parts):
            factor = self.factor(part.factor, part.places) * part.coefficients * torch.from_numpy(own)
            source = self.program.buffers[part.source]
            if part.factor is None and source.factor is not None:  # lines that are idle were never written
                lines = torch.from_numpy(part.lines).clamp(min=0)
                factor = factor * (torch.from_numpy(self.slopes_of(part.source)).index_select(1, lines) != 0)
            slopes: Numbers = factor.expand(self.rows, -1).contiguous().numpy()
            shared = source.constant is not None
            combine(self.lines_of(part.source), shared, slopes, part.lines, made, own, number > 0)
        if target:
            grams_of(made, self.grams)
