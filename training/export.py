"""Write the generators and the classifier as archives of the repository form: `python -m training.export`."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from magnet_service.generator.export import export_module
from training.classifier import load_classifier
from training.data import LABELS, tail_counts
from training.fashion import load_generator
from training.networks import FASHION_LATENT, RINGS_LATENT
from training.rings import load_rings

__all__ = ["Card", "write_classifier", "write_fashion", "write_rings"]


@dataclass(frozen=True)
class Card:
    """What `generator.toml` says of a generator."""

    name: str
    description: str
    latent_dim: int
    prior: str
    source: str
    layout: str
    bounds: tuple[float, float]
    labels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

    def text(self) -> str:
        """Return the TOML; every string is quoted as JSON, which TOML's basic strings contain."""
        lines = [
            f"name = {json.dumps(self.name)}",
            f"description = {json.dumps(self.description)}",
            f"latent_dim = {self.latent_dim}",
            f"prior = {json.dumps(self.prior)}",
            'licence = "Apache-2.0"',
            f"source = {json.dumps(self.source)}",
            "",
            "[output]",
            f"layout = {json.dumps(self.layout)}",
            f"range = [{self.bounds[0]}, {self.bounds[1]}]",
        ]
        if self.labels:
            names = ", ".join(json.dumps(label) for label in self.labels)
            shares = ", ".join(f"{share:.6f}" for share in self.shares)
            lines += ["", "[labels]", f"names = [{names}]", f"training_shares = [{shares}]"]
        return "\n".join(lines) + "\n"


def seed_of(states: Path, name: str) -> int:
    """Return the seed in the record that a training script left."""
    return int(json.loads((states / f"{name}.json").read_text())["seed"])


def write_fashion(states: Path, bundled: Path) -> None:
    """Write `fashion` from its state dict."""
    counts = tail_counts()
    folder = bundled / "fashion"
    (folder / "1").mkdir(parents=True, exist_ok=True)
    card = Card(
        name="fashion",
        description="Convolutional GAN on Fashion-MNIST made long-tailed on purpose (20:1); 28x28 grey images",
        latent_dim=FASHION_LATENT,
        prior="normal",
        source=f"training/fashion.py, seed {seed_of(states, 'fashion')}; data: Fashion-MNIST (MIT, arXiv 1708.07747)",
        layout="HW",
        bounds=(-1.0, 1.0),
        labels=LABELS,
        shares=tuple(count / sum(counts) for count in counts),
    )
    (folder / "generator.toml").write_text(card.text())
    export_module(load_generator(states / "fashion.pt"), FASHION_LATENT, folder / "1" / "generator.pt2")


def write_rings(states: Path, bundled: Path) -> None:
    """Write `rings` from its state dict."""
    folder = bundled / "rings"
    (folder / "1").mkdir(parents=True, exist_ok=True)
    card = Card(
        name="rings",
        description="Plane WGAN on Gaussians on two concentric rings; linear head, full rank on every tile",
        latent_dim=RINGS_LATENT,
        prior="uniform(low=-1, high=1)",
        source=f"training/rings.py, seed {seed_of(states, 'rings')}; data: drawn by the script",
        layout="vector",
        bounds=(-2.5, 2.5),
    )
    (folder / "generator.toml").write_text(card.text())
    export_module(load_rings(states / "rings.pt"), RINGS_LATENT, folder / "1" / "generator.pt2")


def write_classifier(states: Path, folder: Path) -> None:
    """Write the classifier: flat images of 784 pixels to ten logits, by the generators' own exporter."""
    folder.mkdir(parents=True, exist_ok=True)
    classifier = load_classifier(states / "classifier.pt")
    export_module(classifier, 784, folder / "classifier.pt2", latent_shape=(1, 28, 28))


def main() -> None:
    """Write all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=Path, default=Path("build/training"))
    parser.add_argument("--bundled", type=Path, default=Path("magnet_service/bundled"))
    parser.add_argument("--classifier", type=Path, default=Path("examples/demo/classifier"))
    options = parser.parse_args()
    write_fashion(options.states, options.bundled)
    write_rings(options.states, options.bundled)
    write_classifier(options.states, options.classifier)


if __name__ == "__main__":
    main()
