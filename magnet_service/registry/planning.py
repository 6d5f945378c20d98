"""From a request to a plan: the generator, its condition, the bank, the method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from magnet_service.errors import InvalidInput
from magnet_service.generator import Precision
from magnet_service.geometry import Engine
from magnet_service.geometry.engine import stopped
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.bare import plan_of_bank
from magnet_service.registry.classes import plan_classes
from magnet_service.registry.conditions import named
from magnet_service.registry.generators import GeneratorShelf, HeldGenerator
from magnet_service.registry.pages import Plan
from magnet_service.registry.precision import KnownErrors
from magnet_service.registry.screening import Clock, Screener
from magnet_service.sampling import DirectDraw, Law, Method, SampleRequest, bound, resolve
from magnet_service.sampling.echo import chosen_seed

__all__ = ["PATIENCE", "Planner"]

PATIENCE = Clock()
"""Waits as long as it takes."""

StopSignal = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Planner:
    """Settles draws. Not thread-safe, as the registry.

    Attributes:
        generators: by name.
        banks: the banks.
        engine_for: how the server computes in a precision.
        errors: what BFLOAT16 is worth where no bank says so.
        screener: draws by surrogates.
        max_count: largest number of rows of one request.
    """

    generators: GeneratorShelf
    banks: BankShelf
    engine_for: Callable[[Precision], Engine]
    errors: KnownErrors
    screener: Screener
    max_count: int

    def preparing(self, reference: str, request: SampleRequest) -> Iterator[float]:
        """Does what a draw needs before it can be planned, step by step: as `Screener.preparing`."""
        if not reference or request.method is Method.RESAMPLE:
            return
        held, request = self._drawn_from(reference, request)
        if held.condition is not None or held.card.conditions is None:
            yield from self.screener.preparing(held, request, self._prior(held, request))

    def plan(
        self,
        reference: str,
        request: SampleRequest,
        clock: Clock = PATIENCE,
        should_stop: StopSignal | None = None,
    ) -> Plan:
        """Settles a draw: which bank, k, rho, seed, method; a screened one is computed here.

        Arguments:
            reference: `name` or `name@version`; empty for the rows of the bank that the request names, without outputs.
            request: the draw.
            clock: until when a screened draw may grow towards its `min_ess`.
            should_stop: asked between tiles of a screened draw.

        Returns:
            The plan; `page` computes its rows.

        Raises:
            InvalidInput: count above the limit, a condition that is not the generator's, or as `resolve`.
            UnknownResource, Refused, DamagedData: as `GeneratorShelf.get`, `BankShelf.choose`, `resolve` and
                `Screener.draw`.
            Cancelled: `should_stop` turned true.

        Accuracy: choices are exact comparisons of the figures that the draw reports.
        """
        if request.count > self.max_count:
            raise InvalidInput(
                f"count is {request.count:,}; write 1 to {self.max_count:,} (the server's max_count), and ask "
                "for the rest with offset.",
                field="count",
                metadata={"max_count": str(self.max_count)},
            )
        if not reference:
            return plan_of_bank(self.banks, request, self.engine_for)
        held, request = self._drawn_from(reference, request)
        if request.condition is None and held.card.conditions is not None:
            return plan_classes(held, request, self.banks, self.errors, self.engine_for)
        prior = self._prior(held, request)
        if request.needs_bank and request.method is not Method.RESAMPLE:
            for _ in self.screener.preparing(held, request, prior):
                stopped(should_stop)
            request = replace(request, seed=chosen_seed(request.seed))
            draw = self.screener.draw(held, request, prior, clock, should_stop)
            return Plan(held, draw, self.engine_for(draw.resolved.precision_used))
        choice, rows = self.banks.choose(held, request) if request.needs_bank else (None, None)
        draw = resolve(request, prior, generator_digest=held.generator.digest, choice=choice, rows=rows)
        if isinstance(draw, DirectDraw):
            draw = self.errors.settled(held, self.engine_for(request.precision), draw)
        return Plan(held, draw, self.engine_for(draw.resolved.precision_used))

    def _drawn_from(self, reference: str, request: SampleRequest) -> tuple[HeldGenerator, SampleRequest]:
        held = self.generators.get(reference)
        held.check_top_k(request.top_k)
        held.generator.plan(request.manifold)  # refuses a manifold that it has not
        if request.condition is None and held.card.conditions is not None:
            return held, request
        held = named(held, request.condition)
        return held, replace(request, condition=held.condition)

    def _prior(self, held: HeldGenerator, request: SampleRequest) -> Law:
        return bound(held.prior, held.generator, self.engine_for(request.precision))
