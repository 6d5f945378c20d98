"""`python -m magnet_service.cli`, the same as `magnet`."""

from __future__ import annotations

from magnet_service.cli.app import app

__all__: list[str] = []

if __name__ == "__main__":
    app()
