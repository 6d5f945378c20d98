"""Train the bundled `fashion` generator on long-tailed Fashion-MNIST: `python -m training.fashion`.

Hinge loss, spectral norm in the critic, shifts of real and generated images alike (Zhao et al. 2020, arXiv 2006.10738)
and an averaged generator. The kept checkpoint is the one with the smallest Frechet distance in the classifier's
features to the long-tailed training set.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from training.classifier import load_classifier
from training.data import DEFAULT_FOLDER, load_split, long_tailed
from training.metrics import frechet_distance, total_variation
from training.networks import FASHION_LATENT, Classifier, FashionCritic, fashion_generator
from training.record import write_record

__all__ = ["features_of", "load_generator", "report", "sample", "settle_batch_norm", "shifted", "train"]


def shifted(images: Tensor, draws: torch.Generator) -> Tensor:
    """Return the images, each moved by up to two pixels down and right, black moving in."""
    padded = nn.functional.pad(images, (2, 2, 2, 2), value=-1.0)
    corner = torch.randint(0, 5, (2, len(images), 1, 1), generator=draws)
    span = torch.arange(28)
    rows = corner[0] + span[:, None]
    columns = corner[1] + span[None, :]
    return padded[torch.arange(len(images))[:, None, None], 0, rows, columns].unsqueeze(1)


@torch.no_grad()
def settle_batch_norm(generator: nn.Module, *, seed: int, rows: int = 50_000, batch: int = 1000) -> None:
    """Set the running statistics of every BatchNorm to the plain average over batches of prior latents."""
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    draws = torch.Generator().manual_seed(seed)
    generator.train()
    for _ in range(rows // batch):
        generator(torch.randn(batch, FASHION_LATENT, generator=draws))
    generator.eval()


@torch.no_grad()
def sample(generator: nn.Module, rows: int, *, seed: int) -> Tensor:
    """Return images of prior latents, (rows, 1, 28, 28), from a generator in eval mode."""
    latents = torch.randn(rows, FASHION_LATENT, generator=torch.Generator().manual_seed(seed))
    return torch.cat([generator(part) for part in latents.split(1000)])


def load_generator(path: Path) -> nn.Sequential:
    """Return the generator in eval mode from a state dict written by this script."""
    generator = fashion_generator()
    generator.load_state_dict(torch.load(path, weights_only=True))
    return generator.eval()


@torch.no_grad()
def features_of(classifier: Classifier, images: Tensor) -> Tensor:
    """Return the classifier's features, (rows, 96)."""
    return torch.cat([classifier.features(part) for part in images.split(1000)])


def report(averaged: nn.Module, classifier: Classifier, target: Tensor, step: int) -> tuple[float, nn.Module]:
    """Print how the averaged generator stands and return its Frechet distance and a settled copy."""
    settled = copy.deepcopy(averaged)
    settle_batch_norm(settled, seed=step, rows=10_000)
    features = features_of(classifier, sample(settled, 10_000, seed=0))
    with torch.no_grad():
        likely = classifier.head(features).softmax(1)
    distance = frechet_distance(target, features)
    shares = torch.bincount(likely.argmax(1), minlength=10).double() / len(likely)
    listed = " ".join(f"{share:.3f}" for share in shares.tolist())
    top = likely.amax(1).mean().item()
    print(f"  frechet {distance:.3f} tv {total_variation(shares):.3f} top {top:.3f} shares {listed}", flush=True)
    return distance, settled


def train(
    images: Tensor,
    classifier: Classifier,
    out: Path,
    *,
    seed: int,
    steps: int,
    batch: int,
    every: int,
    begin: int,
) -> int:
    """Train, write `fashion.pt` in `out`, the checkpoint with the smallest Frechet distance, and return its update.

    Arguments:
        images: training set, (rows, 1, 28, 28) in [-1, 1].
        classifier: gives the features that choose the checkpoint.
        out: folder of the state dicts.
        seed: of weights, batches, latents and shifts.
        steps: length of the schedule of the rates, in generator updates; each follows one critic update.
        batch: rows of one update, a multiple of 8.
        every: updates between two reports.
        begin: update from which the averaging decay is 0.999.
    """
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    generator = fashion_generator().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
    critic = FashionCritic().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
    averaged = copy.deepcopy(generator).requires_grad_(False)
    pull = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.0, 0.9), fused=True)
    push = torch.optim.Adam(critic.parameters(), lr=4e-4, betas=(0.0, 0.9), fused=True)
    fade = max(1, steps // 4)
    target = features_of(classifier, images)
    best, chosen = float("inf"), 0
    begun = time.monotonic()
    for step in range(1, steps + 1):
        # The last quarter fades both rates to a tenth: the hinge game circles less and the average settles.
        rate = min(1.0, 0.1 + 0.9 * (steps - step) / fade)
        for optimizer, top in ((pull, 2e-4), (push, 4e-4)):
            for group in optimizer.param_groups:
                group["lr"] = top * rate
        real = images[torch.randint(0, len(images), (batch,), generator=draws)]
        fake = generator(torch.randn(batch, FASHION_LATENT, generator=draws))
        critic.requires_grad_(True)
        scores_real = critic(shifted(real, draws))
        scores_fake = critic(shifted(fake.detach(), draws))
        loss = (1.0 - scores_real).relu().mean() + (1.0 + scores_fake).relu().mean()
        push.zero_grad()
        loss.backward()
        push.step()
        # The same fakes serve both updates: the critic saw them detached, and a forward of the generator is saved.
        critic.requires_grad_(False)
        gain = -critic(shifted(fake, draws)).mean()
        pull.zero_grad()
        gain.backward()
        pull.step()
        decay = 0.999 if step > begin else 0.99
        with torch.no_grad():
            for mean, now in zip(averaged.parameters(), generator.parameters(), strict=True):
                mean.lerp_(now, 1.0 - decay)
        if step % every == 0 or step == steps:
            print(f"step {step} critic {loss.item():.3f} gain {gain.item():.3f} {time.monotonic() - begun:.0f} s")
            distance, settled = report(averaged, classifier, target, step)
            torch.save(settled.state_dict(), out / "fashion-latest.pt")
            if distance < best:
                best, chosen = distance, step
                torch.save(settled.state_dict(), out / "fashion.pt")
    return chosen


def main() -> None:
    """Train and write the state dicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, default=Path("build/training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=15_000, help="updates of the generator")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    classifier = load_classifier(options.out / "classifier.pt")
    images = long_tailed(load_split(options.data, "train")).images
    begun = time.monotonic()
    chosen = train(
        images,
        classifier,
        options.out,
        seed=options.seed,
        steps=options.steps,
        batch=options.batch,
        every=options.every,
        begin=1000,
    )
    write_record(
        options.out / "fashion.json",
        seed=options.seed,
        steps=options.steps,
        batch=options.batch,
        every=options.every,
        chosen_step=chosen,
        seconds=time.monotonic() - begun,
    )


if __name__ == "__main__":
    main()
