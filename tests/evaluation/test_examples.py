"""The examples in the docstrings print what they say."""

from __future__ import annotations

import doctest
import sys

import pytest

from magnet_service import evaluation


@pytest.mark.parametrize("module", [evaluation.frechet_distance.__module__, evaluation.total_variation.__module__])
def test_examples(module: str) -> None:
    found = doctest.testmod(sys.modules[module])
    assert found.failed == 0
    assert found.attempted > 0
