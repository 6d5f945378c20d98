"""Banks written as the volume files that MaGNET publishes."""

from __future__ import annotations

import secrets
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from magnet_service.errors import InvalidInput, Refused
from magnet_service.sampling.banks.bank import Bank
from magnet_service.sampling.banks.imported import CLASSES, log_volumes_of
from magnet_service.sampling.banks.local_place import TEMPORARY, out_of_space
from magnet_service.sampling.banks.rows import OK, Rows

__all__ = ["ExportedFile", "export_official"]

_SPAN = 16_384


@dataclass(frozen=True)
class ExportedFile:
    """A volume file that was written.

    Attributes:
        path: where.
        rows: its rows.
        left_out: rows of the banks whose output or Jacobian is not finite, which it does not hold.
        zero_rows: rows of rank 0 among its rows; readers of such files drop them.
        columns: singular values of a row.
        classes: columns of its labels; 0 without.
        type: of its singular values, `float32`, or `float64` where that does not hold them.
    """

    path: Path
    rows: int
    left_out: int
    zero_rows: int
    columns: int
    classes: int
    type: str


def export_official(banks: Sequence[Bank], path: str | Path, *, classes: int = 0) -> ExportedFile:
    """Writes a bank, or the banks of several classes one behind the other, as a volume file.

        sigma_i = exp(log v_i - log v_(i-1)) for i <= rank, else 0

    Arguments:
        banks: one bank, or banks of different classes that agree in all else.
        path: of the `.npz` to write; a file there is replaced once the new one is whole.
        classes: number of classes of the generator, for banks of classes; where 0 that of the file they came from, else
            the least that fits.

    Returns:
        What was written: `latents` float32, `svds` float32, or float64 where some singular value lies outside of
        float32, or would count as 0 beside the row's largest in it, and for banks of classes one-hot `labels`.

    Raises:
        InvalidInput: no bank, or several that are no classes of one generator under one law (field `bank_id`), too few
            classes (field `classes`), a path that does not end in .npz (field `file`).
        Refused: a bank without rows (EMPTY_BANK); singular values beyond float64 (OUT_OF_RANGE).
        DamagedData: a shard is damaged.
        OutOfSpace: the device is full; nothing is left behind.

    Accuracy:
        Latents exact. Read back, log v_k differs by at most 2^-24 (k + 3 max_j |log v_j|) nats: float32 rounding of
        each singular value, and of the prefix sums that a bank keeps.

    Cost:
        The banks' rows in memory; the singular values are computed a few at a time.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise InvalidInput(f"{target.name} does not end in .npz: name a file that does", field="file")
    indices = _indices(banks)
    width = max((int(bank.manifest.stamp.get(CLASSES, 0)) for bank in banks), default=0)
    width = (classes or max(width, max(indices, default=0) + 1)) if indices else 0
    if indices and max(indices) >= width:
        raise InvalidInput(
            f"a bank is of class {max(indices)}: write classes {max(indices) + 1} or more", field="classes"
        )
    whole = [bank.rows().span(0, bank.revision) for bank in banks]
    if not all(len(rows) for rows in whole):
        raise Refused("a bank holds no rows yet: build it", field="bank_id", reason="EMPTY_BANK")
    dim, columns = whole[0].latents.shape[1], whole[0].columns
    kept = [np.flatnonzero(rows.status == OK) for rows in whole]
    parts = [
        _picked(rows, which[start : start + _SPAN])
        for rows, which in zip(whole, kept, strict=True)
        for start in range(0, len(which), _SPAN)
    ]
    owners = [index for index, which in zip(indices, kept, strict=False) for _ in range(0, len(which), _SPAN)]
    count = sum(map(len, kept))
    kind = _type_for(parts, dim)
    # An array is declared before its rows, so that none is ever whole in memory beside the bank's own.
    arrays: dict[str, tuple[np.dtype[np.generic], int, Iterator[np.ndarray]]] = {
        "latents": (np.dtype("<f4"), dim, (part.latents for part in parts)),
        "svds": (kind, columns, (_singular_values(part) for part in parts)),
    }
    if indices:
        arrays["labels"] = (np.dtype("<f4"), width, _one_hot(parts, owners, width))
    _write(target, count, arrays)
    zero = sum(int((part.rank == 0).sum()) for part in parts)
    left_out = sum(map(len, whole)) - count
    return ExportedFile(target, count, left_out, zero, columns, width, str(kind))


def _indices(banks: Sequence[Bank]) -> list[int]:
    """The class of each bank; none where conditions are none or a vector."""
    if not banks:
        raise InvalidInput("there is no bank to write: name one", field="bank_id")
    texts = [bank.spec.condition for bank in banks]
    alike = {
        (
            spec.generator_digest,
            spec.generator_name if not spec.generator_digest else "",
            spec.law,
            spec.manifold,
            spec.columns,
        )
        for spec in (bank.spec for bank in banks)
    }
    one_class_each = all(text.isdigit() for text in texts) and len(set(texts)) == len(texts)
    if len(banks) > 1 and (len(alike) > 1 or not one_class_each):
        raise InvalidInput(
            "several banks make one file only as different classes of one generator, of one law, manifold and number "
            "of singular values: write them to files of their own",
            field="bank_id",
        )
    return [int(text) for text in texts] if one_class_each else []


def _picked(rows: Rows, which: np.ndarray) -> Rows:
    if len(which) and len(which) == which[-1] - which[0] + 1:
        return rows.span(int(which[0]), int(which[-1]) + 1)
    return Rows(rows.latents[which], rows.log_volumes[which], rows.rank[which], rows.status[which])


def _singular_values(rows: Rows) -> Float64[np.ndarray, "rows columns"]:
    """Descending, as rounding of the prefix sums may have exchanged some that are nearly equal."""
    sums = rows.log_volumes.astype(np.float64)
    counts = np.arange(rows.columns) < rows.rank[:, None]
    before = np.zeros_like(sums)
    before[:, 1:] = sums[:, :-1]
    logs = np.subtract(sums, before, out=np.full(sums.shape, -np.inf), where=counts)
    largest = float(logs.max(initial=-np.inf, where=counts))
    smallest = float(logs.min(initial=np.inf, where=counts))
    limits = np.finfo(np.float64)
    if largest > np.log(limits.max) or smallest < np.log(limits.tiny):
        raise Refused(
            f"singular values from e^{smallest:.0f} to e^{largest:.0f} are beyond float64: such a bank cannot be "
            "written as plain numbers",
            reason="OUT_OF_RANGE",
        )
    return np.sort(np.exp(logs), axis=1)[:, ::-1]


def _type_for(parts: Sequence[Rows], dim: int) -> np.dtype[np.generic]:
    """float32 where a reader finds the same ranks in it."""
    limits = np.finfo(np.float32)
    for part in parts:
        values = _singular_values(part)
        positive = values[values > 0.0]
        if positive.max(initial=0.0) > float(limits.max) or positive.min(initial=1.0) < float(limits.tiny):
            return np.dtype("<f8")
        if (log_volumes_of(values.astype(np.float32), dim)[1] != part.rank).any():
            return np.dtype("<f8")
    return np.dtype("<f4")


def _one_hot(parts: Sequence[Rows], owners: Sequence[int], classes: int) -> Iterator[np.ndarray]:
    for part, index in zip(parts, owners, strict=True):
        labels = np.zeros((len(part), classes), np.float32)
        labels[:, index] = 1.0
        yield labels


def _write(target: Path, count: int, arrays: dict[str, tuple[np.dtype[np.generic], int, Iterator[np.ndarray]]]) -> None:
    draft = target.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{target.name}")
    try:
        with out_of_space(target.name), zipfile.ZipFile(draft, "x", zipfile.ZIP_STORED) as archive:
            for name, (kind, width, spans) in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    header = {"descr": kind.str, "fortran_order": False, "shape": (count, width)}
                    np.lib.format.write_array_header_1_0(stream, header)
                    for part in spans:
                        stream.write(np.ascontiguousarray(part, kind).tobytes())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
