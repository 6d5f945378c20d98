"""Values, and values with tangents, of a graph with its weights in one precision on one device."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator.conditional import Conditional
from magnet_service.generator.execution import Plan, Visit, Watch, execute, make_plan
from magnet_service.generator.graph import Graph, constants_of
from magnet_service.generator.head import Head, find_head
from magnet_service.generator.manifold import Manifold
from magnet_service.generator.operations import Node
from magnet_service.generator.precision import Precision
from magnet_service.generator.summary import NodeSummary, summarise

__all__ = ["Constants", "Evaluator"]

Constants = tuple[Mapping[str, Tensor], ...]
Derived = TypeVar("Derived")


class Evaluator:
    """What a generator computes; immutable.

    Arguments:
        graph: from the latent to the output, and on to the features where there are some.
        output: index of the value that is the output.
        precision: arithmetic of forwards and tangents.
        device: where the weights are.
        siblings: prepared weights by device and type, shared with evaluators of the same graph.
        kept: what `derived` keeps, shared likewise.
        shared: what graphs of several conditions share.
        missing: what must be given before anything can be computed, in words; empty for nothing.
    """

    def __init__(
        self,
        graph: Graph,
        output: int,
        *,
        precision: Precision,
        device: torch.device | str,
        siblings: dict[tuple[str, torch.dtype], Constants] | None,
        kept: dict[Hashable, Any] | None,
        shared: Conditional | None,
        missing: str,
    ) -> None:
        own = Graph(graph.latent_shape, graph.nodes[:output], graph.widest)
        self.graph = graph
        self.precision = precision
        self.device = torch.device(device)
        self.latent_shape = graph.latent_shape
        self.latent_dim = math.prod(graph.latent_shape)
        self.output_shape = own.output_shape
        self.output_dim = math.prod(own.output_shape)
        self._own = own
        self._missing = missing
        self._head: Head = find_head(own)
        self._plans = {
            Manifold.OUTPUT: make_plan(graph, output),
            Manifold.PRE_ACTIVATION: make_plan(graph, self._head.start),
        }
        if output < len(graph.nodes):
            self._plans[Manifold.FEATURES] = make_plan(graph, len(graph.nodes))
        self._siblings = {} if siblings is None else siblings
        self._kept: dict[Hashable, Any] = {} if kept is None else kept
        key = (str(self.device), precision.dtype)
        if key not in self._siblings:
            self._siblings[key] = prepared(graph, self.device, precision.dtype, shared)
        self._constants = self._siblings[key]

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
        watch: Watch | None = None,
    ) -> tuple[Float[Tensor, "rows output"], Float[Tensor, "rows columns output"]]:
        """G(z) and J(z) v for several directions v, by pushing tangents forward beside the values.

            tangents[i, c] = J(z_i) v_c,   J on the region of z_i

        Arguments:
            latents: [rows, d], of any floating dtype, on the generator's device.
            directions: [rows or 1, columns, d]; the identity's d columns where None.
            manifold: the outputs, or what feeds the head.
            watch: called as watch(node, inputs, tangents of the inputs [rows or 1, columns, *shape], None for one that
                does not depend on the latent) with every piecewise linear node, in order; must not write to them, and
                keeps copies of the tangents only.

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
            value, tangents = execute(self.graph, self.plan(manifold), self._constants, shaped, moves, watch=watch)
            flat = value.reshape(rows, width)
            if tangents is None:
                return flat, flat.new_zeros(()).expand(rows, columns, width)
            return flat, tangents.reshape(tangents.shape[0], columns, width).expand(rows, -1, -1)

    def visit(
        self, latents: Float[Tensor, "rows latent"], visitor: Visit, manifold: Manifold = Manifold.OUTPUT
    ) -> None:
        """Run forward and show a visitor every piecewise linear node with its inputs, in order.

        Arguments:
            latents: [rows, d].
            visitor: called as visitor(node, inputs); must not write to them.
            manifold: up to which value; nodes that it does not need are not shown.

        Raises:
            InvalidInput: latents of another width.
            Refused: FEATURES asked of a generator without (NO_FEATURES).

        Accuracy: rounding of the precision.
        """
        with torch.no_grad():
            execute(self.graph, self.plan(manifold), self._constants, self._shaped(latents), None, visitor)

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
        if self._missing:
            raise InvalidInput(self._missing, field="condition")
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
