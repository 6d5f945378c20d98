"""The generator: an immutable network that yields values, and values with tangents, at latents."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from magnet_service.errors import InvalidInput
from magnet_service.generator.archive import read_archive
from magnet_service.generator.execution import Plan, Visit, execute, make_plan
from magnet_service.generator.export import export_module
from magnet_service.generator.graph import Graph, constants_of
from magnet_service.generator.head import Head, find_head
from magnet_service.generator.lowering import lower
from magnet_service.generator.manifold import Manifold
from magnet_service.generator.precision import Precision
from magnet_service.generator.program import Program
from magnet_service.generator.summary import NodeSummary, parameters_of, summarise

__all__ = ["Generator", "Manifold", "NodeSummary", "Precision"]


Constants = tuple[Mapping[str, Tensor], ...]


class Generator:
    """A network G: R^d -> R^D with its weights in one precision on one device; immutable.

    Attributes:
        graph: the network in the terms of the table of operations.
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
        siblings: dict[tuple[str, Precision], Constants] | None = None,
        digest: str | None = None,
    ) -> None:
        self.graph = graph
        self.precision = precision
        self.device = torch.device(device)
        self.digest = graph.digest() if digest is None else digest
        self.latent_shape = graph.latent_shape
        self.latent_dim = math.prod(graph.latent_shape)
        self.output_shape = graph.output_shape
        self.output_dim = math.prod(graph.output_shape)
        self._head: Head = find_head(graph)
        self._plans: Mapping[Manifold, Plan] = {
            Manifold.OUTPUT: make_plan(graph, len(graph.nodes)),
            Manifold.PRE_ACTIVATION: make_plan(graph, self._head.start),
        }
        self._siblings = {} if siblings is None else siblings
        key = (str(self.device), precision)
        if key not in self._siblings:
            self._siblings[key] = prepared(graph, self.device, precision.dtype)
        self._constants = self._siblings[key]

    @staticmethod
    def from_program(program: Program) -> Generator:
        """Lower a parsed program; float32 on the CPU.

        Arguments:
            program: as `read_archive` gives it.

        Returns:
            The generator, for any number of rows whatever the batch of the file.

        Raises:
            UnsupportedOperation: the program uses an operation outside the table; named, with its place.
            DamagedData: the program reads a name that nothing defines.

        Accuracy: exact; constants are rounded to the working precision once.
        """
        return Generator(lower(program))

    @staticmethod
    def from_module(module: nn.Module, latent_dim: int, latent_shape: tuple[int, ...] | None = None) -> Generator:
        """Export a module of this process and load it; the module is not changed.

        Arguments:
            module: taken in evaluation mode, called with latents [rows, *latent_shape].
            latent_dim: d.
            latent_shape: of one latent as the module takes it; `(latent_dim,)` where None.

        Returns:
            The generator, float32 on the CPU.

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
            export_module(module, latent_dim, path, latent_shape=latent_shape, outputs_probe=False)
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
        return Generator(self.graph, precision=chosen, device=place, siblings=self._siblings, digest=self.digest)

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
            value, _ = execute(self.graph, self._plans[manifold], self._constants, shaped, None)
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
            value, tangents = execute(self.graph, self._plans[manifold], self._constants, shaped, moves)
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

    def output_dim_of(self, manifold: Manifold) -> int:
        """Numbers in one row of the value that carries the manifold."""
        index = self._plans[manifold].target
        return math.prod(self.graph.nodes[index - 1].shape if index else self.graph.latent_shape)

    def output_shape_of(self, manifold: Manifold) -> tuple[int, ...]:
        """Shape of one row of the value that carries the manifold."""
        index = self._plans[manifold].target
        return self.graph.nodes[index - 1].shape if index else self.graph.latent_shape

    @property
    def summary(self) -> tuple[NodeSummary, ...]:
        """One entry a node, in order."""
        return summarise(self.graph)

    @property
    def units(self) -> int:
        """Number of nonlinearity units."""
        return sum(entry.units for entry in self.summary)

    @property
    def parameters(self) -> int:
        """Numbers in the weights, shared ones once."""
        return parameters_of(self.graph)

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
        if latents.dim() != 2 or latents.shape[1] != self.latent_dim:
            raise InvalidInput(
                f"latents of shape {list(latents.shape)}: write [rows, {self.latent_dim}].", field="latents"
            )
        return latents.to(self.precision.dtype).reshape(latents.shape[0], *self.latent_shape)


def prepared(graph: Graph, device: torch.device, dtype: torch.dtype) -> Constants:
    """What the nodes' rules read, computed in float64 and rounded to the working precision once."""
    return tuple(
        {
            role: tensor.to(device=device, dtype=dtype if tensor.dtype.is_floating_point else tensor.dtype).contiguous()
            for role, tensor in constants_of(node).items()
        }
        for node in graph.nodes
    )
