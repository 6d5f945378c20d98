"""Second stage of the `fashion` training, against a sharper critic: `python -m training.refine`.

The critic of the first stage is bounded by its spectral norms and hardly tells the two sets apart in the end. This one
is free, held by a penalty on its slope at real images (R1, Mescheder et al. 2018, arXiv 1801.04406), with the logistic
loss. The first updates train the critic alone.
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
from training.fashion import features_of, load_generator, report, shifted
from training.networks import FASHION_LATENT, Classifier, FashionCritic
from training.record import write_record

__all__ = ["refine"]

ALONE = 200
PENALTY = 0.1
PENALTY_EVERY = 8
AVERAGE = 0.998
RATES = (3e-4, 4e-4)


def slope_penalty(critic: nn.Module, real: Tensor) -> Tensor:
    """Return the mean squared slope of the critic at the real images."""
    real = real.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
    return slope.square().sum(dim=(1, 2, 3)).mean()


def refine(
    start: nn.Module, images: Tensor, classifier: Classifier, out: Path, *, seed: int, steps: int, batch: int, every: int
) -> int:
    """Train on, write `refined.pt` in `out`, the checkpoint with the smallest Frechet distance, and return its update.

    Arguments:
        start: the generator of the first stage.
        images: training set, (rows, 1, 28, 28) in [-1, 1].
        classifier: gives the features that choose the checkpoint.
        out: folder of the state dicts.
        seed: of the critic, batches, latents and shifts.
        steps: critic updates; from the 200th on the generator moves with it.
        batch: rows of one update, a multiple of 8.
        every: updates between two reports.
    """
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    generator = copy.deepcopy(start).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # stub lacks it
    critic = FashionCritic(spectral=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
    averaged = copy.deepcopy(generator).requires_grad_(False)
    pull = torch.optim.Adam(generator.parameters(), lr=RATES[0], betas=(0.0, 0.99), fused=True)
    push = torch.optim.Adam(critic.parameters(), lr=RATES[1], betas=(0.0, 0.99), fused=True)
    softplus = nn.functional.softplus
    target = features_of(classifier, images)
    best, chosen = float("inf"), 0
    begun = time.monotonic()
    for step in range(1, steps + 1):
        rate = min(1.0, 0.05 + 2.0 * (steps - step) / steps)
        pull.param_groups[0]["lr"], push.param_groups[0]["lr"] = RATES[0] * rate, RATES[1] * rate
        real = shifted(images[torch.randint(0, len(images), (batch,), generator=draws)], draws)
        critic.requires_grad_(True)
        # bfloat16 products: a third faster on CPUs that have them, and the game is noisier than they are.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fake = generator(torch.randn(batch, FASHION_LATENT, generator=draws))
            scores_real, scores_fake = critic(real), critic(shifted(fake.detach().float(), draws))
        loss = softplus(-scores_real.float()).mean() + softplus(scores_fake.float()).mean()
        if step % PENALTY_EVERY == 0:
            loss = loss + 0.5 * PENALTY * PENALTY_EVERY * slope_penalty(critic, real[: batch // 2])
        push.zero_grad()
        loss.backward()
        push.step()
        if step > ALONE:
            critic.requires_grad_(False)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                scores = critic(shifted(fake.float(), draws))
            gain = softplus(-scores.float()).mean()
            pull.zero_grad()
            gain.backward()
            pull.step()
            with torch.no_grad():
                for mean, now in zip(averaged.parameters(), generator.parameters(), strict=True):
                    mean.lerp_(now, 1.0 - AVERAGE)
        if step % every == 0 or step == steps:
            print(f"step {step} critic {loss.item():.3f} {time.monotonic() - begun:.0f} s")
            distance, settled = report(averaged, classifier, target, step)
            torch.save(settled.state_dict(), out / "refined-latest.pt")
            if distance < best:
                best, chosen = distance, step
                torch.save(settled.state_dict(), out / "refined.pt")
    return chosen


def main() -> None:
    """Refine and write the state dict and its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, default=Path("build/training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4800)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--every", type=int, default=600)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = long_tailed(load_split(options.data, "train")).images
    begun = time.monotonic()
    chosen = refine(
        load_generator(options.out / "fashion.pt"),
        images,
        load_classifier(options.out / "classifier.pt"),
        options.out,
        seed=options.seed,
        steps=options.steps,
        batch=options.batch,
        every=options.every,
    )
    write_record(
        options.out / "refined.json",
        seed=options.seed,
        steps=options.steps,
        batch=options.batch,
        every=options.every,
        chosen_step=chosen,
        seconds=time.monotonic() - begun,
    )


if __name__ == "__main__":
    main()
