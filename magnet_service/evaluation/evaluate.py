"""The whole evaluation: draws over the grid, judged by a classifier and compared with a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from magnet_service.errors import InvalidInput
from magnet_service.evaluation.classifier import ImageClassifier, Judged, open_classifier
from magnet_service.evaluation.frechet import moments
from magnet_service.evaluation.intervals import distinct_rows
from magnet_service.evaluation.neighbours import check_installed, check_rows
from magnet_service.evaluation.real_images import read_images
from magnet_service.evaluation.request import EvaluationRequest, Family, Setting
from magnet_service.evaluation.row import Reference, Row, row_of
from magnet_service.evaluation.sweep import Ground, draw, draw_as_trained, prepared
from magnet_service.evaluation.verdict import verdict
from magnet_service.registry import Registry

__all__ = ["SHOWN", "Evaluated", "Evaluation", "evaluate"]

SHOWN = 40
"""Images of each point that a report shows."""


@dataclass(frozen=True)
class Evaluation:
    """What came out; a function of the request, the files and the bank alone.

    Attributes:
        generator: `name@version`.
        generator_digest: sha256 of it.
        condition: text of the condition; empty where it takes none.
        bank_id, bank_revision, bank_law: the prior's bank, its first rows used, and their law.
        top_k, top_k_reason: k at every rho, and why, where it was not given.
        manifold: where volumes and norms are measured.
        method: how draws at rho other than 0 were asked for; of AUTO each row says which it took.
        seed, count, neighbours: as asked.
        classifier_digest: sha256 of the classifier.
        features: name of the classifier's value that is the features, and how many numbers it has.
        reference: what draws are compared with, in words.
        reference_rows: rows for nearest neighbours, and in all.
        labels: of the classes.
        training_shares: of the classes in the training set, as the card says; empty where it does not.
        rows: one a point of the grid; real images held apart, where there are enough, come last.
        verdict: sentences.
        stamp: machine and versions for which equal bytes are promised.
    """

    generator: str
    generator_digest: str
    condition: str
    bank_id: str
    bank_revision: int
    bank_law: str
    top_k: int
    top_k_reason: str
    manifold: str
    method: str
    seed: int
    count: int
    neighbours: int
    classifier_digest: str
    features: tuple[str, int]
    reference: str
    reference_rows: tuple[int, int]
    labels: tuple[str, ...]
    training_shares: tuple[float, ...]
    rows: tuple[Row, ...]
    verdict: tuple[str, ...]
    stamp: dict[str, str]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """An evaluation with some images of each point.

    Attributes:
        evaluation: the figures.
        layout: of an image, as the generator's card says.
        value_range: of its numbers.
        images: draws by the setting's name, at most `SHOWN`; no real image is kept, since reports are passed on.
    """

    evaluation: Evaluation
    layout: str
    value_range: tuple[float, float]
    images: dict[str, Float32[np.ndarray, "rows ..."]]


@dataclass(frozen=True, eq=False)
class _Compared:
    """A reference, what it is in words, and real images held apart from it."""

    reference: Reference
    words: str
    rows: int
    apart: Judged | None = None


def evaluate(
    registry: Registry,
    reference: str,
    request: EvaluationRequest,
    classifier: Path,
    real: Path | None = None,
    *,
    on_rows: Callable[[int, int], object] | None = None,
    on_point: Callable[[int, int, str], object] | None = None,
) -> Evaluated:
    """Evaluates a generator over a grid of polarities and truncations.

    Arguments:
        registry: generators and banks.
        reference: `name` or `name@version`.
        request: the grid.
        classifier: a .pt2 archive or an .onnx file.
        real: a .npz file of real images, as `read_images` takes it; fresh draws as trained stand in where None.
        on_rows: told the rows done and wanted while a bank is built.
        on_point: told the points done, all of them and the next one's name.

    Returns:
        Figures and images.

    Raises:
        InvalidInput: as `open_classifier`, `read_images`, `prepared` and `EvaluationRequest`; real images too few.
        Refused: the extra `evaluate` is not installed (EVALUATE_PARTS_MISSING), or as `prepared` and `draw`.
        UnknownResource, DamagedData, OutOfSpace, Unreachable: as these.

    Accuracy: as `row_of`; equal requests over equal files and an equal bank give equal figures on one machine.

    Cost: `count` forwards at each point, Jacobians at rho 0 and at every psi, and eleven comparisons of nearest
        neighbours a point, each of three distance matrices of count^2 numbers.
    """
    check_installed()
    # What can be wrong is found before anything long begins.
    held = registry.generators.get(reference)
    judge = open_classifier(classifier, held.generator.output_shape, held.card.labels)
    images = None if real is None else read_images(real, held.generator.output_shape, held.card.value_range)
    if images is not None:
        check_rows(len(images), request.neighbours, "real images", "real", times=2)
    check_rows(request.count, request.neighbours, "draws", "count", times=2)
    ground = prepared(registry, reference, request, on_rows)
    against = _against_real(ground, judge, images) if images is not None else _against_itself(ground, judge)
    rows, shown = [], {}
    for done, setting in enumerate(request.settings):
        if on_point is not None:
            on_point(done, len(request.settings), setting.name)
        drawn = draw(ground, setting)
        rows.append(
            row_of(
                setting,
                judge.judge(drawn.images),
                distinct_rows(drawn.latents),
                against.reference,
                classes=judge.classes,
                neighbours=request.neighbours,
                seed=request.seed,
                ess=drawn.diagnostics.ess,
                khat=drawn.diagnostics.khat,
                result=drawn.result,
                log_norms=drawn.log_norms,
                method=drawn.method,
            )
        )
        shown[setting.name] = drawn.images[:SHOWN]
    if against.apart is not None:
        rows.append(_row_of_real(Setting(Family.REAL, 0.0), against.apart, against.reference, judge, request))
    return Evaluated(_evaluation(ground, judge, against, rows), held.card.layout, held.card.value_range, shown)


def _evaluation(ground: Ground, judge: ImageClassifier, against: _Compared, rows: list[Row]) -> Evaluation:
    held, request = ground.held, ground.request
    return Evaluation(
        generator=held.reference,
        generator_digest=held.generator.digest,
        condition="" if held.condition is None else held.condition.text,
        bank_id=ground.bank.id,
        bank_revision=ground.revision,
        bank_law=ground.bank.spec.law,
        top_k=ground.top_k,
        top_k_reason=ground.top_k_reason,
        manifold=str(request.manifold),
        method=str(request.method),
        seed=request.seed,
        count=request.count,
        neighbours=request.neighbours,
        classifier_digest=judge.digest,
        features=(judge.features_node, judge.width),
        reference=against.words,
        reference_rows=(len(against.reference.features), against.rows),
        labels=held.card.labels or tuple(f"class {index}" for index in range(judge.classes)),
        training_shares=held.card.training_shares,
        rows=tuple(rows),
        verdict=verdict(rows),
        stamp=ground.registry.stamp(),
    )


def _against_real(ground: Ground, judge: ImageClassifier, images: Float[np.ndarray, "rows ..."]) -> _Compared:
    request = ground.request
    order = np.random.default_rng([request.seed, 3]).permutation(len(images))
    judged = judge.judge(images[order])
    if np.ptp(judged.features, axis=0).max(initial=0.0) == 0.0:
        raise InvalidInput("the classifier's features are the same for all real images", field="classifier")
    # As many as there are draws, twice: those that draws are compared with, and others that are judged as draws are.
    apart = request.count if len(images) >= 2 * request.count else 0
    rest = judged.features[apart:]
    words = f"{len(rest):,} real images"
    if apart:
        words += f" ({apart:,} others, held apart, are judged as if they were draws)"
    held_apart = Judged(judged.classes[:apart], judged.top_probability[:apart], judged.features[:apart])
    return _Compared(
        Reference(rest[: request.count], moments(rest)),
        words,
        len(rest),
        held_apart if apart else None,
    )


def _against_itself(ground: Ground, judge: ImageClassifier) -> _Compared:
    features = judge.judge(draw_as_trained(ground, ground.request.count).images).features
    words = (
        f"{len(features):,} other draws of the generator as trained: no real images were given, so precision, recall, "
        f"density, coverage and the Frechet distance measure how far draws are from the generator as it was trained, "
        f"not from its data"
    )
    return _Compared(Reference(features, moments(features)), words, len(features))


def _row_of_real(
    setting: Setting, judged: Judged, reference: Reference, judge: ImageClassifier, request: EvaluationRequest
) -> Row:
    count = len(judged.classes)
    return row_of(
        setting,
        judged,
        np.arange(count),
        reference,
        classes=judge.classes,
        neighbours=request.neighbours,
        seed=request.seed,
        ess=float(count),
    )
