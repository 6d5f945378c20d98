"""The one table of operations: what every operator of a file means to forwards, tangents, patterns and slices."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from magnet_service.generator.operations import (
    bilinear,
    constant,
    convolution,
    extrema,
    functions,
    linear,
    modulated,
    normalization,
    piecewise,
    pooling,
    products,
    resampling,
    selection,
    shaping,
    smooth,
    statistics,
    sums,
)
from magnet_service.generator.operations.operation import Kind, Operation

__all__ = ["TABLE", "TARGETS", "Kind", "Operation", "lookup"]

FAMILIES = (
    linear,
    convolution,
    modulated,
    normalization,
    statistics,
    piecewise,
    pooling,
    extrema,
    resampling,
    shaping,
    selection,
    sums,
    products,
    bilinear,
    smooth,
    functions,
    constant,
)


def by_name() -> dict[str, Operation]:
    """Entries by name; ValueError where two families claim one."""
    table: dict[str, Operation] = {}
    for family in FAMILIES:
        for operation in family.OPERATIONS:
            if operation.name in table:
                raise ValueError(f"two entries are called {operation.name}")
            table[operation.name] = operation
    return table


def by_target(table: Mapping[str, Operation]) -> dict[str, Operation]:
    """Entries by operator of the file; ValueError where two entries claim one."""
    targets: dict[str, Operation] = {}
    for operation in table.values():
        for target in operation.targets:
            if target in targets:
                raise ValueError(f"{target} belongs to {targets[target].name} and to {operation.name}")
            targets[target] = operation
    return targets


TABLE: Mapping[str, Operation] = MappingProxyType(by_name())
TARGETS: Mapping[str, Operation] = MappingProxyType(by_target(TABLE))


def lookup(target: str) -> Operation | None:
    """The entry where an operator of a file begins, as `aten.linear.default`; None where the table has none."""
    return TARGETS.get(target)
