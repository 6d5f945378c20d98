"""Sizes that count rows: exact arithmetic, or a refusal, and nothing between."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magnet_service.generator.onnx_sizes import BATCH, RowCount, is_batch
from magnet_service.generator.onnx_values import settled, short

OPERATORS: tuple[Callable[[Any, Any], Any], ...] = (
    operator.add,
    operator.sub,
    operator.mul,
    operator.floordiv,
    operator.mod,
    operator.eq,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
)
SIZES = st.one_of(st.integers(-9, 9), st.builds(RowCount, st.integers(1, 9), st.integers(-9, 9)), st.just(BATCH))


def at(size: object, rows: int) -> object:
    return size.factor * rows + size.shift if isinstance(size, RowCount) else size


@given(SIZES, SIZES, st.sampled_from(OPERATORS))
def test_what_is_answered_holds_for_every_number_of_rows(left: object, right: object, function: Any) -> None:
    try:
        found = function(left, right)
    except (ValueError, ZeroDivisionError, TypeError):
        return
    for rows in range(1, 40):
        first, second = at(left, rows), at(right, rows)
        if function in (operator.floordiv, operator.mod) and second == 0:
            continue
        assert at(found, rows) == function(first, second)


def test_arrays_of_sizes_are_worked_out_by_numpy() -> None:
    sizes = np.array([BATCH, 8, 3], object)
    assert is_batch((sizes * 4 // 4)[0])
    assert settled(sizes[1:] * 2).tolist() == [16, 6]
    assert settled(np.equal(sizes, -1)).tolist() == [False, False, False]
    assert is_batch(np.where([True, False], sizes[:2], 1)[0])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: BATCH * BATCH,
        lambda: BATCH // 2,
        lambda: BATCH % 2,
        lambda: BATCH > 3,
        lambda: BATCH == 1,
        lambda: BATCH * 0.5,
        lambda: (BATCH * (1 << 40)) * (1 << 40),
        lambda: settled(np.array([1 << 70], object)),
    ],
)
def test_what_depends_on_the_number_of_rows_in_another_way_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises((ValueError, OverflowError)):
        wrong()


def test_a_stored_number_is_read_as_its_shortest_decimal() -> None:
    assert [short(float(np.float32(value))) for value in (1e-5, 0.2, 0.1, 1.0)] == [1e-5, 0.2, 0.1, 1.0]
