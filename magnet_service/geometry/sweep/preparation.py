"""Preparing a sweep: which tangents are constant, which slopes fold into weights, how the work is cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from magnet_service.generator import Generator, Manifold
from magnet_service.generator.execution import make_plan
from magnet_service.generator.graph import Graph, Node, constants_of
from magnet_service.generator.operations import TABLE, Kind
from magnet_service.geometry.kernels.rounded import runs_rounded
from magnet_service.geometry.sweep.affine_steps import numbers_held
from magnet_service.geometry.sweep.compilation import compile_moves
from magnet_service.geometry.sweep.fold import tail_factor
from magnet_service.geometry.sweep.moves import Constant, Convolve, Dense, Move, Rearrange, Rule, Scale, sources_of
from magnet_service.geometry.sweep.program import Combine, Program
from magnet_service.geometry.sweep.sizes import block_columns, cut_before, kept_numbers, products, scratch, widest
from magnet_service.geometry.sweep.sweep import Sweep
from magnet_service.geometry.sweep.trace import bound_of
from magnet_service.geometry.sweep.units import choose_units, finisher, round_weights

__all__ = ["prepare"]

CONSTANT_NUMBERS = 1 << 26
"""Numbers in the tangents of one value that may be kept as constants."""

ROW_WORK = 150e6
"""Multiplications and additions of one row's tangents above which rows are done one by one, on one core each."""

COMPILED_ROW_WORK = 1e9
"""The same where rows are computed by compiled kernels."""

BLOCK_BYTES = 14 << 20
"""Bytes of the widest layer's tangents in one push; more columns go in several."""

PIECE_BYTES = 8 << 20
"""Bytes of the widest layer's tangents in one push of several rows."""

LINE_BYTES = 4 << 20
"""Bytes of the tangents that compiled kernels hold at once, of several rows where these are small."""

WEIGHT_BYTES = 4 << 20
"""Bytes of a layer's weights that no core's own cache holds, from which it pays to take several rows at once."""

WEIGHT_ROWS = 4
"""So many."""

MOST_BYTES = 40 << 20
"""Bytes of tangents up to which it does."""

COMPILES = True
"""Whether sweeps on the CPU are compiled where they can be, except in float64. BFLOAT16 is float32 there, wide last
dense layers left out: most of what bfloat16 saves elsewhere, idle units save already."""

CONVOLUTIONS = ("convolution", "transposed_convolution")


def prepare(generator: Generator, manifold: Manifold) -> Sweep:
    """The sweep of a generator, prepared once and kept with its weights.

    Arguments:
        generator: on the device and in the precision wanted.
        manifold: OUTPUT, or what feeds the smooth head.

    Returns:
        The sweep. Weights are folded in float64 and rounded to the precision of the tangents once.

    Raises:
        Nothing.

    Accuracy: of J, rounding of the precision.
    Cost: some passes over the weights, and a QR decomposition of the affine tail where that is folded.
    """
    key = ("sweep", manifold, generator.precision, str(generator.device))
    return generator.derived(key, lambda: Preparation(generator, manifold).run())


class Preparation:
    """The state of one preparation."""

    def __init__(self, generator: Generator, manifold: Manifold) -> None:
        self.generator = generator
        self.graph: Graph = generator.graph
        self.plan = generator.plan(manifold)
        self.dtype = generator.precision.tangent_dtype
        self.exact: dict[int, Mapping[str, Tensor]] = {}
        self.moves: dict[int, Move] = {}
        self.constant: dict[int, Tensor] = {0: self.identity()}
        self.readers = self.count_readers()

    def run(self) -> Sweep:
        """Classify value after value, then size the work."""
        tail = tail_factor(self.graph, self.plan, self.constants)
        last = self.plan.target if tail is None else tail[0]
        self.folded: tuple[int, Tensor] | None = None
        self.varying = {0}
        for step in self.plan.steps:
            if step + 1 <= last and any(source in self.varying for source in self.graph.nodes[step].inputs):
                self.varying.add(step + 1)
                self.classify(step + 1)
        if tail is not None and last in self.varying and last not in self.constant:
            self.folded = tail
            self.moves[self.plan.target] = Dense(last, tail[1])
            self.readers[last] = 1
        self.keep_constants(self.plan.target)
        on_cpu = self.generator.device.type == "cpu"
        row_by_row = on_cpu and self.work() > ROW_WORK
        program = None
        narrow = self.dtype != torch.float64 and self.width() >= self.generator.latent_dim
        if on_cpu and COMPILES and narrow:
            moves = dict(sorted(self.moves.items()))
            rounds = self.dtype == torch.bfloat16 and runs_rounded()
            program = compile_moves(
                moves, self.shape_of, self.constants, self.plan.target, self.generator.latent_dim, rounds
            )
        if program is not None:
            return self.compiled(program, self.work() > COMPILED_ROW_WORK)
        if on_cpu:  # elsewhere, to ask which units are idle would make the host wait
            choose_units(self.moves, self.readers, self.shape_of)
        round_weights(self.moves, self.shape_of, self.generator, self.dtype, row_by_row)
        return self.sized(row_by_row)

    def compiled(self, program: Program, row_by_row: bool) -> Sweep:
        """The sweep that a program runs; its moves say no more than what becomes of factors."""
        whole = self.sized(row_by_row)
        kept: dict[int, Move] = {
            index: move for index, move in whole.moves.items() if isinstance(move, Scale | Rearrange)
        }
        round_weights(kept, self.shape_of, self.generator, self.dtype, row_by_row)
        numbers = numbers_held(program)
        piece = max(1, LINE_BYTES // (4 * numbers))
        if any(not isinstance(step, Combine) and step.weights.nbytes > WEIGHT_BYTES for step in program.steps):
            piece = max(piece, min(WEIGHT_ROWS, MOST_BYTES // (4 * numbers)))
        return replace(
            whole,
            moves=kept,
            program=program,
            finisher=None,
            dtype=torch.float32,
            cut=0,
            block=whole.latent_dim,
            piece=piece,
            numbers=numbers,
            scratch=0,
        )

    def identity(self) -> Tensor:
        """The tangents of the latent itself, float64."""
        dim = self.generator.latent_dim
        return torch.eye(dim, dtype=torch.float64).reshape(1, dim, *self.generator.latent_shape)

    def constants(self, index: int) -> Mapping[str, Tensor]:
        """What the rules of the node of a value read, float64 on the CPU."""
        if index not in self.exact:
            self.exact[index] = constants_of(self.graph.nodes[index - 1])
        return self.exact[index]

    def count_readers(self) -> dict[int, int]:
        """By value, how many nodes of the plan read it; the target counts as read once more."""
        readers = {self.plan.target: 1}
        for step in self.plan.steps:
            for source in self.graph.nodes[step].inputs:
                readers[source] = readers.get(source, 0) + 1
        return readers

    def shape_of(self, index: int) -> tuple[int, ...]:
        """Shape of one row of a value."""
        return self.graph.nodes[index - 1].shape if index else self.graph.latent_shape

    def ghosts(self, node: Node) -> tuple[list[Tensor], Tensor]:
        """Inputs and output of a node whose rules read no more of them than the shape."""
        zero = torch.zeros((), dtype=torch.float64)
        return [zero.expand(1, *self.shape_of(source)) for source in node.inputs], zero.expand(1, *node.shape)

    def classify(self, index: int) -> None:
        """Say what tangents do at one value."""
        node = self.graph.nodes[index - 1]
        operation = TABLE[node.operation]
        affine = operation.kind in (Kind.AFFINE, Kind.STRUCTURAL)
        varying = [source for source in node.inputs if source in self.varying]
        small = self.generator.latent_dim * prod(node.shape) <= CONSTANT_NUMBERS
        if affine and small and all(source in self.constant for source in varying):
            inputs, output = self.ghosts(node)
            given = [self.constant[source] if source in self.varying else None for source in node.inputs]
            tangents = operation.tangent(node, inputs, output, given, self.constants(index), False)
            if tangents is not None:
                self.constant[index] = tangents
                return
        if len(node.inputs) == 1 and operation.slope is not None:
            self.moves[index] = self.scale(index, node)
        elif len(node.inputs) == 1 and operation.kind is Kind.STRUCTURAL:
            self.moves[index] = Rearrange(index, node.inputs[0], node, operation)
        elif node.operation == "linear":
            self.moves[index] = Dense(node.inputs[0], self.constants(index)["weight"])
        elif node.operation in CONVOLUTIONS and len(node.shape) == 3:
            self.moves[index] = Convolve(node.inputs[0], node, self.constants(index)["weight"])
        else:
            self.moves[index] = Rule(index, node.inputs, node, operation, {}, not affine)

    def scale(self, index: int, node: Node) -> Scale:
        """An elementwise operation, its slope folded into the weights before it where that is one for all latents."""
        operation, source = TABLE[node.operation], node.inputs[0]
        if operation.kind is not Kind.AFFINE:
            return Scale(source, node, operation, None, False)
        inputs, output = self.ghosts(node)
        slope = None if operation.slope is None else operation.slope(node, inputs, output, self.constants(index))
        constant = torch.as_tensor(1.0 if slope is None else slope, dtype=torch.float64)
        return Scale(source, node, operation, constant, self.fold_in(source, constant))

    def fold_in(self, source: int, slope: Tensor) -> bool:
        """Multiply the weights that make a value by a constant slope of its channels; False where that cannot be."""
        at = source
        while isinstance(step := self.moves.get(at), Scale) and step.folded and self.readers[at] == 1:
            at = step.source
        if self.readers[at] != 1 or not isinstance(step, Dense | Convolve):
            return False
        channels = self.shape_of(at)[0] if isinstance(step, Convolve) else self.shape_of(at)[-1]
        places = len(self.shape_of(at)) - 1 if isinstance(step, Convolve) else 0
        if isinstance(step, Dense) and len(self.shape_of(at)) != 1:
            return False
        if slope.numel() != 1 and tuple(slope.shape[-1 - places :]) != (channels,) + (1,) * places:
            return False
        scale = slope.reshape(-1).expand(channels)
        if isinstance(step, Dense):
            self.moves[at] = replace(step, weight=step.weight * scale[:, None])
            return True
        transposed = step.node.flag("transposed")
        groups = step.node.integer("groups")
        if transposed and groups != 1:
            return False
        weight = step.weight * (scale[None, :, None, None] if transposed else scale[:, None, None, None])
        self.moves[at] = replace(step, weight=weight)
        return True

    def keep_constants(self, target: int) -> None:
        """Keep the constant tangents that a move, or the target, reads."""
        read = {target, *(source for move in self.moves.values() for source in sources_of(move))}
        for index in sorted(read & self.constant.keys()):
            self.moves[index] = Constant(self.constant[index])

    def sized(self, row_by_row: bool) -> Sweep:
        """The sweep, with what decides how it is cut into rows and columns."""
        dim, target, moves = self.generator.latent_dim, self.plan.target, dict(sorted(self.moves.items()))
        outputs = prod(self.shape_of(target))
        numbers = widest(moves, self.shape_of, target, self.width())
        uses: dict[int, int] = {target: 1}
        for move in moves.values():
            for source in sources_of(move):
                uses[source] = uses.get(source, 0) + 1
        block = block_columns(dim, numbers, self.dtype, BLOCK_BYTES) if row_by_row else dim
        most = BLOCK_BYTES * 8 // (dim * torch.finfo(self.dtype).bits)
        unfolds = self.dtype == torch.float64 and self.generator.device.type == "cpu"
        return Sweep(
            generator=self.generator,
            plan=self.plan if self.folded is None else make_plan(self.graph, self.folded[0]),
            gain=1.0 if self.folded is None else float(bound_of(self.folded[1].flatten()[None])),
            target=target,
            moves=moves,
            program=None,
            uses=uses,
            latent_dim=dim,
            width=self.width(),
            outputs=outputs,
            finisher=finisher(moves, target),
            work=self.work(),
            dtype=self.dtype,
            row_by_row=row_by_row,
            cut=cut_before(moves, self.shape_of, uses, most) if block < dim else 0,
            block=block,
            piece=1 if row_by_row else max(1, PIECE_BYTES * 8 // (dim * numbers * torch.finfo(self.dtype).bits)),
            numbers=numbers,
            scratch=scratch(moves, self.shape_of, unfolds),
            values=max([outputs, *(prod(self.graph.nodes[step].shape) for step in self.plan.steps)]),
            unfolded=self.unfolded() if unfolds else 0,
            kept=kept_numbers(moves, self.shape_of),
        )

    def width(self) -> int:
        """Outputs of the matrix that the sweep gives."""
        last = self.moves.get(self.plan.target)
        return last.weight.shape[0] if isinstance(last, Dense) else prod(self.shape_of(self.plan.target))

    def work(self) -> float:
        """Multiplications and additions of one row's tangents and Gram matrix, idle units included."""
        dim = self.generator.latent_dim
        return 2.0 * dim * (products(self.moves, self.shape_of) + dim * self.width())

    def unfolded(self) -> int:
        """Numbers in the patches of one row that the largest convolution without oneDNN lays out beside each other."""
        nodes = [self.graph.nodes[step] for step in self.plan.steps if "weight" in self.graph.nodes[step].tensors]
        convolutions = [node for node in nodes if node.operation in CONVOLUTIONS]
        return max([0, *(prod(self.shape_of(node.inputs[0])) * taps_of(node) for node in convolutions)])


def taps_of(node: Node) -> int:
    """Places of a convolution's kernel."""
    return prod(node.tensors["weight"].shape[2:])
