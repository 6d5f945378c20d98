"""Train the bundled `rings` generator, a plane WGAN toy: `python -m training.rings`.

The mixture follows the idea of the 2-D WGAN toy in the survey of Humayun et al. 2024 (arXiv 2408.04809, Figure 12),
whose architecture is not given there: Gaussians on two concentric rings, the inner one denser. WGAN with gradient
penalty (Gulrajani et al. 2017, arXiv 1704.00028), latents uniform on [-1, 1]^2.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from training.networks import RINGS_LATENT, rings_critic, rings_generator
from training.record import write_record
from training.tiles import tessellate

__all__ = ["MIXTURE", "SPREAD", "centres_and_shares", "draw_latents", "draw_mixture", "load_rings", "train"]

# One row a ring: Gaussians, radius, share of the whole ring.
MIXTURE = ((4, 0.6, 0.5), (8, 1.6, 0.5))
SPREAD = 0.22


def centres_and_shares() -> tuple[Tensor, Tensor]:
    """Return the means of the Gaussians, (modes, 2), and their shares, (modes,)."""
    centres, shares = [], []
    for count, radius, share in MIXTURE:
        angles = torch.arange(count) * (2 * torch.pi / count)
        centres.append(radius * torch.stack([angles.cos(), angles.sin()], dim=1))
        shares.append(torch.full((count,), share / count))
    return torch.cat(centres), torch.cat(shares)


def draw_mixture(rows: int, draws: torch.Generator) -> Tensor:
    """Return points of the mixture, (rows, 2): a ring by its share, one of its Gaussians evenly, a normal step."""
    centres, shares = centres_and_shares()
    picked = torch.multinomial(shares, rows, replacement=True, generator=draws)
    return centres[picked] + SPREAD * torch.randn(rows, 2, generator=draws)


def draw_latents(rows: int, draws: torch.Generator) -> Tensor:
    """Return prior latents, (rows, 2), uniform on [-1, 1]^2."""
    return torch.rand(rows, RINGS_LATENT, generator=draws) * 2.0 - 1.0


def load_rings(path: Path) -> nn.Sequential:
    """Return the generator in eval mode from a state dict written by this script."""
    generator = rings_generator()
    generator.load_state_dict(torch.load(path, weights_only=True))
    return generator.eval()


def penalty(critic: nn.Module, real: Tensor, fake: Tensor, draws: torch.Generator) -> Tensor:
    """Return the mean of (|gradient| - 1)^2 at random points between real and fake."""
    mix = torch.rand(len(real), 1, generator=draws)
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    mean: Tensor = (slope.norm(dim=1) - 1.0).square().mean()
    return mean


def train(*, seed: int, steps: int, batch: int, inner: int, weight: float) -> nn.Sequential:
    """Return the averaged generator after `steps` updates, each after `inner` critic updates.

    Arguments:
        seed: of weights, latents and points.
        steps: generator updates.
        batch: rows of one update.
        inner: critic updates before each.
        weight: factor of the gradient penalty.
    """
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    generator, critic = rings_generator(), rings_critic()
    averaged = copy.deepcopy(generator).requires_grad_(False)
    pull = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.9), fused=True)
    push = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.9), fused=True)
    begun = time.monotonic()
    for step in range(1, steps + 1):
        rate = min(1.0, 2.0 * (steps - step) / steps + 0.02)
        pull.param_groups[0]["lr"], push.param_groups[0]["lr"] = 1e-3 * rate, 2e-3 * rate
        for _ in range(inner):
            real = draw_mixture(batch, draws)
            fake = generator(draw_latents(batch, draws)).detach()
            loss = critic(fake).mean() - critic(real).mean() + weight * penalty(critic, real, fake, draws)
            push.zero_grad()
            loss.backward()
            push.step()
        gain = -critic(generator(draw_latents(batch, draws))).mean()
        pull.zero_grad()
        gain.backward()
        pull.step()
        with torch.no_grad():
            for mean, now in zip(averaged.parameters(), generator.parameters(), strict=True):
                mean.lerp_(now, 1.0 - 0.99)
        if step % 1000 == 0:
            print(f"step {step} critic {loss.item():.3f} {time.monotonic() - begun:.0f} s", flush=True)
    return averaged.eval()


def main() -> None:
    """Train, measure every tile and write the state dict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/training"))
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--inner", type=int, default=3)
    parser.add_argument("--weight", type=float, default=0.1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    generator = train(
        seed=options.seed, steps=options.steps, batch=options.batch, inner=options.inner, weight=options.weight
    )
    torch.save(generator.state_dict(), options.out / "rings.pt")
    write_record(
        options.out / "rings.json",
        seed=options.seed,
        steps=options.steps,
        batch=options.batch,
        inner=options.inner,
        weight=options.weight,
        seconds=time.monotonic() - begun,
    )
    print(tessellate(generator).summary())


if __name__ == "__main__":
    main()
