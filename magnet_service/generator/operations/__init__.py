"""The table of operations and the rules of its entries."""

from __future__ import annotations

from magnet_service.generator.operations.constant import FOLDABLE, LARGEST, fold
from magnet_service.generator.operations.operation import (
    Comparison,
    Draft,
    Folded,
    Kind,
    Node,
    Operation,
    Overwritten,
    Reference,
    Spread,
)
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.repeated import REPEATABLE, fold_rows
from magnet_service.generator.operations.table import TABLE, TARGETS, lookup

__all__ = [
    "FOLDABLE",
    "LARGEST",
    "REPEATABLE",
    "TABLE",
    "TARGETS",
    "CallReader",
    "Comparison",
    "Draft",
    "Folded",
    "Kind",
    "Node",
    "Operation",
    "Overwritten",
    "Reference",
    "Spread",
    "fold",
    "fold_rows",
    "lookup",
]
