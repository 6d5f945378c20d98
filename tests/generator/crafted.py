"""Archives to read and to refuse: a small good one, and the means to change any member of it."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Members = dict[str, bytes]
Document = dict[str, Any]

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLE = "data/sample_inputs/model.pt"


class Small(nn.Module):
    """Six latents to a 1 x 8 x 8 image: every kind of weight a file has, in a few hundred numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 16)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.ConvTranspose2d(4, 1, 4, stride=4)
        self.register_buffer("shift", torch.linspace(-1, 1, 16), persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = torch.relu(self.first(latents) + self.shift).view(latents.shape[0], 4, 2, 2)
        return torch.tanh(self.last(torch.relu(self.norm(hidden))))


def small(seed: int = 0) -> Small:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = Small()
        nn.init.uniform_(module.norm.running_mean)
        nn.init.uniform_(module.norm.running_var, 0.5, 2.0)
        return module.eval()


def exported(module: nn.Module, *shape: int, batch: int = 3, dynamic: bool = True) -> torch.export.ExportedProgram:
    sizes = ({0: torch.export.Dim("batch")},) if dynamic else None
    return torch.export.export(module.eval(), (torch.randn(batch, *shape),), dynamic_shapes=sizes)


def saved(program: torch.export.ExportedProgram, path: Path) -> Path:
    """Save as torch does, sample inputs, stack traces and all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where weights are slices of one storage
        torch.export.save(program, path)
    return path


def decomposed(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.13 warns about its own deprecations
        return program.run_decompositions()


def members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def pack(contents: Members, path: Path, *, root: str = "model", compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(f"{root}/{name}", data)
    return path


def edited(path: Path, member: str, edit: Callable[[Document], object], target: Path) -> Path:
    """Write the archive again with one of its JSON members changed in place by `edit`."""
    contents = members(path)
    document = json.loads(contents[member])
    edit(document)
    contents[member] = json.dumps(document).encode()
    return pack(contents, target)


def nodes(document: Document) -> list[Document]:
    found: list[Document] = document["graph_module"]["graph"]["nodes"]
    return found


def node(document: Document, target: str) -> Document:
    return next(entry for entry in nodes(document) if target in entry["target"])


def argument(entry: Document, name: str) -> Document:
    return next(item for item in entry["inputs"] if item["name"] == name)


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def bomb(marker: Path) -> bytes:
    """A pickle that makes the file `marker` when it is loaded."""
    return pickle.dumps(_Bomb(marker))


def torch_bomb(marker: Path) -> bytes:
    """The same in the form of torch.save."""
    buffer = io.BytesIO()
    torch.save(_Bomb(marker), buffer)
    return buffer.getvalue()


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON document."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))
