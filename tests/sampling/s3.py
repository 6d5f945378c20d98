"""An S3 of this machine, spoken to over real HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    # Nothing outside of this machine is asked for credentials.
    "AWS_EC2_METADATA_DISABLED": "true",
    # A store that is gone is told after one more try.
    "AWS_MAX_ATTEMPTS": "1",
}

_SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """Runs moto's server in a process of its own, which ends with this one; yields its URL."""
    command = [sys.executable, "-W", "ignore", "-c", _SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        try:
            yield url
        finally:
            process.stdin.close()
            process.kill()


@contextmanager
def bucket_at(url: str, name: str) -> Iterator[str]:
    """Makes a bucket, names the server in the environment as a user would, and yields the bucket's URL."""
    before = {key: os.environ.get(key) for key in (*CREDENTIALS, "AWS_ENDPOINT_URL")}
    os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=url)
    fsspec.filesystem("s3").clear_instance_cache()
    try:
        system = fsspec.filesystem("s3")
        system.mkdir(name)
        yield f"s3://{name}"
    finally:
        fsspec.filesystem("s3").clear_instance_cache()
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """URL of a server."""
    with s3_server() as url:
        yield url
