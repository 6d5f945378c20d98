"""`magnet generator add --latent-node --features`, and what follows from it, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magnet_service.errors import InvalidInput, UnknownResource
from magnet_service.generator import add_generator, load_version, read_card
from tests.cli.conftest import Magnet
from tests.composition.networks import INNER, OUTER, exported


@pytest.fixture
def magnet(tmp_path: Path) -> Magnet:
    return Magnet(MAGNET_STORE=str(tmp_path / "store"), MAGNET_THREADS="1", MAGNET_REPOSITORIES=None)


def added(magnet: Magnet, exports: tuple[Path, Path, str], own: Path) -> dict[str, Any]:
    file, net, name = exports
    arguments = ("--latent-node", name, "--features", net, "--repository", own, "--rank-latents", 16)
    found: dict[str, Any] = magnet.json("generator", "add", "faces", file, *arguments)
    return found


def test_adds_shows_builds_and_samples(magnet: Magnet, exports: tuple[Path, Path, str], tmp_path: Path) -> None:
    own = tmp_path / "own"
    found = added(magnet, exports, own)
    assert (found["latent_dim"], found["latent_node"], found["features"]) == (INNER, exports[2], "vgg.pt2")
    assert found["prior"] == f"pushforward(dim={INNER},source=normal(dim={OUTER}))"
    card = (own / "faces" / "generator.toml").read_text()
    assert f'latent_node = "{exports[2]}"' in card
    assert 'features = "vgg.pt2"' in card
    assert sorted(path.name for path in (own / "faces").iterdir()) == ["1", "generator.toml", "vgg.pt2"]
    shown = magnet.done("generator", "show", "faces", "--local", "--repository", own)
    assert exports[2] in shown
    assert "vgg.pt2" in shown
    local = ("--local", "--repository", own)
    error = magnet.error(1, "sample", "faces", "--rho", 0.2, "--manifold", "features", *local)
    assert "magnet bank build faces@1 --manifold features" in error
    magnet.done("bank", "build", "faces", "--rows", 256, "--manifold", "features", *local)
    target = tmp_path / "draw.npz"
    magnet.done(
        "sample", "faces", "--rho", 0.2, "--top-k", 2, "--manifold", "features", "--count", 4, "--out", target, *local
    )
    with np.load(target) as arrays:
        assert arrays["images"].shape == (4, 8, 8)
    said = magnet.error(2, "bank", "build", "faces", "--base", "uniform", *local)
    assert "--ball-radius" in said or "ball_radius" in said
    magnet.done("generator", "verify", "faces", "--repository", own, "--rank-latents", 4)


@pytest.mark.long
def test_a_second_version_reads_the_same_features(exports: tuple[Path, Path, str], tmp_path: Path) -> None:
    file, net, name = exports
    add_generator(tmp_path, "faces", file, latent_node=name, features=net)
    other = tmp_path / "other"
    other.mkdir()
    second, _ = exported(other, 5)
    card, version, verification = add_generator(tmp_path, "faces", second, new_version=True)
    assert (version, card.latent_node, card.features) == (2, name, "vgg.pt2")
    assert verification.jacobian_error < 1e-6
    first, second_one = (load_version(tmp_path / "faces", number)[0] for number in (1, 2))
    assert first.digest != second_one.digest
    assert first.composition.features is not None
    assert second_one.composition.features is not None
    assert first.composition.features.digest() == second_one.composition.features.digest()
    assert read_card(tmp_path / "faces") == card
    (tmp_path / "faces" / "vgg.pt2").unlink()
    with pytest.raises(UnknownResource, match=r"features = 'vgg\.pt2', and neither"):
        load_version(tmp_path / "faces")


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--latent-node", "w"), 1, "no value 'w'. One-dimensional values that all that follows depends on alone: "),
        (("--latent-node", "tanh"), 1, "it is the output itself"),
        (("--features", "FILE"), 2, "--features: The outputs have shape [1, 8, 8], and the feature network takes [5]"),
        (("--features", "nowhere.pt2"), 2, "--features: There is no file nowhere.pt2"),
    ],
)
def test_what_cannot_be_composed_leaves_nothing_behind(
    magnet: Magnet, exports: tuple[Path, Path, str], tmp_path: Path, options: tuple[str, ...], code: int, says: str
) -> None:
    own = tmp_path / "own"
    chosen = tuple(str(exports[0]) if option == "FILE" else option for option in options)
    assert says in magnet.error(code, "generator", "add", "faces", exports[0], *chosen, "--repository", own)
    assert not own.exists() or not any(own.iterdir())


def test_a_card_that_names_a_file_elsewhere_is_refused(exports: tuple[Path, Path, str], tmp_path: Path) -> None:
    file, net, name = exports
    add_generator(tmp_path, "faces", file, latent_node=name, features=net)
    path = tmp_path / "faces" / "generator.toml"
    path.write_text(path.read_text().replace('"vgg.pt2"', '"../vgg.pt2"'))
    with pytest.raises(InvalidInput, match=r"features: write the name of a \.pt2 or \.onnx file"):
        read_card(tmp_path / "faces")
