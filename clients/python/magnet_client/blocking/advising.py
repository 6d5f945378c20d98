"""Advice before a draw."""

from __future__ import annotations

from collections.abc import Sequence

from magnet_client import codec
from magnet_client.advice import Advice
from magnet_client.blocking.connection import Connection
from magnet_client.words import BaseWord, ConditionLike, EffectiveRankWord, ManifoldWord, PrecisionWord

__all__ = ["Advising"]


class Advising(Connection):
    """The call that tells all there is to know of a bank."""

    def advise(
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
        """Tell what a bank supports, what it takes beyond that, and what each preset would draw.

        Formula: effective rank = exp(-sum_i alpha_i log alpha_i), alpha_i = sigma_i / sum sigma.

        Arguments:
            generator: `name` or `name@version`; None beside a bank, whose own law then stands for the prior.
            rhos: exponents of v_k, at most 64; a grid from -5 to 5 when None.
            top_ks: values of k, at most 64; up to 16 of 1..d when None.
            condition: where the generator takes one: that whose bank is described.
            base, ball_radius, box: the law to be reweighted, as in `sample`; presets bring their own.
            manifold: where volumes are taken.
            bank: its id; chosen as for a draw when None.
            bank_revision: use only this many first rows.
            precision: arithmetic of the bank.
            effective_rank: `squares` for alpha_i = sigma_i^2 / sum sigma^2.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            The advice: a picture by `render`, and in notebooks by itself.

        Raises:
            InvalidInput: with field, for what can never be right.
            UnknownResource: no such generator, version or bank.
            Refused: no bank fits; the message says how to build one.
            Overloaded, DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: ESS is exact for the bank's rows; rows needed, k-hat and the spectrum are estimates from them. ESS / N
        of a small bank is too large while the heaviest rows are missing, and then so is every promise made of it.

        Cost: one pass over the rows for each pair of rho and k, and a sort of 102,400 rows at most for each column.
        """
        grid = codec.polarity_request(
            generator, rhos, top_ks, condition, base, ball_radius, box, manifold, bank, bank_revision, precision
        )
        request = codec.advise_request(grid, effective_rank)
        return codec.decode_advice(self._call(self._banks.DescribePolarity, request, timeout))
