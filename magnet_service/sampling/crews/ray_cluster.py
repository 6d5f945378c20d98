"""The connection to a Ray cluster: found or refused in a stated time, and left as it was."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from magnet_service.errors import Refused

__all__ = ["connected"]

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 20.0

_PROBE = """
import logging, sys, ray
ray.init(address=sys.argv[1], namespace="magnet", logging_level=logging.ERROR, log_to_driver=False)
ray.shutdown()
"""


def connected(address: str | None) -> tuple[Any, Callable[[], None]]:
    """Connects this process to a Ray cluster, unless it is already.

    Arguments:
        address: `HOST:PORT` of the cluster's head; None for the one in RAY_ADDRESS, or that this machine belongs to.

    Returns:
        The package `ray`, and what leaves the cluster: nothing where this process was connected before.

    Raises:
        Refused: Ray is not installed (NOT_INSTALLED); no cluster answers, within 30 s, or it is of another version
            (NO_CLUSTER).

    Accuracy:
        Not applicable.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when the package is imported
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise Refused(
            "Ray is not installed: pip install 'magnet-service[server,ray]', here and on the cluster's machines.",
            field="workers",
            reason="NOT_INSTALLED",
        ) from error
    if ray.is_initialized():
        return ray, _nothing
    where = address or os.environ.get("RAY_ADDRESS") or "auto"
    _probe(where)
    try:
        ray.init(address=where, namespace="magnet", logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        raise _no_cluster(where, str(error)) from error
    return ray, ray.shutdown


def _probe(address: str) -> None:
    # Ray itself tries for minutes to reach what does not answer, and cannot be interrupted: another process finds out.
    host, _, port = address.rpartition(":")
    try:
        if port.isdecimal() and "/" not in host:
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        code = [sys.executable, "-c", _PROBE, address]
        found = subprocess.run(code, capture_output=True, text=True, check=False, timeout=_ANSWER_SECONDS)
    except OSError as error:
        raise _no_cluster(address, str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise _no_cluster(address, f"nothing that speaks as Ray does within {_ANSWER_SECONDS:.0f} s") from error
    if found.returncode:
        lines = [line.strip() for line in found.stderr.splitlines() if line.strip()]
        raise _no_cluster(address, lines[-1][:300] if lines else f"status {found.returncode}")


def _no_cluster(address: str, why: str) -> Refused:
    where = "this machine belongs to no Ray cluster" if address == "auto" else f"no Ray cluster answers at {address}"
    return Refused(
        f"{where}: {why}. Start Ray on this machine too (ray start --address=HEAD:PORT, or --head), or build with "
        "local workers.",
        field="workers",
        reason="NO_CLUSTER",
    )


def _nothing() -> None:
    return
