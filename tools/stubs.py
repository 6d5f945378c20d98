"""Generates the committed Python stubs of `protos/`, or checks that they are what a fresh generation gives.

    python tools/stubs.py            write them beside the protos
    python tools/stubs.py --check    compare, byte for byte; exit status 1 and a list where they differ

Messages are typed by mypy-protobuf, so that servicers and clients check under `mypy --strict`. No stubs are made for
`google/`: those modules come from googleapis-common-protos, and a second copy in a process is an error.
"""

from __future__ import annotations

import argparse
import importlib.resources
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["generate", "main", "stale"]

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
VENDOR = PROTOS / "vendor"
SERVICES = tuple(sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "magnet").rglob("*.proto")))
VENDORED = ("buf/validate/validate.proto",)


def generate(target: Path) -> None:
    """Runs protoc with its Python, gRPC and typing plugins.

    Arguments:
        target: existing folder that receives `magnet/` and `buf/`.

    Raises:
        subprocess.CalledProcessError: if protoc refuses a file; its own message is on standard error.
    """
    include = importlib.resources.files("grpc_tools") / "_proto"
    paths = [f"-I{PROTOS}", f"-I{VENDOR}", f"-I{include}"]
    plugins = [f"--plugin=protoc-gen-{name}={Path(sys.executable).parent / f'protoc-gen-{name}'}" for name in PLUGINS]
    base = [sys.executable, "-m", "grpc_tools.protoc", *paths, *plugins]
    subprocess.run([*base, f"--python_out={target}", f"--mypy_out=quiet:{target}", *SERVICES, *VENDORED], check=True)
    subprocess.run([*base, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *SERVICES], check=True)
    for stub in target.rglob("*_pb2_grpc.py*"):  # files without a service would be empty shells
        if "_to_server" not in stub.read_text():
            stub.unlink()


PLUGINS = ("mypy", "mypy_grpc")


def stale() -> list[str]:
    """Names the committed stubs that differ from fresh ones, are missing or are left over.

    Returns:
        Paths relative to `protos/`, sorted; empty when all is well.
    """
    with tempfile.TemporaryDirectory() as folder:
        fresh_root = Path(folder)
        generate(fresh_root)
        fresh = {str(path.relative_to(fresh_root)): path.read_bytes() for path in fresh_root.rglob("*_pb2*.py*")}
    here = {
        str(path.relative_to(PROTOS)): path.read_bytes()
        for path in PROTOS.rglob("*_pb2*.py*")
        if path.suffix in {".py", ".pyi"}
    }
    return sorted(name for name in fresh.keys() | here.keys() if fresh.get(name) != here.get(name))


def main() -> int:
    """Runs the command line.

    Returns:
        Exit status: 0, or 1 where `--check` found a difference.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only")
    if not parser.parse_args().check:
        for old in PROTOS.rglob("*_pb2*.py*"):
            if old.suffix in {".py", ".pyi"}:
                old.unlink()
        generate(PROTOS)
        return 0
    names = stale()
    for name in names:
        print(f"stale: protos/{name} (run: python tools/stubs.py)", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
