"""Does it help? Class shares, precision, recall and distance of draws over a grid of polarities and truncations."""

from __future__ import annotations

from magnet_service.evaluation.classifier import ImageClassifier, Judged, open_classifier
from magnet_service.evaluation.evaluate import Evaluated, Evaluation, evaluate
from magnet_service.evaluation.frechet import frechet_distance, moments
from magnet_service.evaluation.intervals import Interval
from magnet_service.evaluation.neighbours import Neighbourhoods, compare
from magnet_service.evaluation.real_images import read_images
from magnet_service.evaluation.report import report, write_report
from magnet_service.evaluation.request import EvaluationRequest, Family, Setting
from magnet_service.evaluation.row import Row
from magnet_service.evaluation.shares import class_shares, kl_to_uniform, total_variation
from magnet_service.evaluation.verdict import verdict

__all__ = [
    "Evaluated",
    "Evaluation",
    "EvaluationRequest",
    "Family",
    "ImageClassifier",
    "Interval",
    "Judged",
    "Neighbourhoods",
    "Row",
    "Setting",
    "class_shares",
    "compare",
    "evaluate",
    "frechet_distance",
    "kl_to_uniform",
    "moments",
    "open_classifier",
    "read_images",
    "report",
    "total_variation",
    "verdict",
    "write_report",
]
