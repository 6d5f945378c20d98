"""The classifier that labels images for the demo and for evaluation; it never takes part in a draw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from magnet_service.generator import Generator, read_archive

__all__ = ["Classifier", "Labels"]

ARCHIVE = Path(__file__).parent / "classifier" / "classifier.pt2"


@dataclass(frozen=True)
class Labels:
    """What the classifier says of each image.

    Attributes:
        classes: [rows] index of the most probable class.
        top_probability: [rows] its softmax probability, 0 to 1.
    """

    classes: NDArray[np.int64]
    top_probability: NDArray[np.float64]


class Classifier:
    """A small convolutional classifier of 28x28 garments, read by the service's own archive reader.

    Accuracy: see `training/README.md` for its test accuracy on the balanced Fashion-MNIST test set.
    """

    def __init__(self, archive: Path = ARCHIVE) -> None:
        # An archive of one tensor in and one out; "latent" here is the flattened image.
        self._graph = Generator.from_program(read_archive(archive))

    def label(self, images: NDArray[np.uint8], *, low: float = -1.0, high: float = 1.0, batch: int = 512) -> Labels:
        """Labels images [rows, 28, 28] of bytes, mapped back to low..high first.

        Arguments:
            images: [rows, 28, 28] uint8 as the service sends them.
            low, high: the generator's output range.
            batch: rows run together.

        Returns:
            classes and top probabilities, [rows] each.

        Raises:
            ValueError: images of another shape.

        Accuracy: float32; byte images are within half a 255th of the range of the generator's output.
        """
        if images.ndim != 3 or images.shape[1:] != (28, 28):
            raise ValueError(f"images are [rows, 28, 28], not {list(images.shape)}")
        classes, tops = [], []
        for start in range(0, len(images), batch):
            part = torch.from_numpy(images[start : start + batch].astype(np.float32) / 255 * (high - low) + low)
            probabilities = torch.softmax(self._graph.forward(part.flatten(1)).double(), dim=1)
            top, winner = probabilities.max(dim=1)
            classes.append(winner.numpy())
            tops.append(top.numpy())
        return Labels(np.concatenate(classes), np.concatenate(tops))
