"""The generator: an immutable network that yields values, and values with tangents, at latents."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from magnet_service.errors import InvalidInput
from magnet_service.generator.archive import read_archive
from magnet_service.generator.composition import Composition
from magnet_service.generator.conditional import Conditional, ConditionValue
from magnet_service.generator.evaluator import Constants, Evaluator
from magnet_service.generator.export import export_module
from magnet_service.generator.graph import Graph
from magnet_service.generator.lowering import lower
from magnet_service.generator.manifold import Manifold
from magnet_service.generator.precision import Precision
from magnet_service.generator.program import ConditionInput, Program
from magnet_service.generator.summary import NodeSummary, parameters_of

__all__ = ["Generator", "Manifold", "NodeSummary", "Precision"]


class Generator(Evaluator):
    """A network G: R^d -> R^D with its weights in one precision on one device; immutable.

    Attributes:
        graph: the network in the terms of the table of operations, from the latent to the output, and on to the
            features where there are some.
        composition: the latent node and the feature network.
        mapping: from the file's own latent to the latent node; None where that is the latent.
        digest: sha256 over the graph and the weights, see `Graph.digest`.
        precision: arithmetic of forwards and tangents.
        device: where the weights are.
        latent_dim: d.
        latent_shape: of one latent as the network takes it; callers always write [rows, d].
        output_shape: of one row of the output.
        output_dim: D, the numbers in one row of the output.
        units: number of nonlinearity units.
        summary: one entry a node.
        parameters: numbers in the weights.
        condition: the condition that it computes for; None where it takes none, or where it is still open.
        condition_input: the condition that the program takes.
        has_smooth_head: whether the network ends in smooth operations, element by element.
        piecewise_affine: whether everything before the head is piecewise affine.
        piecewise_affine_until: name of the value that feeds the head; the output's where there is no head.
        smooth_inside: `name (operation, place)` of the smooth operations before the head.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        precision: Precision = Precision.FLOAT32,
        device: torch.device | str = "cpu",
        conditional: Conditional | None = None,
        condition: Tensor | None = None,
        siblings: dict[tuple[str, torch.dtype], Constants] | None = None,
        kept: dict[Hashable, Any] | None = None,
        digest: str | None = None,
        composition: Composition | None = None,
    ) -> None:
        self.composition = Composition() if composition is None else composition
        self._network = graph
        parts = self.composition.parts(graph)
        missing = ""
        if conditional is not None and condition is None:
            kind = "an index" if conditional.input.dtype == torch.int64 else "numbers"
            missing = (
                f"this generator takes a condition ({kind}, shape {list(conditional.input.shape)}): ask "
                f"generator.conditioned(condition) for its values."
            )
        super().__init__(
            parts.graph,
            parts.output,
            precision=precision,
            device=device,
            siblings=siblings,
            kept=kept,
            shared=conditional,
            missing=missing,
        )
        self.digest = self.composition.digest(graph.digest(), graph) if digest is None else digest
        self.condition = condition
        self._conditional = conditional
        before = parts.mapping
        # Values of the file's own latent are always made in float32, so that w is the same whatever J is computed in.
        self.mapping: Generator | None = None
        if before is not None:
            self.mapping = self.derived(
                "mapping",
                lambda: Generator(before, conditional=conditional, condition=condition, digest=self.digest),
            )

    @staticmethod
    def from_program(program: Program) -> Generator:
        """Lower a parsed program; float32 on the CPU.

        Arguments:
            program: as `read_archive` gives it.

        Returns:
            The generator, for any number of rows whatever the batch of the file. That of a conditional program says
            what it is, and computes for one condition: see `conditioned`.

        Raises:
            UnsupportedOperation: the program uses an operation outside the table; named, with its place.
            DamagedData: the program reads a name that nothing defines.

        Accuracy: exact; constants are rounded to the working precision once.
        """
        if program.condition is None:
            return Generator(lower(program))
        conditional = Conditional.of(program, program.condition)
        return Generator(conditional.graph(conditional.neutral()), conditional=conditional, digest=conditional.digest)

    @property
    def condition_input(self) -> ConditionInput | None:
        """The condition that the program takes; None for an unconditional one."""
        return None if self._conditional is None else self._conditional.input

    def conditioned(self, condition: ConditionValue) -> Generator:
        """The generator of one condition, a function of the latent alone; weights are shared between conditions.

        Arguments:
            condition: an index, or numbers as wide as the input; an index beside a one-hot input stands for that class.

        Returns:
            A generator of the same digest, on the same device and in the same precision.

        Raises:
            InvalidInput: it takes no condition, or not this one (field `condition`).
            UnsupportedOperation: the condition enters in a way that the table does not cover.

        Accuracy: what depends on the condition alone is computed in float64 and rounded once.

        Cost: one lowering; the last conditions are kept, 64 of them at most, fewer of large generators.
        """
        source = self._conditional
        if source is None:
            raise InvalidInput("this generator takes no condition; leave it out.", field="condition")
        chosen = source.tensor(condition)
        key = tuple(chosen.reshape(-1).tolist())
        found = source.recent.pop(key, None)
        if found is None:
            graph = source.graph(chosen)
            found = Generator(
                graph, conditional=source, condition=chosen, digest=self.digest, composition=self.composition
            )
        source.recent[key] = found
        while len(source.recent) > source.kept:
            source.recent.popitem(last=False)
        return found.to(device=self.device, precision=self.precision)

    @staticmethod
    def from_module(
        module: nn.Module,
        latent_dim: int,
        latent_shape: tuple[int, ...] | None = None,
        *,
        condition: Tensor | None = None,
    ) -> Generator:
        """Export a module of this process and load it; the module is not changed.

        Arguments:
            module: taken in evaluation mode, called with latents [rows, *latent_shape].
            latent_dim: d.
            latent_shape: of one latent as the module takes it; `(latent_dim,)` where None.
            condition: of a conditional module, `module(latents, condition)`, examples, one a row: `torch.eye(10)` for
                one-hot classes, `torch.arange(10)` for indices, [n, width] for vectors.

        Returns:
            The generator, float32 on the CPU; of a conditional module with its condition open, see `conditioned`.

        Raises:
            InvalidInput: the module does not take latents of that shape.
            Refused: the module cannot be exported, draws noise, or uses an operation outside the table.

        Accuracy: exact; constants are rounded to the working precision once.

        Example:
            >>> from torch import nn
            >>> Generator.from_module(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), 2).units
            3
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "generator.pt2"
            export_module(module, latent_dim, path, latent_shape=latent_shape, condition=condition, outputs_probe=False)
            return Generator.from_program(read_archive(path))

    def to(self, *, device: torch.device | str | None = None, precision: Precision | None = None) -> Generator:
        """The same generator on another device or in another precision; weights are converted once and kept.

        Arguments:
            device: where to; here where None.
            precision: arithmetic; the present one where None.

        Returns:
            A generator that shares its weights with every other of the same device and precision.

        Raises:
            RuntimeError: torch has no such device.

        Accuracy: weights are rounded from those of the file, never from a lower precision.
        """
        chosen = self.precision if precision is None else Precision(precision)
        place = self.device if device is None else torch.device(device)
        if (chosen, place) == (self.precision, self.device):
            return self
        return Generator(
            self._network,
            precision=chosen,
            device=place,
            conditional=self._conditional,
            condition=self.condition,
            siblings=self._siblings,
            kept=self._kept,
            digest=self.digest,
            composition=self.composition,
        )

    def composed(self, composition: Composition) -> Generator:
        """The generator that a composition makes of this one: another latent, a feature network.

        Arguments:
            composition: what to make of it; it replaces the present one.

        Returns:
            A generator of another digest, float32 on the CPU; `mapping` leads to its latents where those are inner.

        Raises:
            UnknownResource, Refused, InvalidInput: as `Composition.parts`.

        Accuracy: exact.
        """
        whole = self._network.digest() if self._conditional is None else self._conditional.digest
        source = self._conditional
        return Generator(
            self._network,
            conditional=None if source is None else replace(source, recent=OrderedDict()),
            condition=self.condition,
            digest=composition.digest(whole, self._network),
            composition=composition,
        )

    @property
    def parameters(self) -> int:
        """Numbers in the weights, shared ones once."""
        return parameters_of(self._own) + (0 if self.mapping is None else self.mapping.parameters)
