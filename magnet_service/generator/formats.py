"""The file formats of a generator: how each is read, and what of it a version's folder holds."""

from __future__ import annotations

import shutil
from pathlib import Path

from magnet_service.errors import DamagedData, InvalidInput
from magnet_service.generator.archive import read_archive
from magnet_service.generator.onnx_reader import data_files, read_onnx
from magnet_service.generator.program import Program

__all__ = ["ARCHIVE_FILE", "ONNX_FILE", "PROBE_FILE", "copy_into", "read_file", "version_file"]

ARCHIVE_FILE = "generator.pt2"
ONNX_FILE = "generator.onnx"
PROBE_FILE = "probe.npz"


def read_file(file: Path) -> Program:
    """Read a file in the format that its name ends in: `.onnx`, else a `.pt2` archive.

    Arguments:
        file: the file.

    Returns:
        The program.

    Raises:
        The same as `read_onnx` and `read_archive`.

    Accuracy: as `read_onnx` and `read_archive` say.
    """
    return read_onnx(file) if file.suffix.lower() == ".onnx" else read_archive(file)


def version_file(home: Path) -> Path | None:
    """Return the generator's file in the folder of a version.

    Arguments:
        home: `generators/NAME/1`.

    Returns:
        `generator.pt2` or `generator.onnx` in it; None where it has neither.

    Raises:
        DamagedData: it has both.

    Accuracy: exact.
    """
    found = [home / name for name in (ARCHIVE_FILE, ONNX_FILE) if (home / name).is_file()]
    if len(found) > 1:
        raise DamagedData(f"{home} holds both {ARCHIVE_FILE} and {ONNX_FILE}: remove one.")
    return found[0] if found else None


def copy_into(file: Path, home: Path) -> Path:
    """Copy a generator's file, and the data files that it names, into the folder of a version.

    Arguments:
        file: the file.
        home: the folder, which exists.

    Returns:
        The copy.

    Raises:
        InvalidInput: a data file has a name that the folder needs itself.
        The same as `data_files`; OSError: a file cannot be read or written.

    Accuracy: bit for bit.
    """
    onnx = file.suffix.lower() == ".onnx"
    target = home / (ONNX_FILE if onnx else ARCHIVE_FILE)
    shutil.copyfile(file, target)
    for name in data_files(file) if onnx else ():
        if name in (ARCHIVE_FILE, ONNX_FILE, PROBE_FILE):
            raise InvalidInput(
                f"{file} keeps weights in a data file called {name!r}, a name that the repository uses itself; "
                f"export it with another name, or with all weights inside.",
                field="file",
            )
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.parent / name, home / name)
    return target
