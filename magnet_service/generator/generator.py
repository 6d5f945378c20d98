"""The generator: an immutable network that yields values, and values with tangents, at latents."""

from __future__ import annotations

import math
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator.archive import read_archive
from magnet_service.generator.composition import Composition
from magnet_service.generator.conditional import Conditional, ConditionValue, program_digest
from magnet_service.generator.execution import Plan, Visit, execute, make_plan
from magnet_service.generator.export import export_module
from magnet_service.generator.graph import Graph, constants_of
from magnet_service.generator.head import Head, find_head
from magnet_service.generator.lowering import lower
from magnet_service.generator.manifold import Manifold
from magnet_service.generator.operations import Node
from magnet_service.generator.precision import Precision
from magnet_service.generator.program import ConditionInput, Program
from magnet_service.generator.summary import NodeSummary, parameters_of, summarise

__all__ = ["Generator", "Manifold", "NodeSummary", "Precision"]


Constants = tuple[Mapping[str, Tensor], ...]
Derived = TypeVar("Derived")


class Generator:
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
        graph, own = parts.graph, parts.generator
        self.graph = graph
        self.precision = precision
        self.device = torch.device(device)
        self.digest = self.composition.digest(graph.digest(), graph) if digest is None else digest
        self.condition = condition
        self._conditional = conditional
        self.latent_shape = graph.latent_shape
        self.latent_dim = math.prod(graph.latent_shape)
        self.output_shape = own.output_shape
        self.output_dim = math.prod(own.output_shape)
        self._own = own
        self._head: Head = find_head(own)
        self._plans = {
            Manifold.OUTPUT: make_plan(graph, parts.output),
            Manifold.PRE_ACTIVATION: make_plan(graph, self._head.start),
        }
        if self.composition.features is not None:
            self._plans[Manifold.FEATURES] = make_plan(graph, len(graph.nodes))
        self._siblings = {} if siblings is None else siblings
        self._kept: dict[Hashable, Any] = {} if kept is None else kept
        key = (str(self.device), precision.dtype)
        if key not in self._siblings:
            self._siblings[key] = prepared(graph, self.device, precision.dtype, conditional)
        self._constants = self._siblings[key]
        before = parts.mapping
        # Values of the file's own latent are always made in float32, so that w is the same whatever J is computed in.
        self.mapping: Generator | None = (
            None if before is None else self.derived("mapping", lambda: Generator(before, conditional=conditional))
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
        conditional = Conditional(program, program.condition, program_digest(program))
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

        Cost: one lowering; the last 64 conditions are kept.
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

    # "*any" where the shape of an argument is checked inside, with an error that says what to write.
    def forward(self, latents: Float[Tensor, "*any"], manifold: Manifold = Manifold.OUTPUT) -> Tensor:
        """G(z), or what feeds its smooth head.

        Arguments:
            latents: [rows, d], of any floating dtype, on the generator's device.
            manifold: the outputs, or what feeds the head.

        Returns:
            [rows, *shape of the value], in the generator's precision; carries no gradient.

        Raises:
            InvalidInput: latents of another width.

        Accuracy: rounding of the precision. A row's last bits may depend on the number of rows: call with tiles of one
            size where they must not.
        """
        shaped = self._shaped(latents)
        if latents.shape[0] == 0:
            return shaped.new_zeros(0, *self.output_shape_of(manifold))
        with torch.no_grad():
            value, _ = execute(self.graph, self.plan(manifold), self._constants, shaped, None)
        return value

    def push(
        self,
        latents: Float[Tensor, "rows latent"],
        directions: Float[Tensor, "*any"] | None = None,
        manifold: Manifold = Manifold.OUTPUT,
    ) -> tuple[Float[Tensor, "rows output"], Float[Tensor, "rows columns output"]]:
        """G(z) and J(z) v for several directions v, by pushing tangents forward beside the values.

            tangents[i, c] = J(z_i) v_c,   J on the region of z_i

        Arguments:
            latents: [rows, d], of any floating dtype, on the generator's device.
            directions: [rows or 1, columns, d]; the identity's d columns where None.
            manifold: the outputs, or what feeds the head.

        Returns:
            Values [rows, D] and tangents [rows, columns, D], flattened rows, in the generator's precision; no gradient.

        Raises:
            InvalidInput: latents or directions of another width or number of rows.

        Accuracy: rounding of the precision. A unit at its breakpoint exactly takes the lower state.

        Cost: the columns' share of `columns` forwards a row; up to the first nonlinearity once for all rows.
        """
        with torch.no_grad():
            shaped = self._shaped(latents)
            rows, width = latents.shape[0], self.output_dim_of(manifold)
            if directions is None:
                moves = torch.eye(self.latent_dim, dtype=shaped.dtype, device=shaped.device).unsqueeze(0)
            else:
                moves = directions.to(shaped.dtype)
            if moves.dim() != 3 or moves.shape[2] != self.latent_dim or moves.shape[0] not in (1, rows):
                raise InvalidInput(
                    f"directions of shape {list(moves.shape)}: write [1 or {rows}, columns, {self.latent_dim}].",
                    field="directions",
                )
            columns = moves.shape[1]
            if rows == 0:
                return shaped.new_zeros(0, width), shaped.new_zeros(0, columns, width)
            moves = moves.reshape(moves.shape[0], columns, *self.latent_shape)
            value, tangents = execute(self.graph, self.plan(manifold), self._constants, shaped, moves)
            flat = value.reshape(rows, width)
            if tangents is None:
                return flat, flat.new_zeros(()).expand(rows, columns, width)
            return flat, tangents.reshape(tangents.shape[0], columns, width).expand(rows, -1, -1)

    def visit(self, latents: Float[Tensor, "rows latent"], visitor: Visit) -> None:
        """Run forward and show a visitor every piecewise linear node with its inputs, in order.

        Arguments:
            latents: [rows, d].
            visitor: called as visitor(node, inputs); must not write to them.

        Raises:
            InvalidInput: latents of another width.

        Accuracy: rounding of the precision.
        """
        with torch.no_grad():
            plan = self._plans[Manifold.OUTPUT]
            execute(self.graph, plan, self._constants, self._shaped(latents), None, visitor)

    def plan(self, manifold: Manifold) -> Plan:
        """How the value that carries a manifold is computed; Refused (NO_FEATURES) where the generator has none."""
        if manifold not in self._plans:
            raise Refused(
                "This generator has no feature network, so no manifold FEATURES: add it with one "
                "(magnet generator add ... --features FILE), or take OUTPUT.",
                field="manifold",
                reason="NO_FEATURES",
            )
        return self._plans[manifold]

    @property
    def constants(self) -> Constants:
        """By node, what its rules read, in this generator's precision and on its device."""
        return self._constants

    def derived(self, key: Hashable, make: Callable[[], Derived]) -> Derived:
        """What others make of the weights, made once and kept as long as they are, on every device and precision.

        Arguments:
            key: names what is made; device and precision are part of it where they matter.
            make: makes it. Two threads may both make it; one result is kept.

        Returns:
            The result kept.

        Raises:
            What `make` raises.

        Accuracy: that of `make`.
        """
        if key not in self._kept:
            self._kept.setdefault(key, make())
        found: Derived = self._kept[key]
        return found

    def output_dim_of(self, manifold: Manifold) -> int:
        """Numbers in one row of the value that carries the manifold."""
        index = self.plan(manifold).target
        return math.prod(self.graph.nodes[index - 1].shape if index else self.graph.latent_shape)

    def output_shape_of(self, manifold: Manifold) -> tuple[int, ...]:
        """Shape of one row of the value that carries the manifold."""
        index = self.plan(manifold).target
        return self.graph.nodes[index - 1].shape if index else self.graph.latent_shape

    @property
    def summary(self) -> tuple[NodeSummary, ...]:
        """One entry a node, in order."""
        return summarise(self._own)

    @property
    def units(self) -> int:
        """Number of nonlinearity units."""
        return sum(entry.units for entry in self.summary)

    @property
    def parameters(self) -> int:
        """Numbers in the weights, shared ones once."""
        return parameters_of(self._own) + (0 if self.mapping is None else self.mapping.parameters)

    @property
    def has_smooth_head(self) -> bool:
        """Whether the network ends in smooth operations, element by element."""
        return self._head.smooth

    @property
    def piecewise_affine(self) -> bool:
        """Whether everything before the head is piecewise affine."""
        return not self._head.inside

    @property
    def piecewise_affine_until(self) -> str:
        """Name of the value that feeds the head; the output's where there is no head."""
        return self.graph.nodes[self._head.start - 1].name if self._head.start else "latent"

    @property
    def smooth_inside(self) -> tuple[str, ...]:
        """`name (operation, place)` of the smooth operations before the head."""
        nodes = [self.graph.nodes[index - 1] for index in self._head.inside]
        return tuple(f"{node.name} ({node.operation}, {node.place})" for node in nodes)

    def _shaped(self, latents: Tensor) -> Tensor:
        if self._conditional is not None and self.condition is None:
            kind = "an index" if self._conditional.input.dtype == torch.int64 else "numbers"
            raise InvalidInput(
                f"this generator takes a condition ({kind}, shape {list(self._conditional.input.shape)}): ask "
                f"generator.conditioned(condition) for its values.",
                field="condition",
            )
        if latents.dim() != 2 or latents.shape[1] != self.latent_dim:
            raise InvalidInput(
                f"latents of shape {list(latents.shape)}: write [rows, {self.latent_dim}].", field="latents"
            )
        return latents.to(self.precision.dtype).reshape(latents.shape[0], *self.latent_shape)


def prepared(graph: Graph, device: torch.device, dtype: torch.dtype, shared: Conditional | None = None) -> Constants:
    """What the nodes' rules read, computed in float64 and rounded once; the same for all conditions of `shared`."""

    def rounded(node: Node) -> Mapping[str, Tensor]:
        return {
            role: tensor.to(device=device, dtype=dtype if tensor.dtype.is_floating_point else tensor.dtype).contiguous()
            for role, tensor in constants_of(node).items()
        }

    if shared is None:
        return tuple(rounded(node) for node in graph.nodes)
    return tuple(shared.once(node, (str(device), dtype), rounded) for node in graph.nodes)
