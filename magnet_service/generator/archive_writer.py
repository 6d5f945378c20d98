"""Writing a `.pt2` archive that says the same wherever and whenever it is written, and holds no pickle and no paths."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from pathlib import Path

import torch

from magnet_service.errors import Refused

__all__ = ["write_archive"]

_ROOT = "generator"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_ALIGNMENT = 64


def write_archive(program: torch.export.ExportedProgram, path: str | os.PathLike[str]) -> None:
    """Write an exported program as a `.pt2` archive.

    The members are those of `torch.export.save`, less the sample inputs (a pickle: an empty member takes their place,
    which `torch.export.load` reads as none) and less the metadata of calls (stack traces, module names, local paths).
    Members are sorted, stored uncompressed at multiples of 64 bytes and dated 1980.

    Arguments:
        program: what `torch.export.export` returned.
        path: the file to write; its name should end in `.pt2`.

    Returns:
        Nothing.

    Raises:
        Refused: a weight is a tensor subclass or a custom object, which torch stores as a pickle; or the torch is older
            than 2.9 and stores all weights so.
        OSError: the file cannot be written.

    Accuracy: weights bit for bit; equal programs of one torch build give equal files.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where weights are slices of one storage; it stores all of it
        torch.export.save(program, buffer)
    with zipfile.ZipFile(buffer) as source:
        members = {name.partition("/")[2]: source.read(name) for name in source.namelist()}
    if "models/model.json" not in members:
        raise Refused(
            f"torch {torch.__version__} exports an older form of archive, with its weights in a pickle; export with "
            "torch >= 2.9. Reading and serving archives works with the torch that is installed.",
            reason="OLD_TORCH",
        )
    for name in members:
        if name.endswith("_config.json") and b'"use_pickle": true' in members[name]:
            raise Refused(
                "The generator holds a tensor subclass or a custom object, which would be stored as a pickle; replace "
                "it by plain tensors."
            )
    members["models/model.json"] = _strip(members["models/model.json"])
    members["data/sample_inputs/model.pt"] = b""
    members.pop(".data/serialization_id", None)
    Path(path).write_bytes(_pack(members))


def _strip(model: bytes) -> bytes:
    document = json.loads(model)
    module = document["graph_module"]
    for node in module["graph"]["nodes"]:
        node["metadata"] = {}
    module["metadata"] = {}
    module["module_call_graph"] = [entry for entry in module["module_call_graph"] if entry["fqn"] == ""]
    document["guards_code"] = []
    return json.dumps(document, sort_keys=True).encode()


def _pack(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(f"{_ROOT}/{name}", date_time=_EPOCH)
            header = target.tell() + 30 + len(member.filename.encode()) + 4
            padding = -header % _ALIGNMENT
            member.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
            archive.writestr(member, members[name])
    return target.getvalue()
