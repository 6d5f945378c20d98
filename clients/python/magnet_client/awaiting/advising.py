"""Advice before a draw."""

from __future__ import annotations

from collections.abc import Sequence

from magnet_client import codec
from magnet_client.advice import Advice
from magnet_client.awaiting.connection import AsyncConnection
from magnet_client.words import BaseWord, ConditionLike, EffectiveRankWord, ManifoldWord, PrecisionWord

__all__ = ["AsyncAdvising"]


class AsyncAdvising(AsyncConnection):
    """The call that tells all there is to know of a bank."""

    async def advise(
        self,
        generator: str | None,
        rhos: Sequence[float] | None = None,
        top_ks: Sequence[int] | None = None,
        *,
        condition: ConditionLike | None = None,
        base: BaseWord = "prior",
        ball_radius: float | None = None,
        box: tuple[float, float] | None = None,
        manifold: ManifoldWord = "output",
        bank: str | None = None,
        bank_revision: int | None = None,
        precision: PrecisionWord = "float32",
        effective_rank: EffectiveRankWord = "singular_values",
        timeout: float | None = None,
    ) -> Advice:
        """Tell what a bank supports and what it takes beyond that; as `Client.advise`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        grid = codec.polarity_request(
            generator, rhos, top_ks, condition, base, ball_radius, box, manifold, bank, bank_revision, precision
        )
        request = codec.advise_request(grid, effective_rank)
        return codec.decode_advice(await self._call(self._banks.DescribePolarity, request, timeout))
