"""The command line, `magnet`: serve, and everything a client may ask; torch is imported only where it computes."""

from __future__ import annotations

from magnet_service.cli.app import app

__all__ = ["app"]
