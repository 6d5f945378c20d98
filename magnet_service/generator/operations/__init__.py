"""The table of operations and the rules of its entries."""

from __future__ import annotations

from magnet_service.generator.operations.constant import FOLDABLE, LARGEST, fold
from magnet_service.generator.operations.operation import (
    Comparison,
    Draft,
    Kind,
    Node,
    Operation,
    Overwritten,
    Reference,
    Spread,
)
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.table import TABLE, TARGETS, lookup

__all__ = [
    "FOLDABLE",
    "LARGEST",
    "TABLE",
    "TARGETS",
    "CallReader",
    "Comparison",
    "Draft",
    "Kind",
    "Node",
    "Operation",
    "Overwritten",
    "Reference",
    "Spread",
    "fold",
    "lookup",
]
