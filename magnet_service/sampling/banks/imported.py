"""Banks out of published volume files: rows as published, nothing computed but logarithms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold
from magnet_service.generator.condition import Condition
from magnet_service.sampling.banks.bank import SHARD_ROWS, Bank
from magnet_service.sampling.banks.growth import Growth
from magnet_service.sampling.banks.lease import Lease
from magnet_service.sampling.banks.official import OfficialFile
from magnet_service.sampling.banks.rows import OK, Rows
from magnet_service.sampling.banks.spec import BankSpec
from magnet_service.sampling.banks.store import Store
from magnet_service.sampling.law import Law
from magnet_service.sampling.pushforward import Pushforward

__all__ = ["CLASSES", "ImportedBank", "import_official", "log_volumes_of"]

CLASSES = "classes"
"""Entry of an imported bank's stamp: how many classes the labels of its file told apart."""

_SPAN = 16_384
# Mean squares of as many draws of a law as are compared with those of a file differ by far less than this share.
_ALIKE = 0.1
_COMPARED = 4096


@dataclass(frozen=True)
class ImportedBank:
    """A bank that came out of a file.

    Attributes:
        bank: as it stands now.
        zero_rows: rows of the file left out, all singular values being 0.
        unsorted_rows: rows whose singular values did not stand in descending order, and were put in it.
        doubt: why the law may not be that of the latents; empty where nothing speaks against it.
    """

    bank: Bank
    zero_rows: int
    unsorted_rows: int
    doubt: str


def import_official(
    store: Store,
    file: OfficialFile,
    *,
    generator_name: str,
    law: Law,
    generator_digest: str = "",
    condition: Condition | None = None,
    manifold: Manifold = Manifold.OUTPUT,
) -> tuple[ImportedBank, ...]:
    """Makes a bank of a file's rows, or one of those of each class.

    Row by row, with the singular values sorted,

        log v_k = log sigma_1 + ... + log sigma_k for k <= rank, else -inf,

    the rank counting sigma_i > d eps sigma_1, eps that of the file's type (d stands for the larger of d and the number
    of outputs, which the file does not tell). Rows without a singular value above 0 are left out, as the published code
    does. Whose singular values they are, of the Jacobian or of a random projection of it, and how exact, nobody knows:
    the bank's accuracy is unknown and answers say so. A bank that is there is not written again; an import that was
    killed goes on where it was.

    Arguments:
        store: where to.
        file: from `read_official`.
        generator_name: the generator, `name` or `name@version`.
        law: law that the latents were drawn from.
        generator_digest: sha256 of the generator where it is at hand; else empty, and a generator of that name is taken
            for it.
        condition: of a file without labels, the condition of all its rows; of one with labels, the one class wanted,
            by index.
        manifold: whose volumes they are.

    Returns:
        The bank; of a file with labels one for each class that has rows, in order.

    Raises:
        InvalidInput: a law of another width or too few columns, or whose support latents lie outside of (field `law`),
            a class that has no rows (field `condition`), or no row at all that has a volume (field `file`). Nothing is
            written then.
        Refused: another writer is at work on the bank (BUSY), or the lease was lost (LEASE_LOST).
        OutOfSpace, Unreachable: the store is full or does not answer; what is complete stays.

    Accuracy:
        Logarithms and their sums in float64, kept as float32; latents rounded to float32.

    Cost:
        Memory of the file's arrays and of one shard.
    """
    kept = file.nonzero
    if not kept.any():
        raise InvalidInput(f"all rows of {file.name} have singular values of 0: none has a volume", field="file")
    _check_law(file, law, np.flatnonzero(kept))
    doubt = _doubt(file, law)
    made = []
    for one, own in _parts(file, condition):
        spec = BankSpec(
            generator_digest=generator_digest,
            law=law.to_text(),
            condition="" if one is None else one.text,
            manifold=manifold,
            tile_rows=1,
            origin=file.digest,
            generator_name=generator_name,
            singular_values=file.svds.shape[1],
        )
        rows = own[kept[own]]
        stamp = {"file": file.name, "zero_rows": str(len(own) - len(rows))}
        if file.classes:
            stamp[CLASSES] = str(file.classes)
        bank = store.ensure(spec, stamp=stamp, shard_rows=SHARD_ROWS)
        made.append(ImportedBank(_filled(bank, file, rows), len(own) - len(rows), _unsorted(file, rows), doubt))
    return tuple(made)


def log_volumes_of(
    svds: Float[np.ndarray, "rows columns"], dim: int
) -> tuple[Float64[np.ndarray, "rows columns"], Int64[np.ndarray, " rows"]]:
    """Prefix sums of log singular values, and the rank.

    Arguments:
        svds: singular values, 0 or above, in any order; their type decides which count as 0.
        dim: width of a latent.

    Returns:
        log v_1 to log v_columns in nats, -inf above the rank; and the rank.

    Raises:
        Nothing.

    Accuracy:
        float64 rounding.
    """
    values = np.sort(svds.astype(np.float64), axis=1)[:, ::-1]
    counts = values > dim * float(np.finfo(svds.dtype).eps) * values[:, :1]
    logs = np.full(values.shape, -np.inf)
    np.log(values, out=logs, where=counts)
    return np.cumsum(logs, axis=1), counts.sum(axis=1)


def _parts(
    file: OfficialFile, condition: Condition | None
) -> list[tuple[Condition | None, Int64[np.ndarray, " some"]]]:
    """The conditions of the banks to make, each with its rows of the file, zero rows too."""
    if file.labels is None:
        return [(condition, np.arange(len(file.latents)))]
    wanted = range(file.classes) if condition is None else (condition.index,)
    parts: list[tuple[Condition | None, Int64[np.ndarray, " some"]]] = []
    alive = file.nonzero
    for index in wanted:
        own = np.flatnonzero(file.labels == index)
        if alive[own].any():
            parts.append((Condition(index=index), own))
    if not parts:
        raise InvalidInput(
            f"{file.name} has no rows of class {condition.text if condition else ''}: its labels tell {file.classes} "
            f"classes apart, of which {len(np.unique(file.labels[alive]))} have rows",
            field="condition",
        )
    return parts


def _filled(bank: Bank, file: OfficialFile, rows: Int64[np.ndarray, " some"]) -> Bank:
    if bank.revision < len(rows):
        with Lease(bank.place, f"bank {bank.id}") as lease:
            growth = Growth(bank.place, lease, len(rows))
            for start, stop in growth.spans(SHARD_ROWS):
                growth.add(start, _rows(file, rows[start:stop]))
            growth.close()
    return bank.reload()


def _rows(file: OfficialFile, which: Int64[np.ndarray, " some"]) -> Rows:
    volumes, rank = log_volumes_of(file.svds[which], file.latents.shape[1])
    return Rows(
        file.latents[which].astype(np.float32),
        volumes.astype(np.float32),
        rank.astype(np.int16),
        np.full(len(which), OK, np.int8),
    )


def _unsorted(file: OfficialFile, rows: Int64[np.ndarray, " some"]) -> int:
    spans = (file.svds[rows[start : start + _SPAN]] for start in range(0, len(rows), _SPAN))
    return sum(int((part[:, 1:] > part[:, :-1]).any(axis=1).sum()) for part in spans)


def _check_law(file: OfficialFile, law: Law, rows: Int64[np.ndarray, " some"]) -> None:
    width, columns = file.latents.shape[1], file.svds.shape[1]
    if law.dim != width:
        raise InvalidInput(f"the latents of {file.name} are {width} wide, and {law.to_text()} is not", field="law")
    if columns > law.columns:
        raise InvalidInput(
            f"{file.name} has {columns} singular values a row: under {law.to_text()} there are {law.columns}",
            field="law",
        )
    if isinstance(law, Pushforward):  # its support cannot be told
        return
    for start in range(0, len(rows), _SPAN):
        part = rows[start : start + _SPAN]
        inside = law.log_density(file.latents[part].astype(np.float32)) > -np.inf
        if not inside.all():
            raise InvalidInput(
                f"latents of {file.name}, row {part[np.argmin(inside)]:,}: no draw of {law.to_text()} lies there; name "
                "the law that they were drawn from",
                field="law",
            )


def _doubt(file: OfficialFile, law: Law) -> str:
    if isinstance(law, Pushforward):
        return ""
    found = float(np.square(file.latents[:_COMPARED].astype(np.float64)).mean())
    drawn = float(np.square(law.rows(0, 0, _COMPARED).astype(np.float64)).mean())
    if abs(found - drawn) <= _ALIKE * drawn:
        return ""
    return (
        f"the latents' mean square is {found:.3g}, that of draws of {law.to_text()} {drawn:.3g}: is that the law that "
        "they were drawn from?"
    )
