"""`report.html`: the table, the verdict and the pictures of an evaluation in one file that needs no other."""

from __future__ import annotations

import base64
import math
import os
import tempfile
from html import escape
from pathlib import Path

from magnet_service.evaluation.evaluate import Evaluated, Evaluation
from magnet_service.evaluation.fronts import DENSITY
from magnet_service.evaluation.intervals import Interval
from magnet_service.evaluation.pictures import balance_plot, contact_sheet, pareto_plot, share_plot
from magnet_service.evaluation.request import Family
from magnet_service.sampling import Method, Result

__all__ = ["report", "write_report"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #111827; max-width: 1180px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; font-size: 12.5px; font-variant-numeric: tabular-nums; }
th, td { padding: .2em .55em; text-align: right; border-bottom: 1px solid #e5e7eb; white-space: nowrap; }
th:first-child, td:first-child, td.text { text-align: left; }
td small { color: #6b7280; }
tr.LOW_ESS td { background: #fef9c3; } tr.DEGENERATE td { background: #fee2e2; }
tr.base td { font-weight: 600; }
.wide { overflow-x: auto; } img { max-width: 100%; }
.sheets { display: flex; flex-wrap: wrap; gap: 1em; } figure { margin: 0; } figcaption { font-size: 13px; }
.sheets img { image-rendering: pixelated; width: 350px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; } dt { font-weight: 600; } dd { margin: 0; }
"""

_COLUMNS = (
    ("tv", "TV to uniform", 3),
    ("kl", "KL to uniform", 3),
    ("precision", "precision", 3),
    ("recall", "recall", 3),
    ("density", "density", 3),
    ("coverage", "coverage", 3),
    ("frechet", "Frechet", 2),
    ("top_probability", "top probability", 3),
    ("log_norm", "log ‖J‖", 2),
)


def report(evaluated: Evaluated) -> str:
    """The report as text of one HTML file; pictures are inside of it, and nothing is fetched from anywhere.

    Arguments:
        evaluated: figures and images.

    Returns:
        The text.

    Raises:
        Nothing.

    Accuracy: figures rounded to the digits shown.
    """
    found = evaluated.evaluation
    sections = [
        f"<h1>{escape(found.generator)}: does polarity help?</h1>",
        _section("What came out", "".join(f"<p>{escape(sentence)}</p>" for sentence in found.verdict)),
        _section("How it was measured", _facts(found)),
        _section("Figures", _legend(found) + _table(found)),
        _section("Precision against recall", _picture(pareto_plot(found.rows), "precision against recall")),
        _section("Density against coverage", _picture(pareto_plot(found.rows, DENSITY), "density against coverage")),
        _section("Balance", _picture(balance_plot(found.rows), "total variation against mean top probability")),
        _section("Class shares", _shares(found)),
    ]
    if evaluated.layout != "vector":
        sections.append(_section("Draws", _sheets(evaluated)))
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(found.generator)}, evaluated</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def write_report(evaluated: Evaluated, folder: Path) -> Path:
    """Writes `report.html` into a folder, which is made where it is missing.

    Arguments:
        evaluated: figures and images.
        folder: where to.

    Returns:
        The file, which appears whole or not at all.

    Raises:
        OSError: it cannot be written.

    Accuracy: as `report`.
    """
    text = report(evaluated)
    folder.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(folder / "report.html")
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return folder / "report.html"


def _facts(found: Evaluation) -> str:
    near, all_rows = found.reference_rows
    features, width = found.features
    facts = [
        ("generator", f"{found.generator}, sha256 {found.generator_digest[:16]}"),
        ("condition", found.condition),
        ("bank", f"{found.bank_id}, first {found.bank_revision:,} rows of {found.bank_law}"),
        ("k", f"{found.top_k} at every rho{f': {found.top_k_reason}' if found.top_k_reason else ''}"),
        ("manifold", found.manifold),
        ("method", "" if found.method == Method.RESAMPLE else f"{found.method} at every rho but 0"),
        ("draws", f"{found.count:,} at each point, seed {found.seed}"),
        ("compared with", found.reference),
        (
            "neighbours",
            f"{found.neighbours}, {near:,} reference rows against as many draws; the Frechet distance to {all_rows:,}",
        ),
        ("classifier", f"sha256 {found.classifier_digest[:16]}"),
        ("features", f"{width:,} numbers, the input of the classifier's last affine layer ({features})"),
        ("machine", ", ".join(f"{name} {value}" for name, value in sorted(found.stamp.items()))),
    ]
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts if text) + "</dl>"


def _legend(found: Evaluation) -> str:
    drawn = "resampled rows of the bank: ESS is of the bank, distinct of the draws"
    if found.method != Method.RESAMPLE:
        drawn = (
            "resampled rows of the bank, or where the method is SCREENED or SCREENED_CHAIN latents that a surrogate "
            "found and exact volumes correct: ESS is of these rows or latents, distinct of the draws"
        )
    return (
        "<p>rho: latents weighted by v_k^rho, rho 0 as trained. psi: the prior shrunk, at rho 0. norm: the share of "
        "latents kept, those of the smallest Jacobian norm (arXiv 2006.04596). Draws at rho other than 0 are "
        f"{drawn}, and draws that repeat lower recall.</p><p>Behind "
        "each figure its 95 % interval: a bootstrap over distinct latents for shares, TV, KL, top probability and "
        "norm, a jackknife over them for the others, the reference taken as fixed. TV, KL and the Frechet distance of "
        "few draws are too large on average. Rows marked LOW_ESS have fewer effective draws than draws, or weights "
        "with too heavy a tail to tell; those marked DEGENERATE are nearly one draw repeated and take no part in what "
        "came out. log ‖J‖ is the mean log Frobenius norm of the Jacobian, in nats.</p>"
    )


def _table(found: Evaluation) -> str:
    methods = found.method != Method.RESAMPLE
    names = ("", *(["method"] if methods else []), "ESS", "k-hat", "distinct", "result")
    names = (*names, *(name for _, name, _ in _COLUMNS))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = []
    for row in found.rows:
        base = row.setting.family is Family.POLARITY and row.setting.value == 0.0
        marks = " ".join([*(["base"] if base else []), *([] if row.result is Result.OK else [str(row.result)])])
        khat = "-" if row.khat is None else f"{row.khat:.2f}"
        cells = [f"<td>{escape(row.setting.name)}</td>"]
        if methods:
            cells.append(f'<td class="text">{"-" if row.method is None else escape(str(row.method))}</td>')
        cells.append(f"<td>{row.ess:,.0f}</td><td>{khat}</td><td>{row.distinct:,}</td>")
        cells.append(f'<td class="text">{escape(str(row.result))}</td>')
        cells.extend(f"<td>{_cell(getattr(row, field), digits)}</td>" for field, _, digits in _COLUMNS)
        body.append(f'<tr class="{marks}">{"".join(cells)}</tr>')
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _shares(found: Evaluation) -> str:
    head = "".join(f"<th>{escape(label)}</th>" for label in found.labels)
    body = []
    if found.training_shares:
        training = "".join(f"<td>{share:.3f}</td>" for share in found.training_shares)
        body.append(f"<tr><td>training set</td>{training}</tr>")
    for row in found.rows:
        cells = "".join(f"<td>{_cell(share, 3)}</td>" for share in row.shares)
        body.append(f"<tr><td>{escape(row.setting.name)}</td>{cells}</tr>")
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return _picture(share_plot(found.rows, found.labels), "class shares") + f'<div class="wide">{table}</div>'


def _sheets(evaluated: Evaluated) -> str:
    found = []
    for name, images in evaluated.images.items():
        sheet = contact_sheet(images, evaluated.layout, evaluated.value_range)
        found.append(f"<figure><figcaption>{escape(name)}</figcaption>{_picture(sheet, f'draws at {name}')}</figure>")
    return f'<div class="sheets">{"".join(found)}</div>'


def _cell(interval: Interval | None, digits: int) -> str:
    if interval is None:
        return "-"
    if math.isnan(interval.low):
        return f"{interval.value:.{digits}f}"
    low, high = (f"{bound:.{digits}f}" for bound in (interval.low, interval.high))
    return f"{interval.value:.{digits}f} <small>{low}..{high}</small>"


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _picture(png: bytes, words: str) -> str:
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'
