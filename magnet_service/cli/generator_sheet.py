"""A generator as a person reads it: facts, graph, rank and spectrum, AUTO's k."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Group, RenderableType

from magnet_client import AutoTopK, Conditions, GeneratorInfo, RankStatistics
from magnet_service.cli.terminal import grid, number, sheet_of, short_law

__all__ = ["generator_sheets"]

_REFERENCES = {
    "probe": "outputs of the original module (probe)",
    "onnxruntime": "outputs of onnxruntime",
    "interpreter": "a plain interpreter of the file (interpreter)",
}
_KS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)
_MOST_RANKS = 12
_BAR = 24
_LEVELS = {0.0: "min", 0.5: "median", 1.0: "max"}


def generator_sheets(found: GeneratorInfo) -> Iterator[RenderableType]:
    """Lay out everything known of a generator.

    Arguments:
        found: from a server, or measured here.

    Yields:
        The facts, the graph, rank and spectrum if they were measured, and AUTO's k if it was looked up; within 80
        columns where the names of the nodes are not long themselves.

    Raises:
        Nothing.

    Accuracy: figures are rounded for reading; `--json` has them in full.
    """
    yield _facts(found)
    yield _graph(found)
    if found.rank is not None:
        yield _ranks(found.rank, "on the outputs" + (", in equal shares of the classes" if found.conditions else ""))
        yield _spectrum(found.rank)
        yield _spread(found.rank)
    if found.auto_top_k:
        yield sheet_of(
            [
                ("AUTO at rho 1", "the k of a draw with top_k 0"),
                *(_auto(entry, found.conditions) for entry in found.auto_top_k),
            ]
        )


def _facts(found: GeneratorInfo) -> RenderableType:
    shares = found.training_shares or (None,) * len(found.labels)
    labels = ", ".join(
        name if share is None else f"{name} {share:.1%}" for name, share in zip(found.labels, shares, strict=True)
    )
    low, high = found.value_range
    words = {True: "yes", False: "no", None: "not probed"}
    place, neighbours = words[found.bits_depend_on_position], words[found.bits_depend_on_neighbours]
    return sheet_of(
        [
            ("generator", f"{found.name}@{found.version} (versions {', '.join(map(str, found.versions))})"),
            ("description", found.description),
            ("format", found.format),
            ("latents", short_law(found.prior)),
            ("latent node", found.latent_node),
            ("condition", _condition(found.conditions)),
            ("outputs", f"{_shape(found.output_shape)}, {found.layout}, {low:g} to {high:g}"),
            ("features", found.features),
            ("labels", labels),
            ("licence", found.licence),
            ("source", found.source),
            ("sha256", found.digest),
            ("parameters", f"{found.parameters:,}"),
            ("units", f"{found.units:,}"),
            ("affine", _piecewise(found)),
            ("verified", f"against {_REFERENCES.get(found.verified_against, found.verified_against)}"),
            ("differences", _differences(found)),
            ("bits depend on", f"a row's place: {place}; its neighbours: {neighbours}"),
        ]
    )


def _condition(given: Conditions | None) -> str:
    if given is None:
        return ""
    if given.kind == "vector":
        return f"vector of {given.width} numbers"
    names = f": {', '.join(given.labels)}" if given.labels else ""
    return f"{given.kind} of {given.width} classes{names}"


def _differences(found: GeneratorInfo) -> str:
    return (
        f"outputs at most {found.forward_error:.1e} of the largest one, at {found.verified_rows} latents; Jacobian at "
        f"most {found.jacobian_error:.1e} of its largest entry, from autograd in float64"
    )


def _piecewise(found: GeneratorInfo) -> str:
    if not found.piecewise_affine:
        return "not piecewise, regions and slices refuse it; smooth inside: " + ", ".join(found.smooth_inside)
    names = [node.name for node in found.operations]
    until = found.piecewise_affine_until
    after = found.operations[names.index(until) + 1 :] if until in names else found.operations
    if not after:
        return f"piecewise, up to the output ({until})"
    head = ", ".join(node.operation for node in after if node.kind == "smooth")
    return f"piecewise, up to {until} (pre_activation); then {head}"


def _graph(found: GeneratorInfo) -> RenderableType:
    columns = ("node", "operation", "kind", "shape>", "units>")
    nodes = [
        (node.name, node.operation, node.kind, _shape(node.shape), f"{node.units:,}" if node.units else "")
        for node in found.operations
    ]
    return grid("", columns, nodes)


def _ranks(rank: RankStatistics, where: str) -> RenderableType:
    columns = len(rank.log_volume_sd)
    if len(rank.rank_counts) == 1:
        return sheet_of([("rank", f"{rank.rank_max} of {columns} at all {rank.latents} latents, {where}")])
    fact = f"{rank.rank_min} to {rank.rank_max}, median {rank.rank_median} of {columns} at {rank.latents} latents"
    width = -(-(rank.rank_max - rank.rank_min + 1) // _MOST_RANKS)
    bins: dict[int, int] = {}
    for value, count in rank.rank_counts.items():
        first = value - (value - rank.rank_min) % width
        bins[first] = bins.get(first, 0) + count
    most = max(bins.values())
    rows = [
        (
            str(first) if width == 1 else f"{first} to {min(first + width - 1, rank.rank_max)}",
            bins.get(first, 0),
            "█" * round(_BAR * bins.get(first, 0) / most),
        )
        for first in range(rank.rank_min, rank.rank_max + 1, width)
    ]
    return Group(sheet_of([("rank", f"{fact}, {where}")]), "", grid("", ("rank", "latents>", ""), rows))


def _spectrum(rank: RankStatistics) -> RenderableType:
    last = f"sigma_{len(rank.log_volume_sd)}"
    levels = [_LEVELS.get(level, f"{100 * level:g} %") + ">" for level in rank.quantile_levels]
    rows = [
        ("sigma_1", *map(_exponential, rank.log_sigma_first)),
        (last, *map(_exponential, rank.log_sigma_last)),
        ("condition", *map(_exponential, rank.log_condition)),
    ]
    return grid("", ("quantile", *levels), rows)


def _spread(rank: RankStatistics) -> RenderableType:
    columns = len(rank.log_volume_sd)
    ks = sorted({*(k for k in _KS if k < rank.rank_max), rank.rank_max or 1, columns})
    full = {k: sum(count for value, count in rank.rank_counts.items() if value >= k) / rank.latents for k in ks}
    rows = [
        (
            f"{k}, log v" if k == columns else k,
            number(rank.log_volume_sd[k - 1]),
            number(rank.log_singular_value_mean[k - 1]),
            f"{full[k]:.1%}",
        )
        for k in ks
    ]
    return grid("", ("k", "sd of log v_k, nats>", "mean of log sigma_k>", "rank >= k>"), rows)


def _auto(entry: AutoTopK, given: Conditions | None) -> tuple[str, str]:
    asked = [entry.base] if entry.manifold == "output" else [entry.base, entry.manifold]
    asked += [part for part in (entry.precision, _named(entry.condition, given)) if part not in ("", "float32")]
    law = short_law(entry.law)
    if not entry.top_k:
        return ", ".join(asked), f"{law}: {entry.reason}" if law else entry.reason
    bank = f"bank {entry.bank_id}" if entry.bank_id else "banks"
    return ", ".join(asked), (
        f"k = {entry.top_k} of {law}: {entry.reason}; {bank} of {entry.bank_revision:,} rows, "
        f"{short_law(entry.bank_reason)}"
    )


def _named(condition: str, given: Conditions | None) -> str:
    if given is not None and condition.isdigit() and int(condition) < len(given.labels):
        return given.labels[int(condition)]
    return condition


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"


def _exponential(log: float) -> str:
    # 1.23e4 where `g` writes 1.23e+04.
    if log == math.inf:
        return "inf"
    digits, letter, exponent = f"{math.exp(log):.3g}".partition("e")
    return f"{digits}e{int(exponent)}" if letter else digits
