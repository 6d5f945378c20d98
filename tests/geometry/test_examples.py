"""The examples in the docstrings print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import sys

import pytest

from magnet_service import geometry

MODULES = [found.name for found in pkgutil.iter_modules(geometry.__path__, "magnet_service.geometry.")]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    importlib.import_module(name)
    # Not what the import returns under a package whose function has the module's name.
    assert doctest.testmod(sys.modules[name]).failed == 0
