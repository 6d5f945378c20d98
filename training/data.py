"""Fashion-MNIST from the Debian package, whole or made long-tailed on purpose."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = ["DEFAULT_FOLDER", "LABELS", "ImageSet", "load_split", "long_tailed", "tail_counts"]

DEFAULT_FOLDER = Path("/usr/share/datasets/fashion-mnist")

LABELS = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

PREFIXES = {"train": "train", "test": "t10k"}
CLASS_SIZE = 6000
TAIL_RATIO = 20.0


@dataclass(frozen=True)
class ImageSet:
    """Images in [-1, 1] with their labels.

    Arguments:
        images: float32, (rows, 1, 28, 28), -1 is black.
        labels: int64, (rows,), indices into `LABELS`.
    """

    images: Tensor
    labels: Tensor

    def shares(self) -> tuple[float, ...]:
        """Return the share of each class among the rows."""
        counts = torch.bincount(self.labels, minlength=len(LABELS)).double()
        return tuple((counts / counts.sum()).tolist())


def read_idx(path: Path, header: int) -> np.ndarray:
    """Return the bytes of a gzipped IDX file after its header."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run `apt-get install dataset-fashion-mnist` or pass --data FOLDER")
    with gzip.open(path, "rb") as stream:
        return np.frombuffer(stream.read(), dtype=np.uint8, offset=header)


def load_split(folder: Path, split: str) -> ImageSet:
    """Return one split of Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747), classes balanced.

    Arguments:
        folder: where the four `*-ubyte.gz` files lie.
        split: `train` (60,000 rows) or `test` (10,000 rows).

    Returns:
        The split in file order, pixels p mapped to p / 127.5 - 1.

    Raises:
        FileNotFoundError: a file is missing; the message names the package that holds it.
    """
    prefix = PREFIXES[split]
    pixels = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 8)
    images = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1.0)
    return ImageSet(images, torch.from_numpy(labels.astype(np.int64)))


def tail_counts() -> tuple[int, ...]:
    """Return the rows kept of each class: 6000 * 20^(-c / 9) for class c, in the natural label order."""
    last = len(LABELS) - 1
    return tuple(round(CLASS_SIZE * TAIL_RATIO ** (-index / last)) for index in range(last + 1))


def long_tailed(full: ImageSet) -> ImageSet:
    """Return the long-tailed subset: the first `tail_counts()[c]` rows of each class c, in file order."""
    keep = torch.zeros(len(full.labels), dtype=torch.bool)
    for index, count in enumerate(tail_counts()):
        rows = (full.labels == index).nonzero().squeeze(1)[:count]
        keep[rows] = True
    return ImageSet(full.images[keep], full.labels[keep])
