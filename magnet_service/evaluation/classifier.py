"""The classifier that judges images: classes, top probabilities and features, by the project's own archive reader."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator import Generator
from magnet_service.generator.composition import needed
from magnet_service.generator.formats import read_file
from magnet_service.generator.graph import Graph
from magnet_service.generator.head import constant_values

__all__ = ["ImageClassifier", "Judged", "open_classifier"]

_FIELD = "classifier"
_BATCH = 256
_DENSE = ("linear", "matmul", "convolution")


@dataclass(frozen=True, eq=False)
class Judged:
    """What the classifier says of images.

    Attributes:
        classes: index of the most probable class; of equal ones the first.
        top_probability: its probability, 0 to 1.
        features: input of the last affine layer, flattened.
    """

    classes: Int64[np.ndarray, " rows"]
    top_probability: Float64[np.ndarray, " rows"]
    features: Float32[np.ndarray, "rows width"]


@dataclass(frozen=True, eq=False)
class ImageClassifier:
    """A network from a generator's outputs to the logits or probabilities of classes.

    Attributes:
        network: all of it.
        before: the part up to the features; None where the last affine layer reads the image itself.
        features_node: name of the value whose numbers are the features.
        width: number of them.
        classes: number of classes.
        probabilities: whether it ends in a softmax, so that its outputs are probabilities already.
        digest: sha256 of the network.
    """

    network: Generator
    before: Generator | None
    features_node: str
    width: int
    classes: int
    probabilities: bool
    digest: str

    def judge(self, images: Float[np.ndarray, "rows ..."]) -> Judged:
        """Classes, top probabilities and features of images.

        Arguments:
            images: as the generator gives them, in its range.

        Returns:
            One entry an image.

        Raises:
            InvalidInput: an output of the classifier is not finite; field `classifier`.

        Accuracy: float32 forwards, softmax in float64.
        """
        flat = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).flatten(1)
        tops, winners, features = [], [], []
        for part in flat.split(_BATCH):
            outputs = self.network.forward(part).flatten(1).double()
            if not torch.isfinite(outputs).all():
                raise InvalidInput("the classifier's outputs are not finite for some images", field=_FIELD)
            likely = outputs if self.probabilities else outputs.softmax(1)
            top, winner = likely.max(1)
            tops.append(top.numpy())
            winners.append(winner.numpy())
            features.append((part if self.before is None else self.before.forward(part).flatten(1)).float().numpy())
        return Judged(np.concatenate(winners), np.concatenate(tops), np.concatenate(features))


def open_classifier(path: Path, output_shape: tuple[int, ...], labels: tuple[str, ...] = ()) -> ImageClassifier:
    """Reads a classifier and finds its features: the input of its last affine layer.

    Arguments:
        path: a .pt2 archive or an .onnx file; no pickle in it is read.
        output_shape: of one output of the generator, which the classifier takes as it is, or as one row of numbers.
        labels: names of the classes on the generator's card; empty where it has none.

    Returns:
        The classifier, float32 on the CPU.

    Raises:
        InvalidInput: it takes another shape, a condition, gives no row of two or more numbers, or another number of
            classes than there are labels; field `classifier`.
        Refused: it has no affine layer (NO_FEATURES), or as `read_file` and `Generator.from_program`.
        UnknownResource, DamagedData: as `read_file`.

    Accuracy: exact.
    """
    program = read_file(path)
    if program.condition is not None:
        raise InvalidInput(
            f"--classifier {path}: it takes a condition beside the image; export it without.", field=_FIELD
        )
    network = Generator.from_program(program)
    _check_shapes(path, network, output_shape, labels)
    graph = network.graph
    place = _last_dense(graph)
    if place is None:
        raise Refused(
            f"--classifier {path}: it has no affine layer, so that there are no features in front of one.",
            field=_FIELD,
            reason="NO_FEATURES",
        )
    source = graph.nodes[place].inputs[0]
    before = Generator(needed(graph, source, 0)) if source else None
    return ImageClassifier(
        network=network,
        before=before,
        features_node=graph.nodes[source - 1].name if source else "the image itself",
        width=math.prod(graph.nodes[source - 1].shape if source else graph.latent_shape),
        classes=network.output_dim,
        probabilities=_ends_in_probabilities(graph),
        digest=network.digest,
    )


def _check_shapes(path: Path, network: Generator, output_shape: tuple[int, ...], labels: tuple[str, ...]) -> None:
    taken = network.latent_shape
    ones_aside = [tuple(size for size in shape if size != 1) for shape in (taken, output_shape)]
    if ones_aside[0] != ones_aside[1] and taken != (math.prod(output_shape),):
        raise InvalidInput(
            f"--classifier {path}: it takes {list(taken)}, and the generator's outputs have shape "
            f"{list(output_shape)}: export it for inputs of that shape, resizing inside where it needs to.",
            field=_FIELD,
        )
    if network.output_dim < 2 or math.prod(network.output_shape) != max(network.output_shape, default=0):
        raise InvalidInput(
            f"--classifier {path}: its outputs have shape {list(network.output_shape)}, where a row of two or more "
            f"logits is needed.",
            field=_FIELD,
        )
    if labels and len(labels) != network.output_dim:
        raise InvalidInput(
            f"--classifier {path}: it tells {network.output_dim} classes apart, and the generator's card names "
            f"{len(labels)} labels: give a classifier of those classes.",
            field=_FIELD,
        )


def _last_dense(graph: Graph) -> int | None:
    """Place of the last node that multiplies by a matrix of weights and depends on the image."""
    fixed = constant_values(graph)
    for index in reversed(range(len(graph.nodes))):
        node = graph.nodes[index]
        if node.operation in _DENSE and node.inputs and index + 1 not in fixed and node.tensors:
            return index
    return None


def _ends_in_probabilities(graph: Graph) -> bool:
    return graph.nodes[-1].operation == "softmax"
