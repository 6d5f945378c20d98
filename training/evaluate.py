"""Measure the trained generators and write their model cards: `python -m training.evaluate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from magnet_service.generator import Generator
from magnet_service.geometry import volumes
from training.cards import fashion_card, rings_card
from training.classifier import accuracy, load_classifier
from training.data import DEFAULT_FOLDER, LABELS, load_split, long_tailed, tail_counts
from training.fashion import features_of, load_generator, sample
from training.metrics import frechet_distance, precision_recall, total_variation
from training.networks import FASHION_LATENT, Classifier
from training.reweighting import best, outcome
from training.rings import MIXTURE, SPREAD, centres_and_shares, draw_latents, draw_mixture, load_rings
from training.tiles import tessellate

__all__ = ["measure_fashion", "measure_rings"]

DRAWS = 10_000
NEIGHBOURS = 5
MANIFOLD_ROWS = 5_000


@torch.no_grad()
def probabilities(classifier: Classifier, features: Tensor) -> Tensor:
    """Return class probabilities from features, (rows, 10)."""
    found: Tensor = classifier.head(features).softmax(1)
    return found


def measure_fashion(data: Path, states: Path, *, rows: int) -> dict[str, object]:
    """Return every figure of the fashion card.

    Arguments:
        data: folder of Fashion-MNIST.
        states: folder of the state dicts and records.
        rows: prior latents of the reweighting table; the first half chooses, the second half reports.
    """
    classifier = load_classifier(states / "classifier.pt")
    generator = load_generator(states / "fashion.pt")
    train = long_tailed(load_split(data, "train"))
    counts = tail_counts()
    rare = tuple(sorted(sorted(range(len(counts)), key=lambda index: counts[index])[:3]))

    real = features_of(classifier, train.images)
    fake = features_of(classifier, sample(generator, DRAWS, seed=11))
    likely = probabilities(classifier, fake)
    shares = torch.bincount(likely.argmax(1), minlength=len(LABELS)).double() / DRAWS
    shuffled = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
    some = real[shuffled[:MANIFOLD_ROWS]]
    precision, recall = precision_recall(some, fake[:MANIFOLD_ROWS], NEIGHBOURS)
    halves = frechet_distance(real[shuffled[: len(real) // 2]], real[shuffled[len(real) // 2 :]])

    latents = torch.randn(rows, FASHION_LATENT, generator=torch.Generator().manual_seed(12))
    with torch.no_grad():
        images = torch.cat([generator(part) for part in latents.split(1000)])
    bank_likely = probabilities(classifier, features_of(classifier, images))
    found = volumes(Generator.from_module(generator, FASHION_LATENT), latents)
    logs, rank = found.log_singular_values, found.rank
    half = rows // 2
    chosen, grid = best(logs[:half], bank_likely[:half], rare)
    held = logs[half:], bank_likely[half:]
    return {
        "record": json.loads((states / "fashion.json").read_text()),
        "accuracy": accuracy(classifier, load_split(data, "test")),
        "latent": FASHION_LATENT,
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "counts": counts,
        "training_shares": train.shares(),
        "training_tv": total_variation(torch.tensor(train.shares())),
        "rare": rare,
        "shares": shares.tolist(),
        "tv": total_variation(shares),
        "top": likely.amax(1).mean().item(),
        "real_top": probabilities(classifier, real).amax(1).mean().item(),
        "frechet": frechet_distance(real, fake),
        "frechet_halves": halves,
        "neighbours": NEIGHBOURS,
        "manifold_rows": MANIFOLD_ROWS,
        "precision": precision,
        "recall": recall,
        "log_volume_sd": {k: logs[:, :k].sum(1).std().item() for k in range(1, FASHION_LATENT + 1)},
        "rank": (int(rank.min()), int(rank.max())),
        "half": half,
        "plain": outcome(*held, 0.0, 1, rare, resamples=200),
        "chosen": outcome(*held, chosen.rho, chosen.k, rare, resamples=200),
        "first_half": chosen,
        "grid": grid,
    }


def measure_rings(states: Path) -> dict[str, object]:
    """Return every figure of the rings card."""
    generator = load_rings(states / "rings.pt")
    draws = torch.Generator().manual_seed(11)
    with torch.no_grad():
        points = generator(draw_latents(DRAWS, draws))
    real = draw_mixture(DRAWS, draws)
    centres, chances = centres_and_shares()
    near = torch.cdist(points, centres).min(1)
    return {
        "record": json.loads((states / "rings.json").read_text()),
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "mixture": MIXTURE,
        "spread": SPREAD,
        "chances": chances.tolist(),
        "shares": (torch.bincount(near.indices, minlength=len(centres)).double() / DRAWS).tolist(),
        "inside": (near.values <= 3 * SPREAD).double().mean().item(),
        "real_inside": (torch.cdist(real, centres).amin(1) <= 3 * SPREAD).double().mean().item(),
        "tessellation": tessellate(generator),
    }


def main() -> None:
    """Measure and write both cards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--states", type=Path, default=Path("build/training"))
    parser.add_argument("--bundled", type=Path, default=Path("magnet_service/bundled"))
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    (options.bundled / "rings").mkdir(parents=True, exist_ok=True)
    (options.bundled / "rings" / "CARD.md").write_text(rings_card(measure_rings(options.states)))
    (options.bundled / "fashion").mkdir(parents=True, exist_ok=True)
    figures = measure_fashion(options.data, options.states, rows=options.rows)
    (options.bundled / "fashion" / "CARD.md").write_text(fashion_card(figures))


if __name__ == "__main__":
    main()
