"""Exact slices: against `regioncam` in one run, and alone from 1e3 to 1e6 tiles and on networks it has no layers for.

The peer (regioncam 0.5.2, PyPI) computes in float32, on one thread, and without norms; ours in float64, on all threads,
with areas and norms of every tile; `one_thread_s` is ours on one. Before anything is timed the answers are checked:
known counts of tiles where there are such, areas that add up to the window's, V - E + F = 1.

`peak_mb` is what a fresh process held at most beyond what it held before it was asked, kernels compiled.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import nn

from benchmarks.networks import dense
from benchmarks.peak import resident
from benchmarks.report import Case, parser, report, seconds
from magnet_service.config import BUNDLED
from magnet_service.generator import Generator, load_version
from magnet_service.geometry import Extent, Slice, Tessellation, slice_along, slice_through, tessellate

__all__ = ["main"]

_MOST = 2_000_000
"""Tiles that any case may have."""

_SHORT, _LONG = 0.1, 15.0
"""Seconds below which a case takes ten times as many turns, and above which it has had its only one."""


@dataclass(frozen=True)
class Subject:
    """One network and the window that is cut.

    Attributes:
        name: of the case.
        make: the generator.
        half: half the window's width, around 0 of the plane or around the middle of three latents.
        boundary: whether the decision boundary is cut too.
        layers: dense layers and activations for the peer; None where there is none.
        tiles: the known count; None where there is none.
        large: left out by `--quick`.
    """

    name: str
    make: Callable[[], Generator]
    half: float = 1.0
    boundary: bool = False
    layers: Callable[[], nn.Sequential] | None = None
    tiles: int | None = None
    large: bool = False

    def cut(self, threads: int | None = None) -> Tessellation:
        """The tiles."""
        generator = self.make()
        where = window(generator, self.half)
        return tessellate(generator, where, boundary=self.boundary, threads=threads, max_tiles=_MOST)


@cache
def window(generator: Generator, half: float) -> Slice:
    """A square of the plane: of the latent space itself where that is one, else through three latents of seed 0."""
    if generator.latent_dim == 2:
        return slice_along(torch.zeros(2), torch.eye(2), (-half, half, -half, half))
    latents = torch.randn(3, generator.latent_dim, generator=torch.Generator().manual_seed(0))
    plane = slice_through(latents)
    x, y = plane.project(latents.double()).mean(0).tolist()
    return replace(plane, window=slice_along(latents[0], plane.frame, (x - half, x + half, y - half, y + half)).window)


def stack(inputs: int, *widths: int, seed: int = 0) -> nn.Sequential:
    """Default linear layers, made in order after the seed, with ReLU in between."""
    torch.manual_seed(seed)
    return dense(inputs, widths[:-1], widths[-1])


def mlp(name: str, *widths: int, seed: int = 0, tiles: int | None = None) -> Subject:
    """A stack whose only output's zero set is cut too."""
    return Subject(
        name,
        cache(lambda: Generator.from_module(stack(*widths, seed=seed), widths[0])),
        boundary=True,
        layers=lambda: stack(*widths, seed=seed),
        tiles=tiles,
    )


def alone(name: str, *widths: int) -> Subject:
    """A stack that the peer is not asked for; `--quick` leaves out the widest."""
    return replace(mlp(name, *widths), layers=None, large=widths[1] * (len(widths) - 2) > 2000)


@cache
def bundled(name: str) -> Generator:
    """A generator that lies in the package."""
    return load_version(BUNDLED / name)[0]


def rings() -> nn.Sequential:
    """The layers of the bundled generator `rings`."""
    layers: list[nn.Module] = []
    for node in bundled("rings").graph.nodes:
        if node.operation == "relu":
            layers.append(nn.ReLU())
            continue
        weight, bias = node.tensors["weight"], node.tensors["bias"]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias})
        layers.append(linear)
    return nn.Sequential(*layers)


@cache
def conv() -> Generator:
    """Five convolutions of 96, 128, 160, 192 and 224 channels on 3 x 64 x 64, strides 1, 2, 2, 2, 2; two logits."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for width in (96, 128, 160, 192, 224):
        layers += [nn.Conv2d(channels, width, 3, stride=1 if channels == 3 else 2, padding=1), nn.ReLU()]
        channels = width
    layers += [nn.Flatten(), nn.Linear(channels * 16, 2)]
    return Generator.from_module(nn.Sequential(*layers), 3 * 64 * 64, latent_shape=(3, 64, 64))


@cache
def vgg() -> Generator:
    """VGG11 with batch norms on 3 x 64 x 64: eight convolutions, five max-pools, 200 logits."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(channels * 4, 512), nn.ReLU(), nn.Linear(512, 200)]
    return Generator.from_module(nn.Sequential(*layers).eval(), 3 * 64 * 64, latent_shape=(3, 64, 64))


SUBJECTS = (
    mlp("mlp-2-100x5", 2, *(100,) * 5, 1, tiles=21_232),
    mlp("mlp-2-200x8", 2, *(200,) * 8, 1, seed=1, tiles=108_364),
    mlp("mlp-2-960", 2, 960, 1, tiles=165_599),
    mlp("mlp-2-32x16", 2, *(32,) * 16, 1),
    Subject("rings", lambda: bundled("rings"), layers=rings),
    *(alone(f"mlp-2-{width}-alone", 2, width, 1) for width in (74, 235, 743, 2350)),
    *(alone(f"mlp-2-{width}x5-alone", 2, *(width,) * 5, 1) for width in (33, 70, 215, 550)),
    *(Subject(f"fashion-{half}", lambda: bundled("fashion"), half=half) for half in (0.01, 0.02, 0.045)),
    *(Subject(f"conv5-{half}", conv, half=half) for half in (0.005, 0.02, 0.07)),
    *(Subject(f"vgg11-{half}", vgg, half=half, large=half > 0.03) for half in (0.002, 0.01, 0.03, 0.055)),
)


def by_peer(layers: nn.Sequential, boundary: bool, half: float) -> int:
    """Tiles by regioncam; the zero set is one more unit."""
    import regioncam

    found = regioncam.Regioncam(size=half)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            found.linear(layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy())
        else:
            found.relu()
    if boundary:
        found.sign()
    return int(found.num_faces)


def area_error(found: Tessellation) -> float:
    """How far the areas of the tiles are from adding up to the window's, as a share of it."""
    return abs(float(found.areas.sum()) / found.slice.area - 1)


def checked(subject: Subject) -> Tessellation:
    """The tiles, where they are what is known of them.

    Raises:
        RuntimeError: they are not.
    """
    found = subject.cut()
    error = area_error(found)
    euler = len(found.points) - len(found.ends) + found.tiles
    if (
        found.extent is not Extent.COMPLETE
        or error > 1e-9
        or euler != 1
        or found.tiles != (subject.tiles or found.tiles)
    ):
        raise RuntimeError(
            f"{subject.name}: {found.tiles} tiles, {found.extent}, area error {error}, V - E + F = {euler}"
        )
    inner = (found.sides >= 0).all(axis=1)
    if not np.isfinite(found.frobenius_norms).all() or (found.sides[inner, 0] == found.sides[inner, 1]).any():
        raise RuntimeError(f"{subject.name}: norms that are not finite, or a tile beside itself")
    return found


def peak(name: str) -> int:
    """Bytes that this process held at most while a subject was cut, beyond those before."""
    warm = mlp("warm", 2, 8, 8, 1)
    warm.cut()
    subject = next(subject for subject in SUBJECTS if subject.name == name)
    subject.make()
    before = resident("VmRSS")
    subject.cut()
    return max(0, resident("VmHWM") - before)


def peak_of(subject: Subject) -> float | None:
    """`peak` in a process of its own, in 2^20 bytes; None where the system does not say."""
    command = [sys.executable, "-m", "benchmarks.slice", "--peak", subject.name]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(told) / 2**20 or None


def case(subject: Subject, rounds: int) -> Case:
    """Checks one subject, then times it, in turns with the peer where there is one."""
    start = time.perf_counter()
    found = checked(subject)
    first = time.perf_counter() - start
    rivals: dict[str, Callable[[], object]] = {"ours": subject.cut}
    theirs = None
    if subject.layers is not None and importlib.util.find_spec("regioncam") is not None:
        layers, boundary, half = subject.layers(), subject.boundary, subject.half
        theirs = by_peer(layers, boundary, half)
        rivals |= {"one_thread": lambda: subject.cut(1), "regioncam": lambda: by_peer(layers, boundary, half)}
    taken = {"ours": first} if first > _LONG else seconds(rivals, rounds if first > _SHORT else 10 * rounds)
    return {
        "name": subject.name,
        "tiles": found.tiles,
        "tiles_regioncam": theirs,
        "ours_s": taken["ours"],
        "one_thread_s": taken.get("one_thread"),
        "regioncam_s": taken.get("regioncam"),
        "over_regioncam": taken["regioncam"] / taken["ours"] if theirs else None,
        "over_regioncam_one_thread": taken["regioncam"] / taken["one_thread"] if theirs else None,
        "tiles_per_s": found.tiles / taken["ours"],
        "area_error": area_error(found),
        "peak_mb": peak_of(subject),
        "merged": found.merged,
    }


def main() -> None:
    """Runs all cases and writes the report."""
    options = parser("slice", __doc__)
    options.set_defaults(rounds=3)
    options.add_argument("--quick", action="store_true", help="without the largest windows")
    options.add_argument("--only", default="", help="cases whose name begins so")
    options.add_argument("--peak", help="print the peak of one case, in bytes, and end")
    given = options.parse_args()
    if given.peak:
        print(peak(given.peak))
        return
    cases = []
    for subject in SUBJECTS:
        if subject.name.startswith(given.only) and not (given.quick and subject.large):
            cases.append(case(subject, given.rounds))
            print(json.dumps(cases[-1]), flush=True)
    report(given.json, cases)


if __name__ == "__main__":
    main()
