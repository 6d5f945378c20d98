"""Every shortcut of a sweep that is not compiled against tangents pushed node by node, on networks that take it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine, full_log_volumes, log_volume, prefix_sums, volumes
from magnet_service.geometry.sweep import Sweep, jacobian_rows, preparation, prepare, trace
from magnet_service.geometry.sweep.moves import Constant, Convolve, Dense, Rule, Scale
from magnet_service.geometry.sweep.preparation import PIECE_BYTES

ROWS = 5
DIM = 24


def randomised(module: nn.Module) -> nn.Module:
    """Weights, biases and statistics that are not those of a fresh layer."""
    source = torch.Generator().manual_seed(7)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5, generator=source)
            layer.running_var.uniform_(0.5, 2.0, generator=source)
            layer.running_mean.normal_(0, 0.1, generator=source)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            fan = parameter[0].numel() if parameter.dim() == 2 else parameter.shape[0] * 4
            parameter.data.normal_(0, (2.0 / fan) ** 0.5, generator=source)
    return module.double().eval()


def dense(*middle: nn.Module, outputs: int = 400, head: nn.Module | None = None) -> nn.Module:
    layers = [nn.Linear(DIM, 512), nn.ReLU(), nn.Linear(512, 512), *middle, nn.Linear(512, outputs)]
    return nn.Sequential(*layers, *([] if head is None else [head]))


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(DIM, 512), nn.Linear(512, 512), nn.Linear(512, 512)
        self.last = nn.Linear(512, 300)

    def forward(self, latents: Tensor) -> Tensor:
        value = torch.relu(self.first(latents))
        value = torch.relu(value + self.third(torch.relu(self.second(value))))
        return torch.tanh(self.last(value))


def convolutional(stride: int = 2, kernel: int = 4, channels: int = 48) -> nn.Module:
    return nn.Sequential(
        nn.Linear(DIM, 256 * 9),
        nn.ReLU(),
        nn.Unflatten(1, (256, 3, 3)),
        nn.ConvTranspose2d(256, channels, kernel, stride, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, 48, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(48, 3, 4, 2, 1),
        nn.Tanh(),
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: dense(nn.ReLU()),
    "tanh": lambda: dense(nn.ReLU(), head=nn.Tanh()),
    "wide_tanh": lambda: dense(nn.ReLU(), outputs=2500, head=nn.Tanh()),
    "leaky": lambda: dense(nn.LeakyReLU(0.2), outputs=900),
    "hardtanh": lambda: dense(nn.Hardtanh(-0.5, 0.7), outputs=2500, head=nn.Sigmoid()),
    "normed": lambda: dense(nn.BatchNorm1d(512), nn.ReLU()),
    "skip": Skip,
    "convolutional": lambda: convolutional(channels=96),
    "uneven_strides": lambda: convolutional(3, 5),
}


@pytest.fixture(scope="module", autouse=True)
def not_compiled() -> Iterator[None]:
    """Nothing is compiled, and rows of networks that a test can afford are done one at a time too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "COMPILES", False)
        patch.setattr(preparation, "ROW_WORK", 60e6)
        yield


def swept(generator: Generator, latents: Tensor, manifold: Manifold) -> tuple[Sweep, Tensor]:
    with torch.inference_mode():
        sweep = prepare(generator, manifold)
        found = trace(sweep, latents)
        step = sweep.piece
        pieces = [jacobian_rows(sweep, found.of_rows(at, at + step)) for at in range(0, len(latents), step)]
    return sweep, torch.cat(pieces)


def latents_of(precision: Precision) -> Tensor:
    return torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(5)).to(precision.dtype)


@pytest.fixture(scope="module")
def generators() -> dict[str, Generator]:
    return {name: Generator.from_module(randomised(make()), DIM) for name, make in NETWORKS.items()}


@pytest.mark.parametrize("manifold", list(Manifold)[:2])
@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT64])
@pytest.mark.parametrize("name", NETWORKS)
def test_singular_values_are_those_of_the_tangents_pushed_node_by_node(
    generators: dict[str, Generator], name: str, precision: Precision, manifold: Manifold
) -> None:
    generator = generators[name].to(precision=precision)
    latents = latents_of(precision)
    _, found = swept(generator, latents, manifold)
    _, pushed = generator.push(latents, manifold=manifold)
    sigma, expected = (torch.linalg.svdvals(matrix.double()) for matrix in (found, pushed))
    assert found.dtype == precision.dtype
    assert found.is_contiguous()
    torch.testing.assert_close(
        sigma / expected[:, :1], expected / expected[:, :1], rtol=0, atol=50 * 24 * eps(precision)
    )


def eps(precision: Precision) -> float:
    return torch.finfo(precision.dtype).eps


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_is_near(generators: dict[str, Generator], name: str) -> None:
    latents = latents_of(Precision.FLOAT32)
    _, found = swept(generators[name].to(precision=Precision.BFLOAT16), latents, Manifold.OUTPUT)
    _, pushed = generators[name].push(latents)
    assert found.dtype == torch.float32
    sigma, expected = (torch.linalg.svdvals(matrix.double()) for matrix in (found, pushed))
    assert float(((sigma - expected) / expected[:, :1]).abs().max()) < 0.02


def kinds(sweep: Sweep, kind: type) -> list[object]:
    return [move for move in sweep.moves.values() if isinstance(move, kind)]


def test_the_networks_take_the_shortcuts(generators: dict[str, Generator]) -> None:
    sweeps = {name: prepare(generator, Manifold.OUTPUT) for name, generator in generators.items()}
    layers = {
        name: [move for move in sweep.moves.values() if isinstance(move, Dense)] for name, sweep in sweeps.items()
    }
    assert all(isinstance(next(iter(sweep.moves.values())), Constant) for sweep in sweeps.values())
    assert sweeps["leaky"].width == 512 < sweeps["leaky"].outputs == 900  # the tail is folded
    assert sweeps["relu"].width == 400
    assert any(layer.narrow is not None for layer in layers["relu"])
    assert any(layer.gathers for layer in layers["relu"])
    assert any(layer.gathers for layer in layers["hardtanh"])
    assert any(len(layer.columns) > 1 for layer in layers["wide_tanh"])
    assert not any(layer.gathers for layer in layers["leaky"][1:])
    assert all(
        move.folded for move in sweeps["normed"].moves.values() if isinstance(move, Scale) and move.constant is not None
    )
    assert kinds(sweeps["skip"], Rule)
    convolutions = [move for move in sweeps["convolutional"].moves.values() if isinstance(move, Convolve)]
    assert [move.spots is not None for move in convolutions] == [True, False, False]
    assert [move.shuffle is not None for move in convolutions] == [False, False, True]
    assert all(sweeps[name].row_by_row for name in ("wide_tanh", "convolutional"))


def test_blocks_of_columns_behind_a_cut(generators: dict[str, Generator], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator(generators["convolutional"].graph, precision=Precision.FLOAT64)
    whole_sweep, whole = swept(generator, latents_of(Precision.FLOAT64), Manifold.OUTPUT)
    monkeypatch.setattr("magnet_service.geometry.sweep.preparation.BLOCK_BYTES", 24 * 96 * 36 * 8)
    again = Generator(generators["convolutional"].graph, precision=Precision.FLOAT64)
    sweep, blocked = swept(again, latents_of(Precision.FLOAT64), Manifold.OUTPUT)
    assert whole_sweep.block == DIM
    assert sweep.cut
    assert sweep.block < DIM
    torch.testing.assert_close(blocked, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["relu", "wide_tanh", "convolutional"])
def test_no_byte_depends_on_how_many_work_side_by_side(
    generators: dict[str, Generator], name: str, threads: int
) -> None:
    latents = torch.randn(21, DIM, generator=torch.Generator().manual_seed(6))
    one, many = (volumes(generators[name], latents, engine=Engine(tile_rows=4, threads=n)) for n in (1, threads))
    assert torch.equal(one.log_singular_values, many.log_singular_values)
    alone = volumes(generators[name], latents[8:9], engine=Engine(tile_rows=4, threads=threads))
    assert torch.equal(one.log_singular_values[8:9], alone.log_singular_values)


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("name", NETWORKS)
def test_the_full_log_volume_alone(generators: dict[str, Generator], name: str, precision: Precision) -> None:
    latents = latents_of(Precision.FLOAT32)
    engine = Engine(precision=precision)
    found = full_log_volumes(generators[name], latents, engine=engine)
    expected = log_volume(volumes(generators[name], latents, engine=engine), DIM)
    slack = {Precision.FLOAT64: 1e-9, Precision.FLOAT32: 1e-3, Precision.BFLOAT16: 1e-2}[precision]
    torch.testing.assert_close(found, expected, rtol=0, atol=slack)


def test_the_full_log_volume_of_a_deficient_generator_is_minus_infinity() -> None:
    module = randomised(nn.Sequential(nn.Linear(DIM, 6), nn.ReLU(), nn.Linear(6, 100)))
    found = full_log_volumes(Generator.from_module(module, DIM), latents_of(Precision.FLOAT32))
    assert (found == -torch.inf).all()


def test_a_generator_that_ignores_its_latent() -> None:
    class Still(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return torch.relu(latents * 0.0) + torch.ones(30, dtype=latents.dtype)[:24]

    found = volumes(Generator.from_module(Still(), DIM), latents_of(Precision.FLOAT32))
    assert (found.rank == 0).all()
    assert (prefix_sums(found) == -torch.inf).all()


def test_pieces_are_bounded_by_the_cache(generators: dict[str, Generator]) -> None:
    for generator in generators.values():
        sweep = prepare(generator, Manifold.OUTPUT)
        assert sweep.program is None
        assert sweep.piece == 1 or sweep.piece * DIM * sweep.numbers * 4 <= PIECE_BYTES
