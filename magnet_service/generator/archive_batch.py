"""The batch of an exported program: its symbol where dynamic, and where a literal one must follow the rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from magnet_service.errors import RefusedArchive
from magnet_service.generator.archive_json import Field
from magnet_service.generator.program import Argument, BatchSize, Call, Constant, Value

__all__ = ["Size", "generalise", "read_size", "read_symbol"]

Size = int | BatchSize

_SYMBOL = re.compile(r"Symbol\('([A-Za-z_]\w*)'(?:, [a-z_]+=(?:True|False))*\)|([A-Za-z_]\w*)", re.ASCII)
_INTEGER = re.compile(r"Integer\((-?\d{1,18})\)|(-?\d{1,18})", re.ASCII)
_NUMBERS = frozenset({"Zero", "One", "NegativeOne", "oo", "zoo", "nan", "pi", "E"})
_SHAPED = {
    "aten.view.default": "size",
    "aten.view_copy.default": "size",
    "aten._unsafe_view.default": "size",
    "aten.reshape.default": "shape",
    "aten.expand.default": "size",
    "aten.expand_copy.default": "size",
    "aten.repeat.default": "repeats",
}
_REPEATING = frozenset({"aten.expand.default", "aten.expand_copy.default", "aten.repeat.default"})


def read_symbol(size: Field) -> int | str:
    """Read a size that is an integer or a bare symbol; an expression is refused and never evaluated.

    Arguments:
        size: a `SymInt` of the schema, `{"as_int": 7}` or `{"as_expr": {"expr_str": "s0"}}`.

    Returns:
        The integer, or the name of the symbol.

    Raises:
        RefusedArchive: any other expression, as `2*s0`.

    Accuracy: exact.
    """
    tag, value = size.tagged()
    if tag == "as_int":
        return value.integer()
    if tag != "as_expr":
        raise size.damaged("an integer or an expression")
    text = value.get("expr_str").text()
    if match := _INTEGER.fullmatch(text):
        return int(match.group(1) or match.group(2))
    match = _SYMBOL.fullmatch(text)
    if match is None or text in _NUMBERS:
        raise RefusedArchive(
            f"{value.place}: the size expression {text[:120]!r} is not read: every size must be an integer or the "
            f"batch alone. Keep the batch as the first dimension of every tensor and export again.",
            reason="SIZE_EXPRESSION",
            metadata={"expression": text[:120]},
        )
    return match.group(1) or match.group(2)


def read_size(size: Field, batch: int | str) -> Size:
    """Read a size that is an integer or the batch.

    Arguments:
        size: a `SymInt` of the schema.
        batch: the symbol of the latents' first dimension, or its number where it is fixed.

    Returns:
        The integer or `BatchSize()`.

    Raises:
        RefusedArchive: another symbol or an expression.

    Accuracy: exact.
    """
    found = read_symbol(size)
    if isinstance(found, int):
        return found
    if found != batch:
        raise RefusedArchive(
            f"{size.place}: the size {found!r} is not the batch {batch!r}; only the first dimension of the latents may "
            f"be dynamic.",
            reason="SIZE_EXPRESSION",
            metadata={"expression": found},
        )
    return BatchSize()


def generalise(
    calls: tuple[Call, ...], inputs: Collection[str], shapes: Mapping[str, tuple[Size, ...]], batch: int
) -> tuple[Call, ...]:
    """Let the literal batch of a program exported at a fixed one follow the number of rows.

    A leading size is the batch where it equals it, the call reads a value that depends on the inputs and the
    recorded shapes before and after both start with it. A constant repeated along its first dimension of one to a
    batch above one is the batch too.

    Arguments:
        calls: with literal sizes.
        inputs: names of the latent and of the condition.
        shapes: recorded shape of every value.
        batch: the fixed number of rows.

    Returns:
        The calls with `BatchSize()` in those places.

    Raises:
        nothing.

    Accuracy: a rule of thumb where another size equals the batch; verification compares rows with the file's own batch.
    """
    dependent = set(inputs)
    result: list[Call] = []
    for call in calls:
        argument = _SHAPED.get(call.target)
        if argument is not None and _leads_with_batch(call, call.arguments.get(argument), dependent, shapes, batch):
            sizes = call.arguments[argument]
            assert isinstance(sizes, tuple)
            call = replace(call, arguments={**call.arguments, argument: (BatchSize(), *sizes[1:])})
        if any(_depends(item, dependent) for item in call.arguments.values()):
            dependent.update(call.outputs)
        result.append(call)
    return tuple(result)


def _leads_with_batch(
    call: Call, sizes: Argument, dependent: set[str], shapes: Mapping[str, tuple[Size, ...]], batch: int
) -> bool:
    source = call.arguments.get("self")
    if not isinstance(sizes, tuple) or not sizes or sizes[0] != batch or not isinstance(source, Value | Constant):
        return False
    before, after = shapes.get(source.name, ()), shapes.get(call.outputs[0], ())
    if after[:1] != (batch,):
        return False
    if isinstance(source, Value) and source.name in dependent:
        return before[:1] == (batch,) and call.target != "aten.repeat.default"
    return call.target in _REPEATING and batch > 1 and (len(before) < len(after) or before[:1] == (1,))


def _depends(argument: Argument, dependent: set[str]) -> bool:
    if isinstance(argument, tuple):
        return any(_depends(item, dependent) for item in argument)
    return isinstance(argument, Value) and argument.name in dependent
