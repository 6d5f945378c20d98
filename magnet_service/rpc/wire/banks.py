"""Banks, their rows and their builds, written for the wire."""

from __future__ import annotations

import numpy as np
from google.longrunning import operations_pb2

from magnet.v1 import bank_pb2, types_pb2
from magnet_service.rpc.operations import OperationState
from magnet_service.rpc.wire.conditions import condition_of_text
from magnet_service.rpc.wire.draws import error_message, manifold_to, precision_to, stamp_entries
from magnet_service.rpc.wire.tensors import tensor_from
from magnet_service.sampling import Bank, BankRows, OperationRecord

__all__ = [
    "bank_message",
    "bank_row_bytes",
    "bank_rows_message",
    "operation_message",
    "progress_message",
]


def bank_message(bank: Bank, reference: str, labels: tuple[str, ...] = ()) -> bank_pb2.Bank:
    """Writes a bank.

    Arguments:
        bank: as it stands.
        reference: its generator on this server, `name@version`; empty if it holds it no more.
        labels: of that generator's classes.

    Returns:
        The message.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    spec, accuracy = bank.spec, bank.manifest.accuracy
    used = precision_to(bank.manifest.precision_used) if bank.revision else types_pb2.PRECISION_UNSPECIFIED
    return bank_pb2.Bank(
        bank_id=bank.id,
        generator=reference,
        generator_digest=spec.generator_digest,
        law=spec.law,
        condition=spec.condition,
        condition_label=condition_of_text(spec.condition, labels),
        manifold=manifold_to(spec.manifold),
        precision=precision_to(spec.precision),
        tile_rows=spec.tile_rows,
        threads=spec.threads,
        seed=spec.seed,
        revision=bank.revision,
        columns=spec.columns,
        bytes=bank.bytes,
        stamp=stamp_entries(bank.manifest.stamp),
        precision_used=used,
        precision_reason="" if accuracy is None else accuracy.reason,
        errors=() if accuracy is None else map(error_message, accuracy.errors),
        origin=spec.origin,
        generator_name=spec.generator_name,
        largest_k=spec.columns * bool(bank.revision) if accuracy is None else accuracy.largest_k,
    )


def bank_row_bytes(bank: Bank) -> int:
    """Bytes that one row of a bank takes on the wire."""
    return 4 * (bank.spec.base_law.dim + bank.spec.columns + 1)


def bank_rows_message(rows: BankRows, start: int, count: int) -> bank_pb2.ReadBankResponse:
    """Writes rows start to start + count - 1 of a bank."""
    part = rows.span(start, start + count)
    return bank_pb2.ReadBankResponse(
        offset=start,
        latents=tensor_from(part.latents),
        log_volumes=tensor_from(part.log_volumes),
        rank=tensor_from(part.rank.astype(np.int32)),
    )


def progress_message(record: OperationRecord) -> bank_pb2.BuildProgress:
    """Writes how far a build is."""
    message = bank_pb2.BuildProgress(
        bank_id=record.bank_id,
        generator=record.reference,
        rows_done=record.rows_done,
        rows_total=record.rows_total,
        rows_per_second=record.rows_per_second,
        condition=record.condition,
    )
    if record.seconds_left is not None:
        message.remaining.FromMilliseconds(round(1e3 * record.seconds_left))
    return message


def operation_message(state: OperationState) -> operations_pb2.Operation:
    """Writes an operation: BuildProgress as metadata, and once done a Bank or an error."""
    message = operations_pb2.Operation(name=state.record.name, done=state.record.done)
    message.metadata.Pack(progress_message(state.record))
    if state.error is not None:
        message.error.CopyFrom(state.error)
    elif state.bank is not None:
        message.response.Pack(bank_message(state.bank, state.record.reference, state.labels))
    return message
