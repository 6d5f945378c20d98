"""Volume files as MaGNET publishes them, made up for the purpose, and plain sums to compare with."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from magnet_service.sampling import Bank, ImportedBank, Law, Normal, Store, import_official, read_official

ROWS, WIDTH, COLUMNS, CLASSES = 200, 6, 4, 5
PRIOR = Normal(WIDTH)


def arrays(rows: int = ROWS, *, labels: bool = False, kind: str = "f4", seed: int = 1) -> dict[str, np.ndarray]:
    source = np.random.default_rng(seed)
    svds = np.sort(np.exp(source.normal(size=(rows, COLUMNS))), axis=1)[:, ::-1]
    made = {"latents": source.normal(size=(rows, WIDTH)).astype(kind), "svds": np.ascontiguousarray(svds.astype(kind))}
    if labels:
        made["labels"] = np.eye(CLASSES, dtype=np.float32)[source.integers(0, CLASSES - 1, rows)]
    return made


def written(path: Path, **made: np.ndarray) -> Path:
    np.savez(path, **made)
    return path


def raw_file(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip of members as they are, whatever they claim."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def npy(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def claim(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """The header of an array, without its numbers."""
    sink = io.BytesIO()
    np.lib.format.write_array_header_1_0(sink, {"descr": descr, "fortran_order": False, "shape": shape})
    return sink.getvalue()


def slow_log_volumes(row: np.ndarray) -> list[float]:
    """log v_1, log v_2, ... of one row of singular values that all count."""
    return [
        math.fsum(math.log(value) for value in sorted(row.tolist(), reverse=True)[:k]) for k in range(1, len(row) + 1)
    ]


def imports(store: Path, path: Path, law: Law = PRIOR, **more: object) -> tuple[ImportedBank, ...]:
    given: dict[str, Any] = {"generator_name": "ffhq", "law": law, **more}
    return import_official(Store(store), read_official(path), **given)


def imported(folder: Path, law: Law = PRIOR, **made: np.ndarray) -> Bank:
    (one,) = imports(folder / "banks", written(folder / "ffhq.npz", **made), law)
    return one.bank
