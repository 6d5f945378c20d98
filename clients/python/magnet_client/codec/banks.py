"""Banks and their builds on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from google.longrunning import operations_pb2

from magnet.v1 import bank_pb2
from magnet_client.codec.accuracy import decode_error
from magnet_client.codec.bases import base_to_wire
from magnet_client.codec.conditions import condition_to_wire
from magnet_client.codec.sampling import generator_or_bank, stamp_to_dict
from magnet_client.codec.scalars import (
    MANIFOLDS,
    PRECISIONS,
    bank_id,
    finite,
    integer,
    manifold_word,
    precision_word,
    word_to_enum,
)
from magnet_client.codec.status import error_from_status
from magnet_client.codec.tensors import from_tensor
from magnet_client.errors import ServerFault
from magnet_client.results import BankInfo, BankList, BankRows, PolarityCell, PolarityGrid, Progress
from magnet_client.words import BaseWord, ConditionLike, ManifoldWord, PrecisionWord

__all__ = [
    "build_request",
    "decode_bank",
    "decode_banks",
    "decode_outcome",
    "decode_polarity",
    "decode_progress",
    "decode_rows",
    "polarity_request",
    "read_request",
]


def build_request(
    generator: str,
    rows: int,
    condition: ConditionLike | None,
    seed: int,
    base: BaseWord,
    ball_radius: float | None,
    box: Sequence[float] | None,
    manifold: ManifoldWord,
    precision: PrecisionWord,
) -> bank_pb2.BuildBankRequest:
    """Pack the arguments of `Client.build_bank`; InvalidInput for what can never be right."""
    return bank_pb2.BuildBankRequest(
        generator=generator,
        rows=integer(rows, "rows", 1, 10_000_000_000),
        base=base_to_wire(None, base, ball_radius, box),
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
        precision=word_to_enum(precision, PRECISIONS, "precision"),
        seed=integer(seed, "seed", 0, 2**64 - 1),
        condition=condition_to_wire(condition),
    )


def read_request(bank: str, offset: int, count: int | None) -> bank_pb2.ReadBankRequest:
    """Pack the arguments of `Client.read_bank`; InvalidInput for what can never be right."""
    return bank_pb2.ReadBankRequest(
        bank_id=bank_id(bank),
        offset=integer(offset, "offset", 0),
        count=0 if count is None else integer(count, "count", 1),
    )


def polarity_request(
    generator: str | None,
    rhos: Sequence[float] | None,
    top_ks: Sequence[int] | None,
    condition: ConditionLike | None,
    base: BaseWord,
    ball_radius: float | None,
    box: Sequence[float] | None,
    manifold: ManifoldWord,
    bank: str | None,
    bank_revision: int | None,
    precision: PrecisionWord,
) -> bank_pb2.DescribePolarityRequest:
    """Pack the arguments of `Client.describe_polarity`; InvalidInput for what can never be right."""
    return bank_pb2.DescribePolarityRequest(
        generator=generator_or_bank(generator, bank),
        condition=condition_to_wire(condition),
        base=base_to_wire(None, base, ball_radius, box),
        rhos=[finite(rho, "rhos") for rho in rhos or ()],
        top_ks=[integer(top_k, "top_ks", 1, 2**31 - 1) for top_k in top_ks or ()],
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
        precision=word_to_enum(precision, PRECISIONS, "precision"),
        bank_id="" if bank is None else bank_id(bank),
        bank_revision=integer(bank_revision or 0, "bank_revision", 0),
    )


def decode_bank(bank: bank_pb2.Bank) -> BankInfo:
    """Unpack a bank."""
    return BankInfo(
        bank_id=bank.bank_id,
        generator=bank.generator,
        generator_digest=bank.generator_digest,
        law=bank.law,
        condition=bank.condition,
        condition_label=bank.condition_label,
        manifold=manifold_word(bank.manifold),
        precision=precision_word(bank.precision),
        precision_used=precision_word(bank.precision_used) if bank.precision_used else None,
        precision_reason=bank.precision_reason,
        errors=tuple(map(decode_error, bank.errors)),
        largest_k=bank.largest_k,
        tile_rows=bank.tile_rows,
        threads=bank.threads,
        seed=bank.seed,
        revision=bank.revision,
        columns=bank.columns,
        bytes=bank.bytes,
        stamp=stamp_to_dict(bank.stamp),
        origin=bank.origin,
        generator_name=bank.generator_name,
    )


def decode_banks(response: bank_pb2.ListBanksResponse) -> BankList:
    """Unpack all banks."""
    return BankList(banks=tuple(map(decode_bank, response.banks)), unreadable=tuple(response.unreadable))


def decode_progress(operation: operations_pb2.Operation) -> Progress:
    """Unpack a build as it stands; ServerFault if the operation is no build."""
    state = bank_pb2.BuildProgress()
    if not operation.metadata.Unpack(state):
        raise ServerFault(
            f"{operation.name or 'the operation'} is no build: its metadata is {operation.metadata.type_url!r}",
            reason="MALFORMED_ANSWER",
        )
    remaining = state.remaining
    return Progress(
        operation=operation.name,
        bank_id=state.bank_id,
        generator=state.generator,
        condition=state.condition,
        rows_done=state.rows_done,
        rows_total=state.rows_total,
        rows_per_second=state.rows_per_second,
        remaining=remaining.seconds + remaining.nanos * 1e-9 if state.HasField("remaining") else None,
        done=operation.done,
    )


def decode_outcome(operation: operations_pb2.Operation) -> BankInfo:
    """Unpack the bank that a finished build left; the build's own error if it failed."""
    if operation.HasField("error"):
        raise error_from_status(operation.error)
    bank = bank_pb2.Bank()
    if not operation.done or not operation.response.Unpack(bank):
        raise ServerFault(
            f"{operation.name or 'the operation'} ended without a bank: the server is of another version",
            reason="MALFORMED_ANSWER",
        )
    return decode_bank(bank)


def decode_rows(parts: Sequence[bank_pb2.ReadBankResponse], offset: int) -> BankRows:
    """Put the parts of a bank together; ServerFault if an array is malformed."""
    latents: Any = [from_tensor(part.latents) for part in parts]
    volumes: Any = [from_tensor(part.log_volumes) for part in parts]
    rank: Any = [from_tensor(part.rank) for part in parts]
    return BankRows(
        offset=parts[0].offset if parts else offset,
        latents=np.concatenate(latents) if parts else np.empty((0, 0), np.float32),
        log_volumes=np.concatenate(volumes) if parts else np.empty((0, 0), np.float32),
        rank=np.concatenate(rank) if parts else np.empty(0, np.int32),
    )


def decode_polarity(response: bank_pb2.DescribePolarityResponse) -> PolarityGrid:
    """Unpack a grid."""
    return PolarityGrid(
        cells=tuple(
            PolarityCell(
                rho=cell.rho,
                top_k=cell.top_k,
                ess=cell.ess,
                khat=cell.khat if cell.HasField("khat") else None,
                largest_weight=cell.largest_weight,
                low_rank_share=cell.low_rank_share,
            )
            for cell in response.cells
        ),
        bank_id=response.bank_id,
        bank_revision=response.bank_revision,
        bank_reason=response.bank_reason,
        base=response.base,
        advice=response.advice,
    )
