"""The one table of ONNX operators that are read: each with its translation into ATen calls."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from magnet_service.generator.onnx_constants import FOLDERS, fold
from magnet_service.generator.onnx_layers import LAYERS
from magnet_service.generator.onnx_pointwise import POINTWISE
from magnet_service.generator.onnx_pooling import POOLING
from magnet_service.generator.onnx_reading import Reading, Translator
from magnet_service.generator.onnx_resampling import RESAMPLING
from magnet_service.generator.onnx_selection import SELECTION
from magnet_service.generator.onnx_shaping import SHAPING
from magnet_service.generator.onnx_sources import SOURCES, translate_constant
from magnet_service.generator.onnx_tensors import TensorReader
from magnet_service.generator.onnx_values import Held, Known

__all__ = ["OPERATORS", "translate"]

_FAMILIES = (LAYERS, POINTWISE, POOLING, RESAMPLING, SELECTION, SHAPING, SOURCES)


def by_operator() -> dict[str, Translator]:
    """Translators by operator; ValueError where two families claim one."""
    table: dict[str, Translator] = {}
    for family in _FAMILIES:
        for op, translator in family.items():
            if op in table:
                raise ValueError(f"two families translate {op}")
            table[op] = translator
    return table


TRANSLATORS: Mapping[str, Translator] = MappingProxyType(by_operator())
_LEFT_OUT = Known(np.empty(0, np.int64))

OPERATORS = frozenset(TRANSLATORS) | frozenset(FOLDERS) | {"Constant"}


def translate(reading: Reading, tensors: TensorReader) -> tuple[Held, ...]:
    """Give one node its meaning.

    Arguments:
        reading: the node and what its inputs stand for.
        tensors: reads the tensors that the node itself holds.

    Returns:
        What its outputs stand for, in order; the further outputs of some operators are left out.

    Raises:
        UnsupportedOperation: an operator outside the table, or arguments that its translation does not cover.
        DamagedData: inputs and attributes that do not fit.
        Refused, RefusedArchive: noise, training mode, weights of another type or not finite.

    Accuracy: exact.
    """
    node = reading.node
    if node.op not in OPERATORS:
        reading.refuse(
            f"the operator {node.op[:80]} is not supported. Rewrite that layer with others and export again; "
            f"docs/onnx.md lists those that are read"
        )
    try:
        if node.op == "Constant":
            return (translate_constant(reading, tensors),)
        inputs = [reading.held(index) if name else _LEFT_OUT for index, name in enumerate(node.inputs)]
        known = [held for held in inputs if isinstance(held, Known)]
        if node.op in FOLDERS and len(known) == len(node.inputs):
            return (fold(reading, known),)
        if node.op not in TRANSLATORS:
            reading.refuse("it is supported on constants and sizes alone, and here it reads values of the latents")
        results = TRANSLATORS[node.op](reading)
    except (RuntimeError, LookupError, ValueError, TypeError, ArithmeticError) as problem:
        node.refuse(f"it cannot be carried out: {(str(problem).splitlines() or [''])[0][:300]}")
    return results if isinstance(results, tuple) else (results,)
