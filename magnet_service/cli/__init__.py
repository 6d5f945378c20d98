"""The command line, `magnet`: serve, and everything a client may ask; torch is imported only where it computes."""

from __future__ import annotations

import os

# gRPC's own core writes to stderr, among the lines that a command means, whenever a call is cut off.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from magnet_service.cli.app import app

__all__ = ["app"]
