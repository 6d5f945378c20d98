"""Banks laid out for people: many in a table, one in full."""

from __future__ import annotations

from collections.abc import Iterable

from magnet_client import BankInfo
from magnet_service.cli.terminal import grid, sheet_of, short_law, size

__all__ = ["facts", "table"]

_LONGEST_CONDITION = 24


def table(banks: Iterable[BankInfo]) -> object:
    """Lay out banks, a line each."""
    columns = ("id", "generator", "law", "volumes", "rows>", "size>")
    facts = [
        (
            bank.bank_id,
            bank.generator or bank.generator_name or bank.generator_digest[:12],
            f"{short_law(bank.law)}{_of_condition(bank)}, {'imported' if bank.origin else f'seed {bank.seed}'}",
            f"{bank.manifold}, {bank.precision}",
            f"{bank.revision:,}",
            size(bank.bytes),
        )
        for bank in banks
    ]
    return grid("", columns, facts)


def _generator(bank: BankInfo) -> str:
    digest = f"sha256 {bank.generator_digest[:12]}" if bank.generator_digest else f"by the name {bank.generator_name}"
    held = bank.generator or (f"{bank.generator_name}, not held" if bank.generator_name else "not held")
    return f"{held} ({digest})"


def _of_condition(bank: BankInfo) -> str:
    told = bank.condition_label or bank.condition
    return f", {told if len(told) <= _LONGEST_CONDITION else told[:_LONGEST_CONDITION] + '...'}" if told else ""


def facts(bank: BankInfo) -> object:
    """Lay out everything about a bank."""
    return sheet_of(
        [
            ("bank", bank.bank_id),
            ("generator", _generator(bank)),
            ("law", bank.law if bank.origin else f"{bank.law}, seed {bank.seed}"),
            ("condition", f"{bank.condition} ({bank.condition_label})" if bank.condition_label else bank.condition),
            ("volumes", f"{bank.manifold}, {bank.precision}, log v_1 to log v_{bank.columns}"),
            ("computed in", _arithmetic(bank)),
            ("error", _error(bank)),
            ("rows", f"{bank.revision:,} ({size(bank.bytes)})"),
            ("computed by", "" if bank.origin else f"tiles of {bank.tile_rows} rows, {bank.threads} threads"),
            ("imported", f"volumes as published, error unknown (sha256 {bank.origin[:12]})" if bank.origin else ""),
            ("stamp", ", ".join(f"{name} {value}" for name, value in bank.stamp.items())),
        ]
    )


def _arithmetic(bank: BankInfo) -> str:
    if bank.precision_used in (None, bank.precision):
        return ""
    return f"{bank.precision_used}: {bank.precision_reason}"


def _error(bank: BankInfo) -> str:
    """Largest error of log v_k at k = 1, 10, 30 and the last, of the arithmetic used."""
    if not bank.errors:
        return ""
    error = bank.errors[-1]
    last = len(error.log_volume)
    told = [f"{error.log_volume[k - 1]:.1g} at k = {k}" for k in sorted({k for k in (1, 10, 30) if k < last} | {last})]
    apart = f", {len(error.other_pattern)} of other regions left out" if error.other_pattern else ""
    apart += f", {error.recomputed} done again in float64" if error.recomputed else ""
    most = f"; draws use k <= {bank.largest_k}" if bank.largest_k < last else ""
    return f"{', '.join(told)} nats (largest at {error.latents} latents against float64{apart}){most}"
