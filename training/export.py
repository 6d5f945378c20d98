"""Write the generators and the classifier as archives of the repository form: `python -m training.export`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from torch import nn

from magnet_service.generator import GeneratorCard, export_module
from magnet_service.generator.card_file import CARD_FILE, render_card
from magnet_service.generator.formats import ARCHIVE_FILE, PROBE_FILE
from magnet_service.generator.probe import probe_beside
from training.classifier import load_classifier
from training.data import LABELS, tail_counts
from training.fashion import load_generator
from training.networks import FASHION_LATENT, RINGS_LATENT
from training.rings import load_rings

__all__ = ["write_classifier", "write_fashion", "write_rings", "write_version"]


def seed_of(states: Path, name: str) -> int:
    """Return the seed in the record that a training script left."""
    return int(json.loads((states / f"{name}.json").read_text())["seed"])


def write_version(card: GeneratorCard, module: nn.Module, folder: Path) -> None:
    """Write a card and version 1 of its generator, probe included, in the form of a repository."""
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / CARD_FILE).write_text(render_card(card))
    archive = folder / "1" / ARCHIVE_FILE
    export_module(module, card.latent_dim, archive)
    probe_beside(archive).replace(folder / "1" / PROBE_FILE)


def write_fashion(states: Path, bundled: Path) -> None:
    """Write `fashion` from its state dict."""
    counts = tail_counts()
    folder = bundled / "fashion"
    card = GeneratorCard(
        name="fashion",
        description="Convolutional GAN on Fashion-MNIST made long-tailed on purpose (20:1); 28x28 grey images",
        latent_dim=FASHION_LATENT,
        prior="normal",
        licence="Apache-2.0",
        source=f"training/fashion.py, seed {seed_of(states, 'fashion')}; data: Fashion-MNIST (MIT, arXiv 1708.07747)",
        layout="HW",
        value_range=(-1.0, 1.0),
        labels=LABELS,
        training_shares=tuple(round(count / sum(counts), 6) for count in counts),
    )
    write_version(card, load_generator(states / "fashion.pt"), folder)


def write_rings(states: Path, bundled: Path) -> None:
    """Write `rings` from its state dict."""
    folder = bundled / "rings"
    card = GeneratorCard(
        name="rings",
        description="Plane WGAN on Gaussians on two concentric rings; linear head, full rank on every tile",
        latent_dim=RINGS_LATENT,
        prior="uniform(low=-1, high=1)",
        licence="Apache-2.0",
        source=f"training/rings.py, seed {seed_of(states, 'rings')}; data: drawn by the script",
        layout="vector",
        value_range=(-2.5, 2.5),
    )
    write_version(card, load_rings(states / "rings.pt"), folder)


def write_classifier(states: Path, folder: Path) -> None:
    """Write the classifier: flat images of 784 pixels to ten logits, by the generators' own exporter."""
    folder.mkdir(parents=True, exist_ok=True)
    classifier = load_classifier(states / "classifier.pt")
    export_module(classifier, 784, folder / "classifier.pt2", latent_shape=(1, 28, 28), outputs_probe=False)


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
