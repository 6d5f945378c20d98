"""The imports go one way: rpc -> registry -> sampling -> geometry -> generator -> torch, with errors a leaf.

`evaluation` stands beside rpc, above the registry.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "magnet_service"
CLIENT = ROOT / "clients" / "python" / "magnet_client"

LAYERS = ("generator", "geometry", "sampling", "registry", "evaluation", "rpc")
GRPC = {"grpc", "google", "grpc_health", "grpc_reflection", "grpc_status", "magnet", "protovalidate", "buf"}


def imported(path: Path) -> Iterator[str]:
    """Yields every absolute module name that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "magnet_service" and len(parts) > 1 and parts[1] in LAYERS else None


def files_of(layer: str) -> list[Path]:
    folder = SERVICE / layer
    found = sorted(folder.rglob("*.py")) if folder.is_dir() else [SERVICE / f"{layer}.py"]
    assert found, layer
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_is_below(layer: str) -> None:
    allowed = set(LAYERS[: LAYERS.index(layer) + 1])
    if layer == "rpc":
        allowed.remove("evaluation")
    for path in files_of(layer):
        above = {module for module in imported(path) if (layer_of(module) or layer) not in allowed}
        assert not above, f"{path.relative_to(ROOT)} imports {sorted(above)}"


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer != "rpc"])
def test_only_rpc_knows_grpc(layer: str) -> None:
    for path in files_of(layer):
        foreign = {module for module in imported(path) if module.split(".")[0] in GRPC}
        if path.name == "onnx_file.py":  # the format is protobuf, and what its parser raises has to be named
            foreign = {module for module in foreign if not module.startswith("google.protobuf.message")}
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


def test_the_core_never_imports_the_client_or_the_command_line() -> None:
    for layer in LAYERS:
        for path in files_of(layer):
            names = {module for module in imported(path) if module.startswith(("magnet_client", "magnet_service.cli"))}
            assert not names, f"{path.relative_to(ROOT)} imports {sorted(names)}"


def test_errors_are_a_leaf() -> None:
    roots = {name.split(".")[0] for name in imported(SERVICE / "errors.py")}
    assert roots <= {"__future__", "collections"}


def test_the_client_knows_neither_torch_nor_the_service() -> None:
    for path in sorted(CLIENT.rglob("*.py")):
        roots = {module.split(".")[0] for module in imported(path)}
        assert not roots & {"torch", "magnet_service", "scipy", "pyarrow"}, path


def test_nothing_unpickles() -> None:
    forbidden = {"pickle", "dill", "cloudpickle", "joblib", "sympy", "torch.export.load", "torch.load", "torch.jit"}
    for path in [*SERVICE.rglob("*.py"), *CLIENT.rglob("*.py")]:
        assert not forbidden & set(imported(path)), path
        text = path.read_text(encoding="utf-8")
        assert "torch.load(" not in text, path
        assert "export.load(" not in text, path
        assert "allow_pickle=True" not in text, path


@pytest.mark.parametrize("module", ["magnet_client", "magnet_service", "magnet_service.cli", "magnet_service.config"])
def test_no_torch_at_import_time(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
