"""Reading a `.pt2` archive of torch.export without torch.export: zip, JSON and raw bytes, and nothing that can run."""

from __future__ import annotations

import os
from pathlib import Path

from magnet_service.errors import DamagedData, RefusedArchive
from magnet_service.generator.archive_json import parse_json
from magnet_service.generator.archive_program import read_program
from magnet_service.generator.archive_tensors import read_tensors
from magnet_service.generator.archive_zip import Container, open_container
from magnet_service.generator.finite import check_finite
from magnet_service.generator.program import Program

__all__ = ["read_archive"]


def read_archive(path: str | os.PathLike[str], *, max_bytes: int = 4 << 30) -> Program:
    """Read the program and the weights of a `.pt2` archive.

    The format is the one that `torch.export.save` of torch 2.9 and newer writes: a graph of ATen calls as JSON and
    weights as raw bytes. No pickle in it is opened (its `data/sample_inputs/` always is one), no expression is
    evaluated, no operator is looked up by name, nothing is extracted.

    Arguments:
        path: the file.
        max_bytes: bound on the unpacked size of the archive, and on that of its tensors.

    Returns:
        The program, with its constants on the CPU in the dtype of the file.

    Raises:
        InvalidInput: there is no such file (field `file`).
        RefusedArchive: a pickle, native code, a custom object, a size expression other than the batch, an older form,
            several generators in one file, several inputs or outputs, or more than `max_bytes`.
        UnsupportedOperation: a call outside ATen.
        Refused: a weight holds NaN (NOT_FINITE).
        DamagedData: bytes or JSON that contradict themselves.

    Accuracy: exact, bit for bit.

    Cost: one pass over the file.

    References:
        The schema is `torch/_export/serde/schema.py`, major version 8, in the torch repository.
    """
    file = Path(path)
    with open_container(file, max_bytes=max_bytes) as container:
        _check_byte_order(container)
        name = _model_name(container)
        weights = read_tensors(
            container, f"data/weights/{name}_weights_config.json", "data/weights/", max_bytes=max_bytes
        )
        constants = read_tensors(
            container, f"data/constants/{name}_constants_config.json", "data/constants/", max_bytes=max_bytes
        )
        model = f"models/{name}.json"
        program = read_program(parse_json(container.read(model), f"{file}: {model}"), weights, constants)
    for name, tensor in program.constants.items():
        check_finite(tensor, f"{file}: the weight {name!r}")
    return program


def _check_byte_order(container: Container) -> None:
    for name, wanted in (("archive_format", b"pt2"), ("byteorder", b"little"), ("archive_version", b"0")):
        if name in container.names and (found := container.read(name)) != wanted:
            raise RefusedArchive(
                f"{container.path}: {name} is {found[:20]!r} and only {wanted!r} is read. Export it again with "
                f"torch 2.9 or newer on a little-endian machine."
            )


def _model_name(container: Container) -> str:
    models = [name for name in container.names if name.startswith("models/")]
    if not models:
        raise DamagedData(f"{container.path} holds no models/*.json; export it again.")
    if len(models) > 1 or not models[0].endswith(".json"):
        raise RefusedArchive(f"{container.path} holds {len(models)} models ({models[0]!r}, ...); export one alone.")
    return models[0].removeprefix("models/").removesuffix(".json")
