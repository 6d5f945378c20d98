"""What BFLOAT16 is worth for each generator, measured once where latents are measured that no bank holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from magnet_service.generator import Manifold, Precision
from magnet_service.geometry import Engine, MeasuredError, measure_error
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import DirectDraw, Resolved, bound, check_top_k, probe_latents, shortfall

__all__ = ["KnownErrors"]


class KnownErrors:
    """Errors of BFLOAT16 by generator, condition and manifold, at latents of the prior; kept once measured."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], MeasuredError] = {}

    def of(
        self,
        held: HeldGenerator,
        engine: Engine,
        manifold: Manifold,
        should_stop: Callable[[], bool] | None = None,
    ) -> MeasuredError | None:
        """The error of an engine for a generator; None in another precision than BFLOAT16, where nothing depends on it.

        Arguments:
            held: the generator.
            engine: how it is computed.
            manifold: where the image is taken.
            should_stop: asked before every tile.

        Returns:
            The error, measured at the first call.

        Raises:
            Cancelled: `should_stop` answered true.

        Accuracy: as `measure_error`.
        """
        if engine.precision is not Precision.BFLOAT16:
            return None
        condition = held.generator.condition
        key = (
            held.generator.digest,
            None if condition is None else tuple(condition.flatten().tolist()),
            held.prior.to_text(),
            manifold,
        )
        if key not in self._known:
            latents = probe_latents(bound(held.prior, held.generator, engine))
            tangent_space = held.prior.tangent_space
            self._known[key] = measure_error(engine, held.generator, manifold, tangent_space, latents, should_stop)
        return self._known[key]

    def checked(
        self,
        held: HeldGenerator,
        engine: Engine,
        manifold: Manifold,
        top_k: int,
        should_stop: Callable[[], bool] | None = None,
    ) -> MeasuredError | None:
        """As `of`; Refused (INEXACT) where log v_k is off by too much. A top_k of 0 is that of all columns."""
        error = self.of(held, engine, manifold, should_stop)
        if error is not None:
            check_top_k(error, top_k or held.prior.columns)
        return error

    def settled(
        self, held: HeldGenerator, engine: Engine, draw: DirectDraw, should_stop: Callable[[], bool] | None = None
    ) -> DirectDraw:
        """A draw that reads no bank, with the arithmetic of its own log-volumes settled.

        Arguments:
            held: the generator.
            engine: with the precision asked for.
            draw: the draw.
            should_stop: asked before every tile.

        Returns:
            The draw; where BFLOAT16 is off by too much at its k, it says that FLOAT32 takes its place and why.

        Raises:
            Cancelled: `should_stop` answered true.

        Accuracy: as `measure_error`.
        """
        return replace(draw, resolved=self.echo(held, engine, draw.resolved, should_stop))

    def echo(
        self, held: HeldGenerator, engine: Engine, resolved: Resolved, should_stop: Callable[[], bool] | None = None
    ) -> Resolved:
        """What `settled` makes of a draw's resolved request."""
        error = self.of(held, engine, resolved.manifold, should_stop)
        if error is None:
            return resolved
        k = resolved.top_k or held.prior.columns
        if k <= error.largest_k:
            return replace(resolved, volume_error=error.at(k))
        return replace(resolved, precision_used=Precision.FLOAT32, precision_reason=shortfall(error, k))
