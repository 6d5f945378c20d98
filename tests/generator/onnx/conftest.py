"""The shelf of exported nets, shared with the tests of the families."""

from __future__ import annotations

from tests.families.conftest import shelf

__all__ = ["shelf"]
