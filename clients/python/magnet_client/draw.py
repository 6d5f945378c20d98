"""What a draw gives back: its rows, what they came from and how far they can be trusted."""

from __future__ import annotations

import dataclasses
import os
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnet_client.errors import InvalidInput
from magnet_client.pictures import decode_png, sheet, sheet_of_classes
from magnet_client.resolved import Resolved
from magnet_client.slices import save_arrays
from magnet_client.words import ManifoldWord, PrecisionWord

__all__ = ["Draw", "DrawHeader", "Result", "Screening"]


class Result(StrEnum):
    """What became of a draw."""

    OK = "OK"
    """The weights support it."""
    LOW_ESS = "LOW_ESS"
    """The ESS is below the rows asked for (at least 100; 1000 for an endless stream), or k-hat above 0.7."""
    DEGENERATE = "DEGENERATE"
    """The largest weight is above 0.2 or the ESS below 10: nearly one sample repeated."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Screening:
    """How a screened draw came about."""

    residual: float
    """Standard deviation of log v_k minus the surrogate's guess, out of fold over the bank's rows, in nats."""
    promised_ess: float | None
    """ESS that was expected; None where the request settled the budget."""
    exact: int
    """Latents measured exactly."""
    forwards: int
    """Forward passes."""
    pool_ess: float | None
    """Of `SCREENED`: ESS of the pool under the surrogate's weights, the most that choices from it can give."""
    acceptance: float | None
    """Of `SCREENED_CHAIN`: share of the steps that were accepted."""
    autocorrelation: float | None
    """Of `SCREENED_CHAIN`: states that stand for one independent draw; the ESS is divided by it."""
    kept: bool
    """Whether the server keeps the exact volumes for the same draw again; one that only reads banks drops them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawHeader:
    """What a draw came from and how far it can be trusted."""

    resolved: Resolved
    """The request with everything decided filled in."""
    rho: float
    """Exponent of v_k = sigma_1 ... sigma_k."""
    det_rho: float
    """The same as exponent of det(A^T A): rho / 2."""
    top_k: int
    """k; 0 where no volume was read."""
    base: str
    """The base law, as `ball(dim=20,radius=4.69)`."""
    bank_law: str
    """The law of the bank's latents; empty for a direct draw."""
    method: str
    """`DIRECT` (rho = 0: fresh draws of the base), `RESAMPLE` (from the bank), `SCREENED` or `SCREENED_CHAIN`."""
    manifold: ManifoldWord
    """Where volumes were taken."""
    generator_digest: str
    """SHA-256 of the generator."""
    ess: float
    """Effective sample size of the bank's weights, (sum w)^2 / sum w^2, in rows; the count for a direct draw. Over all
    C classes C^2 / sum_c (1 / ESS_c): what as many independent rows, in equal shares, are worth."""
    khat: float | None
    """Pareto k-hat of the weights (arXiv 1507.02646); None below 5 distinct tail weights."""
    largest_weight: float
    """Largest normalised weight, 0 to 1."""
    distinct: int
    """Distinct latents among the rows of the answer."""
    weighted_rows: int
    """Rows of the bank that carry weight."""
    low_rank_share: float
    """Share of the base law's rows with rank < k, left out for rho != 0."""
    weakest_class: int | None
    """Over all classes, the one of the least ESS; k-hat, largest weight and low-rank share are the worst of any."""
    weakest_ess: float | None
    """That ESS."""
    class_labels: tuple[str, ...]
    """Labels of the classes; empty where there are none."""
    result: Result
    """The verdict."""
    advice: str
    """The verdict in words and what to do."""
    law: str
    """What the law of this draw may be called."""
    rho_reason: str
    """Why this rho; empty where the request gave it."""
    top_k_reason: str
    """Why this k."""
    bank_reason: str
    """Why this bank."""
    precision_used: PrecisionWord
    """Arithmetic of the log-volumes: another than `resolved.precision` where that is too inexact."""
    precision_reason: str
    """Why it is another; empty if it is not."""
    volume_error: float | None
    """Error of log v_k at the k used in that arithmetic, in nats, as measured for the bank; None where none was."""
    stamp: dict[str, str]
    """How the numbers were computed: engine, torch build, instruction set, device kind, threads."""
    method_reason: str = ""
    """Why this method; empty where the request gave it."""
    screening: Screening | None = None
    """Of a screened draw: how it came about."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Draw:
    """Rows of a draw, in their order; a chunk of a stream is one too.

    `images` is None if they were not asked for, and so are `latents`, `log_volumes` and `log_weights`.
    """

    header: DrawHeader
    offset: int
    """Index of the first row in the whole draw."""
    pixels: NDArray[np.uint8] | NDArray[np.float32] | None = None
    """Images as sent: uint8 0..255 or raw float32, [rows, ...]; None if they came as PNG or not at all."""
    png: tuple[bytes, ...] = ()
    """PNG files, one a row, if they were asked for."""
    latents: NDArray[np.float32] | None = None
    """[rows, d]."""
    log_volumes: NDArray[np.float64] | None = None
    """log v_k in nats, [rows]; k is `top_k`, or d where that is 0."""
    log_weights: NDArray[np.float64] | None = None
    """log of (weight / mean weight of the bank) in nats, [rows]; 0 for a direct draw."""
    bank_rows: NDArray[np.int64] | None = None
    """The bank's row behind each row, [rows]; None for a direct draw. Over all classes, of the bank of its class."""
    classes: NDArray[np.int32] | None = None
    """Class of each row, [rows]; None where the generator has no classes."""

    @cached_property
    def images(self) -> NDArray[np.uint8] | NDArray[np.float32] | None:
        """Images, [rows, ...]: uint8 [rows, H, W] or [rows, H, W, C] from uint8 and PNG, float32 as sent; or None."""
        return decode_png(self.png) if self.png else self.pixels

    @property
    def resolved(self) -> Resolved:
        """The request with everything decided filled in; `Client.sample_resolved` sends it again."""
        return self.header.resolved

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Label of each row's class, its index where it has none; None where the generator has no classes."""
        if self.classes is None:
            return None
        known = self.header.class_labels
        return tuple(known[index] if index < len(known) else str(index) for index in self.classes.tolist())

    @property
    def source(self) -> str:
        """The generator, or the bank where it was drawn from without one."""
        return self.resolved.generator or f"bank {self.resolved.bank}"

    @property
    def seed(self) -> int | None:
        """The seed used."""
        return self.header.resolved.seed

    @property
    def rho(self) -> float:
        """Exponent of v_k."""
        return self.header.rho

    @property
    def det_rho(self) -> float:
        """Exponent of det(A^T A): rho / 2."""
        return self.header.det_rho

    @property
    def top_k(self) -> int:
        """k; 0 where no volume was read."""
        return self.header.top_k

    @property
    def base(self) -> str:
        """The base law as text."""
        return self.header.base

    @property
    def manifold(self) -> ManifoldWord:
        """Where volumes were taken."""
        return self.header.manifold

    @property
    def ess(self) -> float:
        """Effective sample size of the bank's weights, in rows."""
        return self.header.ess

    @property
    def khat(self) -> float | None:
        """Pareto k-hat of the weights; None below 5 distinct tail weights."""
        return self.header.khat

    @property
    def largest_weight(self) -> float:
        """Largest normalised weight, 0 to 1."""
        return self.header.largest_weight

    @property
    def distinct(self) -> int:
        """Distinct latents among the rows of the answer."""
        return self.header.distinct

    @property
    def result(self) -> Result:
        """The verdict: OK, LOW_ESS or DEGENERATE."""
        return self.header.result

    @property
    def advice(self) -> str:
        """The verdict in words and what to do."""
        return self.header.advice

    @property
    def law(self) -> str:
        """What the law of this draw may be called."""
        return self.header.law

    @property
    def stamp(self) -> dict[str, str]:
        """How the numbers were computed."""
        return self.header.stamp

    def __len__(self) -> int:
        for column in (self.pixels, self.latents, self.log_volumes, self.log_weights, self.bank_rows, self.classes):
            if column is not None:
                return len(column)
        return len(self.png)

    def __repr__(self) -> str:
        khat = "none" if self.khat is None else f"{self.khat:.2f}"
        pictures = "none" if self.pixels is None else f"{self.pixels.dtype}{list(self.pixels.shape[1:])}"
        return (
            f"<Draw of {len(self)} from {self.source}: {self.law}; rho {self.rho:g}, k {self.top_k}, "
            f"{self.manifold}; images {'png' if self.png else pictures}; ESS {self.ess:,.0f}, k-hat {khat}, "
            f"{self.result}>"
        )

    def save(self, path: str | os.PathLike[str], *, columns: int | None = None) -> Path:
        """Write a contact sheet (.png), or every array (.npz), by the name's suffix.

        A sheet of several classes has lines of its own for each, with its label beside them.

        Arguments:
            path: where to; an existing file is overwritten.
            columns: images in one row of the sheet; about a square, or one line a class, when not given.

        Returns:
            The path written.

        Raises:
            InvalidInput: for another suffix, or a sheet of outputs that are no pictures.
            OSError: if the file cannot be written.

        Accuracy: .npz exact (`resolved` is in it as JSON; read it with `numpy.load`, no pickle); the sheet is exact
        for uint8 and PNG, float32 images are scaled from their own lowest and highest value.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix == ".npz":
            return save_arrays(target, self._arrays())
        if suffix != ".png":
            raise InvalidInput(
                f"save writes .png (a contact sheet) or .npz (all arrays); not {target.suffix or 'no suffix'!r}",
                field="path",
                reason="INVALID_INPUT",
            )
        if self.images is None:
            raise InvalidInput(
                "this draw has no images: ask for them with images='uint8'", field="images", reason="INVALID_INPUT"
            )
        classes, labels = self.classes, self.labels
        if classes is None or labels is None or len(set(labels)) < 2:
            picture = sheet(self.images, columns)
        else:
            picture = sheet_of_classes(self.images, classes.tolist(), labels, columns)
        picture.save(target, format="PNG")
        return target

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        named: dict[str, NDArray[np.generic] | None] = {
            "images": self.images,
            "latents": self.latents,
            "log_volumes": self.log_volumes,
            "log_weights": self.log_weights,
            "bank_rows": self.bank_rows,
            "classes": self.classes,
            "resolved": np.array(self.resolved.to_json()),
        }
        return {name: array for name, array in named.items() if array is not None}
