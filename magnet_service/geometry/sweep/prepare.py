"""Preparing a sweep: which tangents are constant, which slopes fold into weights, which layers may leave units out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from magnet_service.generator import Generator, Manifold
from magnet_service.generator.execution import Plan, make_plan
from magnet_service.generator.graph import Graph, Node, constants_of
from magnet_service.generator.operations import TABLE, Kind
from magnet_service.generator.operations.subpixel import in_channels
from magnet_service.geometry.sweep.fold import tail_factor
from magnet_service.geometry.sweep.moves import Constant, Convolve, Dense, Move, Rearrange, Rule, Scale
from magnet_service.geometry.sweep.spots import find_spots

__all__ = ["Sweep", "prepare"]

CONSTANT_NUMBERS = 1 << 26
"""Numbers in the tangents of one value that may be kept as constants."""

NARROW_INPUTS = 256
"""Inputs of a dense layer from which leaving out idle units saves more than gathering weights costs."""

ROW_WORK = 60e6
"""Multiplications and additions of one row's tangents above which rows are done one by one, on one core each."""

BLOCK_OUTPUTS = 1024
"""Outputs of a wide dense layer that are done at a time, so that the weights gathered for them stay in cache."""

BLOCK_BYTES = 14 << 20
"""Bytes of the widest layer's tangents in one push; more columns go in several."""

PIECE_BYTES = 1 << 20
"""Bytes of the widest layer's tangents in one push of several rows: about a core's second cache."""

SPARSE = frozenset({"relu", "clamp"})


@dataclass(frozen=True)
class Sweep:
    """A prepared computation of J(z) for one manifold; immutable.

    Attributes:
        generator: with the weights, on its device.
        plan: of the pass over values, which ends where the affine tail begins if that is folded.
        gain: Frobenius norm of R, by which the tail stretches values at most; 1 where nothing is folded.
        target: the value whose tangents are wanted.
        moves: by value, in order; values that do not depend on the latent are absent, and so are those of an affine
            tail but the last, which then is the dense layer R of the tail's QR decomposition: singular values stay.
        uses: how many moves, and the target, read the tangents of a value.
        latent_dim: d, the columns.
        width: outputs of the matrix that the sweep gives, D or the tail's inputs.
        outputs: D, of the true Jacobian.
        work: multiplications and additions of one row's tangents and Gram matrix, idle units included.
        dtype: of the tangents.
        row_by_row: whether rows are done one at a time, on one core each.
        cut: the value up to which all columns are pushed at once; 0 for none.
        block: columns of one push from there on.
        piece: rows of one push.
        numbers: numbers in the widest tangents of a column.
        scratch: numbers in a column of what the kernel of one move holds beside its input and output, at most.
        values: numbers in the widest value.
        kept: numbers in a row's factors and kept values.
    """

    generator: Generator
    plan: Plan
    gain: float
    target: int
    moves: Mapping[int, Move]
    uses: Mapping[int, int]
    latent_dim: int
    width: int
    outputs: int
    work: float
    dtype: torch.dtype
    row_by_row: bool
    cut: int
    block: int
    piece: int
    numbers: int
    scratch: int
    values: int
    kept: int


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
        self.choose_units()
        self.round_weights()
        return self.sized()

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
        elif node.operation in ("convolution", "transposed_convolution") and len(node.shape) == 3:
            self.moves[index] = Convolve(node.inputs[0], node, self.constants(index)["weight"])
        else:
            self.moves[index] = Rule(index, node.inputs, node, operation, self.constants(index), not affine)

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

    def choose_units(self) -> None:
        """Find the dense layers whose idle inputs, and with them the outputs of layers before, need no product."""
        if self.generator.device.type != "cpu":
            return  # to ask which units are idle would make the host wait for the device
        for index, move in list(self.moves.items()):
            if not isinstance(move, Dense) or move.weight.shape[1] < NARROW_INPUTS:
                continue
            run = self.run_before(move.source)
            sparse = any(scale.node.operation in SPARSE for scale in run)
            alone = len(self.shape_of(move.source)) == 1 and all(self.readers[at] == 1 for at in self.places(move.source))
            if not sparse or not alone:
                continue
            self.moves[index] = replace(self.moves[index], gathers=True, binary=self.is_binary(run))
            root = self.root_of(move.source)
            before = self.moves.get(root)
            if isinstance(before, Dense):
                self.moves[root] = replace(before, narrow=move.source)

    def round_weights(self) -> None:
        """Round what moves read to the precision of the tangents, in the order that kernels like."""
        device, dtype = self.generator.device, self.dtype
        for index, move in list(self.moves.items()):
            match move:
                case Dense():
                    weight = move.weight.to(device=device, dtype=dtype).contiguous()
                    columns: tuple[Tensor, ...] = ()
                    if move.gathers and move.narrow is None:
                        columns = tuple(part.t().contiguous() for part in torch.split(weight, BLOCK_OUTPUTS))
                    self.moves[index] = replace(move, weight=weight, columns=columns)
                case Convolve():
                    self.moves[index] = self.rounded_convolution(move, index)
                case Constant():
                    tangents = move.tangents.to(device=device, dtype=dtype).contiguous()
                    self.moves[index] = Constant(channels_last(tangents) if tangents.dim() == 5 else tangents)
                case Scale() if move.constant is not None:
                    constant = move.constant.to(device=device, dtype=self.generator.precision.dtype)
                    self.moves[index] = replace(move, constant=constant)
                case Rule():
                    rounded = {
                        role: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
                        for role, tensor in move.constants.items()
                    }
                    self.moves[index] = replace(move, constants=rounded)

    @staticmethod
    def is_binary(run: Sequence[Scale]) -> bool:
        """Whether the slopes of a run are 0 or 1 throughout."""
        return all(scale.folded or scale.node.operation == "relu" for scale in run)

    def run_before(self, index: int) -> list[Scale]:
        """The elementwise operations between a value and the one whose tangents it carries."""
        return [move for at in self.places(index) if isinstance(move := self.moves.get(at), Scale)]

    def places(self, index: int) -> list[int]:
        """A value and those before it down to the one whose tangents it carries."""
        chain = [index]
        while isinstance(move := self.moves.get(chain[-1]), Scale):
            chain.append(move.source)
        return chain

    def root_of(self, index: int) -> int:
        """The value whose tangents a value carries."""
        return self.places(index)[-1]

    def rounded_convolution(self, move: Convolve, index: int) -> Convolve:
        """A convolution with its weights rounded, in sub-pixel form where that is the faster."""
        weight, given, made = move.weight, self.shape_of(move.source), self.shape_of(index)
        run = self.run_before(move.source)
        if self.generator.device.type == "cpu" and any(scale.node.operation in SPARSE for scale in run):
            spots = find_spots(move.node, weight, given, made, self.dtype)
            if spots is not None:
                return replace(move, spots=spots, binary=self.is_binary(run))
        form = in_channels(move.node, weight)
        shuffle = None
        if form is not None:
            weight, shuffle = form
        weight = weight.to(device=self.generator.device, dtype=self.dtype)
        return replace(move, weight=weight.contiguous(memory_format=torch.channels_last), shuffle=shuffle)

    def sized(self) -> Sweep:
        """The sweep, with what decides how it is cut into rows and columns."""
        dim, target = self.generator.latent_dim, self.plan.target
        last = self.moves.get(target)
        outputs = prod(self.shape_of(target))
        width = last.weight.shape[0] if isinstance(last, Dense) else outputs
        numbers = max([width, *(prod(self.shape_of(index)) for index in self.moves if index != target)])
        products = 1.0 * dim * width
        for index, move in self.moves.items():
            if isinstance(move, Dense):
                products += move.weight.numel() * (prod(self.shape_of(move.source)) // move.weight.shape[1])
            elif isinstance(move, Convolve):
                shape = self.shape_of(move.source if move.node.flag("transposed") else index)
                products += move.weight.numel() * prod(shape[1:])
        kept = sum(
            prod(self.shape_of(index))
            for index, move in self.moves.items()
            if isinstance(move, Scale | Rearrange) or (isinstance(move, Rule) and move.reads_values)
        )
        uses: dict[int, int] = {target: 1}
        for move in self.moves.values():
            for source in sources_of(move):
                uses[source] = uses.get(source, 0) + 1
        limit = max(1, BLOCK_BYTES * 8 // (numbers * torch.finfo(self.dtype).bits))
        row_by_row = self.generator.device.type == "cpu" and 2.0 * dim * products > ROW_WORK
        return Sweep(
            generator=self.generator,
            plan=self.plan if self.folded is None else make_plan(self.graph, self.folded[0]),
            gain=1.0 if self.folded is None else float(torch.linalg.matrix_norm(self.folded[1])),
            target=target,
            moves=dict(sorted(self.moves.items())),
            uses=uses,
            latent_dim=dim,
            width=width,
            outputs=outputs,
            work=2.0 * dim * products,
            dtype=self.dtype,
            row_by_row=row_by_row,
            cut=self.cut_before(uses, dim) if row_by_row and limit < dim else 0,
            block=-(-dim // -(-dim // limit)) if row_by_row else dim,
            piece=1 if row_by_row else max(1, PIECE_BYTES * 8 // (dim * numbers * torch.finfo(self.dtype).bits)),
            numbers=numbers,
            scratch=max([0, *(self.scratch(index, move) for index, move in self.moves.items())]),
            values=max([outputs, *(prod(self.graph.nodes[step].shape) for step in self.plan.steps)]),
            kept=kept,
        )


    def scratch(self, index: int, move: Move) -> int:
        """Numbers in a column of what the kernel of a move holds beside its input and output."""
        if not isinstance(move, Convolve):
            return 0
        made = prod(self.shape_of(index))
        if move.spots is not None:
            return 2 * made + max(weight.shape[1] for weight in move.spots.weights.values())
        if move.shuffle is not None:
            made *= 2
        single = self.dtype != torch.float64 or self.generator.device.type != "cpu"
        # float64 has no oneDNN kernel: patches of the input are laid out beside each other first.
        taps = prod(move.weight.shape[2:])
        unfolded = 0 if single else prod(self.shape_of(move.source)) * taps
        return made + unfolded

    def cut_before(self, uses: Mapping[int, int], dim: int) -> int:
        """The last value, alone on the way to the target, up to which tangents of all columns fit one block."""
        cut, left, live = 0, dict(uses), set[int]()
        for index, move in sorted(self.moves.items()):
            if dim * prod(self.shape_of(index)) * torch.finfo(self.dtype).bits > BLOCK_BYTES * 8:
                break
            live.add(index)
            for source in sources_of(move):
                left[source] -= 1
                if not left[source]:
                    live.discard(source)
            later = any(isinstance(self.moves[after], Constant) for after in self.moves if after > index)
            if live == {index} and not later and not isinstance(move, Constant):
                cut = index
        return cut


def sources_of(move: Move) -> Sequence[int]:
    """The values whose tangents a move reads."""
    if isinstance(move, Constant):
        return ()
    return move.sources if isinstance(move, Rule) else (move.source,)


def channels_last(tangents: Tensor) -> Tensor:
    """[rows, columns, channels, height, width] with the channels next to each other in memory."""
    flat = tangents.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return flat.unflatten(0, tangents.shape[:2])

