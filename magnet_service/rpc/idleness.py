"""What a builder does while nobody asks for anything: its banks grow, a shard at a time, within a budget."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from magnet_service.errors import MagnetError
from magnet_service.registry import Registry
from magnet_service.rpc.operations import OperationBoard
from magnet_service.rpc.worker import Worker

__all__ = ["grow_while_idle"]

_LOOK_SECONDS = 1.0
_REST_SECONDS = 60.0  # after there was nothing to grow, or it went wrong


async def grow_while_idle(
    registry: Registry,
    worker: Worker,
    board: OperationBoard,
    log: structlog.typing.FilteringBoundLogger,
    *,
    to_rows: int,
    budget: int,
) -> None:
    """Grows the smallest bank that can grow, again and again, whenever no build is at work; never returns by itself.

    Arguments:
        registry: its banks.
        worker: whose device is used, between requests.
        board: where each growth is an operation like any other; one that is asked for takes its place.
        log: what went wrong.
        to_rows: rows beyond which no bank is grown.
        budget: bytes that may be added to the store in all.
    """
    refused: set[str] = set()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if not board.idle or worker.waiting:
            continue
        try:
            plan = partial(registry.plan_growth, to_rows, budget, frozenset(refused))
            build = await worker.run(lambda _, plan=plan: plan(), background=True)  # type: ignore[misc]
            if build is None:
                refused.clear()
                await asyncio.sleep(_REST_SECONDS)
                continue
            before = build.bank.bytes
            state = await board.wait((await board.start(build)).record.name, None)
            if state.bank is not None:
                budget -= max(0, state.bank.bytes - before)
            elif state.error is not None:
                refused.add(build.bank.id)
        except MagnetError as error:
            log.warning("no bank grows while idle", reason=error.reason, cause=error.message)
            await asyncio.sleep(_REST_SECONDS)
