"""Train the small classifier that the demo and the evaluation use: `python -m training.classifier`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from training.data import DEFAULT_FOLDER, ImageSet, load_split
from training.networks import Classifier

__all__ = ["accuracy", "load_classifier", "train"]


def augment(images: Tensor, draws: torch.Generator) -> Tensor:
    """Return the batch, mirrored for half of the batches and shifted by up to two pixels."""
    mirror, down, right = torch.randint(0, 5, (3,), generator=draws).tolist()
    if mirror < 2:
        images = images.flip(3)
    padded = nn.functional.pad(images, (2, 2, 2, 2), value=-1.0)
    return padded[:, :, down : down + 28, right : right + 28]


@torch.no_grad()
def accuracy(classifier: Classifier, data: ImageSet) -> float:
    """Return the share of rows whose largest logit is at their label."""
    classifier.eval()
    hits = [
        classifier(data.images[start : start + 1000]).argmax(1) == data.labels[start : start + 1000]
        for start in range(0, len(data.labels), 1000)
    ]
    return torch.cat(hits).double().mean().item()


def load_classifier(path: Path) -> Classifier:
    """Return the classifier in eval mode from a state dict written by this script."""
    classifier = Classifier()
    classifier.load_state_dict(torch.load(path, weights_only=True))
    return classifier.eval()


def train(data: ImageSet, held_out: ImageSet, *, seed: int, epochs: int, batch: int = 128) -> Classifier:
    """Return a trained classifier: AdamW, one-cycle rate, shifts and mirrors."""
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    classifier: Classifier = Classifier().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = len(data.labels) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps)
    begun = time.monotonic()
    for epoch in range(epochs):
        classifier.train()
        order = torch.randperm(len(data.labels), generator=draws)
        for rows in order[: steps * batch].split(batch):
            logits = classifier(augment(data.images[rows], draws).contiguous(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits, data.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds = time.monotonic() - begun
        print(f"epoch {epoch + 1} test accuracy {accuracy(classifier, held_out):.4f} {seconds:.0f} s", flush=True)
    classifier.eval()
    return classifier


def main() -> None:
    """Train, report and write the state dict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, default=Path("build/training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    full, held_out = load_split(options.data, "train"), load_split(options.data, "test")
    classifier = train(full, held_out, seed=options.seed, epochs=options.epochs)
    torch.save(classifier.state_dict(), options.out / "classifier.pt")


if __name__ == "__main__":
    main()
