"""Generators: listed, described, measured."""

from __future__ import annotations

from numpy.typing import ArrayLike

from magnet.v1 import generator_pb2
from magnet_client import codec
from magnet_client.blocking.connection import Connection
from magnet_client.generators import GeneratorInfo, GeneratorSummary
from magnet_client.results import Volumes
from magnet_client.words import ConditionLike, ManifoldWord, PrecisionWord

__all__ = ["Generators"]


class Generators(Connection):
    """Calls of the generator and geometry services."""

    def generators(self, *, timeout: float | None = None) -> tuple[GeneratorSummary, ...]:
        """List the generators that the server holds.

        Arguments:
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            One line each, the newest version, in alphabetical order.

        Raises:
            DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: exact.
        """
        response = self._call(self._generators.ListGenerators, generator_pb2.ListGeneratorsRequest(), timeout)
        return tuple(map(codec.decode_summary, response.generators))

    def generator(
        self, generator: str, rank_latents: int = 0, *, auto_top_k: bool = False, timeout: float | None = None
    ) -> GeneratorInfo:
        """Describe one generator: what goes in, what comes out, operations, units, rank.

        Arguments:
            generator: `name` or `name@version`.
            rank_latents: also measure rank and spectrum at this many prior latents, 0 to 1024.
            auto_top_k: also look up, for each base that has a bank, the k that AUTO takes at rho 1.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Everything the server knows of it.

        Raises:
            InvalidInput: rank_latents is out of range.
            UnknownResource: no such generator or version.
            DamagedData, Refused: its file cannot be loaded; the message says what is wrong with it.
            DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: exact; rank by the rule that sigma_i counts above max(D, d) eps sigma_1, eps of float64.
        """
        request = codec.generator_request(generator, rank_latents, auto_top_k)
        return codec.decode_generator(self._call(self._generators.GetGenerator, request, timeout))

    def log_volume(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        top_k: int = 0,
        manifold: ManifoldWord = "output",
        precision: PrecisionWord = "float32",
        timeout: float | None = None,
    ) -> Volumes:
        """Compute what the generator does to volume at latents of your own.

        Formula: log v_k(z) = log sigma_1 + ... + log sigma_k, sigma the singular values of the Jacobian at z.

        Arguments:
            generator: `name` or `name@version`.
            latents: [rows, d], finite; float32 is sent as it is, anything else as float64.
            condition: of all of them, where the generator takes one.
            top_k: k, 1 to d; 0 for k = d.
            manifold: `output`, `pre_activation` (before the smooth head) or `features`.
            precision: `float32`, `float64` or `bfloat16`; the last is refused where its error is above 0.05 nats.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Log-volumes, log singular values and ranks, in the order of the latents.

        Raises:
            InvalidInput: with field `latents` for a wrong width or non-finite values, `top_k` for k > d.
            UnknownResource: no such generator or version.
            Overloaded, DeadlineExceeded, Unavailable, MessageTooLarge, ServerFault: as their names say.

        Accuracy: within 1e-6 + 10 d eps cond nats, eps of the precision; -inf where rank < k.
        """
        request = codec.volume_request(generator, latents, condition, top_k, manifold, precision)
        return codec.decode_volumes(self._call(self._geometry.LogVolume, request, timeout))
