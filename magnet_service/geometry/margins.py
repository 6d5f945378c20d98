"""How far the units of a layer are from changing their states, at many latents, with nothing kept for each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from magnet_service.generator.pattern import rows_of
from magnet_service.geometry.half_spaces import TIED
from magnet_service.geometry.layers import Contest, Layer, joined_inputs

__all__ = ["Margins"]


@dataclass
class Margins:
    """What is known of the bounds of one layer's units after some blocks of columns.

    Attributes:
        layer: the layer.
        contest: its entries, where it has some.
        numbers: how far pre-activations, or leads over other entries, are from 0; infinite where there is no bound.
        taken: of a contest, the column of the entry taken.
        steep: sums of the squares of the bounds' gradients over the columns so far.
        squares: of a contest, those of the entries' gradients.
    """

    layer: Layer
    contest: Contest | None
    numbers: Tensor
    taken: Tensor | None
    steep: Tensor
    squares: Tensor

    @staticmethod
    def of(layer: Layer, contest: Contest | None, values: Tensor) -> Margins:
        """Margins at the values that a layer reads, [rows, units] or [rows, units, entries]."""
        zero = values.new_zeros(())
        if contest is None:
            margins = torch.full_like(values, torch.inf)
            for limit in layer.breakpoints:
                margins = torch.minimum(margins, (values - limit).abs())
            return Margins(layer, None, margins, None, zero, zero)
        entries = contest.entries(values)
        taken = contest.winners(entries)[..., None]
        margins = (entries.gather(2, taken) - entries).scatter(2, taken, torch.inf)
        return Margins(layer, contest, margins, taken, zero, zero)

    def add(self, inputs: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> None:
        """Take in the tangents of some more columns."""
        known = next((tangent for tangent in tangents if tangent is not None), None)
        if known is None:
            return
        if self.contest is None or self.taken is None:
            self.steep = self.steep + rows_of(known, 2).square().sum(1)
            return
        rows, columns = len(self.numbers), known.shape[1]
        moves = [
            (value.new_zeros(()) if tangent is None else rows_of(tangent, 2)).expand(rows, columns, value[0].numel())
            for value, tangent in zip(inputs, tangents, strict=True)
        ]
        each = joined_inputs(moves, 2)[:, :, self.contest.places.clamp(min=0)]
        self.squares = self.squares + each.square().sum(1)
        winner = each.gather(3, self.taken[:, None].expand(-1, columns, -1, -1))
        self.steep = self.steep + (each - winner).square_().sum(1)

    def nearest(self) -> tuple[Tensor, Tensor]:
        """Distance and number of the unit whose bound is nearest, of each row."""
        lengths = self.steep.sqrt()
        if self.taken is None:
            stands = lengths > 0
        else:
            each = self.squares.sqrt().expand_as(self.numbers)
            stands = lengths > TIED * (each + each.gather(2, self.taken))
        distances = torch.where(stands, self.numbers / lengths, torch.inf)
        found = (distances if self.taken is None else distances.amin(2)).min(1)
        return found.values, found.indices
