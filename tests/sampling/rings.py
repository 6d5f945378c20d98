"""The bundled generator `rings` and its exact tiles: what the laws of all samplers are checked on (S1)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import magnet_service
from magnet_service.generator import Generator, Program, load_version, read_archive
from magnet_service.generator.program import Constant
from magnet_service.sampling import Box, Law, parse_law
from tests.sampling.exact_tiles import Tile, exact_tiles, square
from tests.sampling.nets import Layers

FOLDER = Path(magnet_service.__file__).parent / "bundled" / "rings"


def layers_of(program: Program) -> Layers:
    """Weights of a plain ReLU network, read from its calls."""
    found: Layers = []
    for call in program.calls:
        if call.target.startswith(("aten.linear", "aten.addmm")):
            names = ("weight", "bias") if "linear" in call.target else ("mat2", "self")
            held = [call.arguments[name] for name in names]
            assert all(isinstance(value, Constant) for value in held)
            weight, bias = (program.constants[value.name].double().numpy() for value in held)
            found.append((weight, bias))
        else:
            assert call.target.startswith(("aten.relu", "aten.t.", "aten.permute")), call.target
    return found


@cache
def rings_tiles() -> list[Tile]:
    """All tiles of its prior's box."""
    return exact_tiles(layers_of(read_archive(max(FOLDER.glob("*/generator.pt2")))), square(-1.0, 1.0))


@cache
def rings() -> tuple[Generator, Law]:
    """The generator and its prior."""
    generator, card, _ = load_version(FOLDER)
    prior = parse_law(card.prior, card.latent_dim)
    assert prior == Box(2, low=-1.0, high=1.0)
    return generator, prior
