"""Advice as a person reads it: facts, spectrum, supported rho and what it takes beyond, the ESS grid, presets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from magnet_client import Advice, AdviceCell, PresetOutlook
from magnet_service.cli.terminal import grid, number, sheet_of, short_law

__all__ = ["advice_sheets"]

_MOST_KS = 10
_KS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)
_MARKS = {"none": " ", "rows": "<", "uncertain": "?", "out_of_reach": "!", "fixed": "<", "low_rank": "x"}


def advice_sheets(found: Advice) -> Iterator[RenderableType]:
    """Lay out advice.

    Arguments:
        found: as answered.

    Yields:
        Facts; spectrum and spread; the rho supported at each k; effective rows over rho and k; presets.

    Raises:
        Nothing.

    Accuracy: figures rounded as written.
    """
    yield _facts(found)
    yield _spectrum(found)
    yield _ranges(found)
    yield _worth(found)
    yield _presets(found)


def _facts(found: Advice) -> RenderableType:
    spectrum = found.spectrum
    alpha = "sigma" if spectrum.definition == "singular_values" else "sigma^2"
    low, high = spectrum.effective_rank[0], spectrum.effective_rank[-1]
    span = f"{100 * spectrum.levels[0]:g} % to {100 * spectrum.levels[-1]:g} %: {number(low)} to {number(high)}"
    return sheet_of(
        [
            ("generator", found.generator),
            ("volumes", found.manifold),
            ("base", short_law(found.base)),
            ("bank", f"{found.bank_id}, {found.bank_revision:,} rows, {short_law(found.bank_reason)}"),
            ("effective rank", f"{number(spectrum.effective_rank_mean)} of shares of {alpha} ({span})"),
        ]
    )


def _spectrum(found: Advice) -> RenderableType:
    spectrum = found.spectrum
    columns = len(spectrum.rank_share)
    ks = sorted({*(k for k in _KS if k < columns), columns})
    levels = [f"{100 * level:g} %>" for level in spectrum.levels]
    rows = [
        (
            k,
            number(spectrum.log_sigma_mean[k - 1]),
            *(number(level[k - 1]) for level in spectrum.log_sigma),
            f"{spectrum.rank_share[k - 1]:.1%}",
            number(spectrum.log_volume_sd[k - 1]),
        )
        for k in ks
    ]
    names = ("k", "log sigma_k: mean>", *levels, "rank >= k>", "sd of log v_k, nats>")
    return grid("", names, rows)


def _ranges(found: Advice) -> RenderableType:
    rows = [
        (one.top_k, f"{one.low:g} to {one.high:g}", "\n".join(text for text in (one.below, one.above) if text))
        for one in found.ranges
        if one.top_k in _some(found.top_ks)
    ]
    return grid("", ("k", "rho supported", "what it takes beyond"), rows)


def _worth(found: Advice) -> RenderableType:
    top_ks = _some(found.top_ks)
    columns = ("rho", *(f"k={top_k}>" for top_k in top_ks))
    rows = [(f"{rho:g}", *(_cell(found.cell(rho, top_k)) for top_k in top_ks)) for rho in found.rhos]
    legend = (
        "effective rows; < too few; ? k-hat of 0.7 or more, so that no number of rows can be promised;\n"
        "! out of reach by resampling; x refused, as rank < k on more than 1 % of the rows"
    )
    return Group(grid("", columns, rows), Text(legend, style="dim"))


def _cell(cell: AdviceCell) -> str:
    return _compact(cell.ess) + _MARKS[cell.need]


def _compact(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):.1f}{letter}"
    return number(value, 0)


def _presets(found: Advice) -> RenderableType:
    rows = [
        (
            one.preset,
            "-" if one.problem else f"{one.rho:g}",
            "-" if one.problem or not one.top_k else one.top_k,
            number(one.ess, 0) if one.bank else "-",
            number(one.khat),
            one.result or "refused",
            "\n".join(_reasons(one, (found.bank_id, found.bank_reason))),
        )
        for one in found.presets
    ]
    return grid("", ("preset", "rho>", "k>", "ESS>", "k-hat>", "result", "why"), rows)


def _reasons(one: PresetOutlook, known: tuple[str, str]) -> Iterator[str]:
    if one.problem:
        yield one.problem
        if one.command and one.command not in one.problem:
            yield one.command
        return
    yield short_law(one.law)
    if one.rho_reason:
        yield f"rho: {one.rho_reason}"
    if one.top_k_reason and one.bank:
        yield f"k: {one.top_k_reason}"
    if not one.bank:
        yield one.bank_reason
    elif (one.bank, one.bank_reason) != known:
        yield f"bank {one.bank}: {short_law(one.bank_reason)}"
    if one.advice:
        yield one.advice
    if one.command:
        yield f"a bank of that base instead: {one.command}"


def _some(top_ks: Sequence[int]) -> tuple[int, ...]:
    """As many k as a terminal has room for, the first and the last among them."""
    if len(top_ks) <= _MOST_KS:
        return tuple(top_ks)
    last = len(top_ks) - 1
    return tuple(top_ks[place] for place in sorted({round(step * last / (_MOST_KS - 1)) for step in range(_MOST_KS)}))
