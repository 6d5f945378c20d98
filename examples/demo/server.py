"""A real server process for the demo, on a free loopback port, stopped as an operator would."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["served"]

START_SECONDS = 300
STOP_SECONDS = 20


@contextmanager
def served(store: Path, log: Path) -> Iterator[str]:
    """Runs `magnet serve` with the bundled generators and yields its address; SIGTERM at the end.

    Arguments:
        store: folder of the embedded store.
        log: file for the server's log.

    Yields:
        host:port of a server that answers.

    Raises:
        RuntimeError: it did not start within 300 s, or did not stop cleanly within 20 s; the log's path is named.
    """
    port_file = store.parent / "address"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "magnet_service.cli", "serve", "--port", "0", "--store", str(store), "--builder"]
    with log.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen([*command, "--port-file", str(port_file)], stdout=sink, stderr=subprocess.STDOUT)
        try:
            yield _wait(process, port_file, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise RuntimeError(f"the server did not stop within {STOP_SECONDS} s; its log is {log}") from None
            port_file.unlink(missing_ok=True)
    if code != 0:
        raise RuntimeError(f"the server ended with exit code {code}; its log is {log}")


def _wait(process: subprocess.Popen[bytes], port_file: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if port_file.exists() and (address := port_file.read_text(encoding="utf-8").strip()):
            return address
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start; its log is {log}:\n{log.read_text(encoding='utf-8')[-2000:]}")
