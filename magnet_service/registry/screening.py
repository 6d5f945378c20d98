"""Screened draws: the method chosen, its budget grown, volumes kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from magnet_service.errors import Refused
from magnet_service.generator import Precision
from magnet_service.geometry import Engine, stamp
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.generators import HeldGenerator
from magnet_service.registry.promised import chosen, enough
from magnet_service.registry.surrogates import SurrogateShelf, no_surrogate
from magnet_service.sampling import Draw, Law, SampleRequest, resolve
from magnet_service.sampling.method import DEFAULT_EVALUATIONS, MAX_EVALUATIONS, UNSETTLED, Method
from magnet_service.sampling.resolve import settled
from magnet_service.sampling.screening.chains import ScreenedChain
from magnet_service.sampling.screening.choices import Choices
from magnet_service.sampling.screening.draw import ScreenedDraw, screened_draw
from magnet_service.sampling.screening.fitting import LEAST_ROWS
from magnet_service.sampling.screening.keeping import Keeping
from magnet_service.sampling.screening.promise import Promise
from magnet_service.sampling.screening.screened import Screened
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Target
from magnet_service.sampling.settled import Settled

__all__ = ["Clock", "Screener"]

_IN_MEMORY = 8
_GROWTH = 16
_SLOWER = 2.5  # a run of twice the evaluations, and some more

StopSignal = Callable[[], bool]


@dataclass(frozen=True)
class Clock:
    """When a caller no longer waits.

    Attributes:
        deadline: `time.monotonic()` at that moment; None for never.
    """

    deadline: float | None = None

    def allows(self, seconds: float) -> bool:
        """Whether so much time is left."""
        return self.deadline is None or time.monotonic() + seconds < self.deadline


@dataclass(frozen=True, eq=False)
class Screener:
    """Draws by surrogates. Not thread-safe, as the registry.

    Attributes:
        shelf: the banks.
        engine_for: how the server computes in a precision.
        surrogates: of the banks.
    """

    shelf: BankShelf
    engine_for: Callable[[Precision], Engine]
    surrogates: SurrogateShelf
    _choices: OrderedDict[str, Choices] = field(default_factory=OrderedDict)

    def preparing(self, held: HeldGenerator, request: SampleRequest, prior: Law) -> Iterator[float]:
        """Fits the surrogate that a draw needs, where none is stored yet, in steps of some milliseconds.

        Arguments:
            held: the generator, of its condition.
            request: the draw.
            prior: its generator's law, bound.

        Yields:
            The share that is done.

        Raises:
            Refused: the bank is too small (SMALL_BANK), or this server only reads (NO_SURROGATE); of AUTO nothing.
            What `BankShelf.choose` and `settled` raise.

        Accuracy: as `fitting`.
        """
        if not _screens(request) or request.surrogate is not None:
            return
        choice, rows = self.shelf.choose(held, request)
        found = settled(request, prior, choice, rows)
        if request.method is Method.AUTO and (enough(request, found) or len(rows) < LEAST_ROWS):
            return
        yield from self.surrogates.fitted(held, request, found)

    def stored(self, bank_id: str, revision: int) -> Surrogate | None:
        """The surrogate that a draw of a bank's first rows takes, None where none is; raises as `BankShelf.open`."""
        return self.surrogates.newest(Keeping(self.shelf.open(bank_id).place), revision)

    def draw(
        self,
        held: HeldGenerator,
        request: SampleRequest,
        prior: Law,
        clock: Clock,
        should_stop: StopSignal | None = None,
    ) -> Draw:
        """Settles a draw by SCREENED, SCREENED_CHAIN or AUTO.

        Arguments:
            held: the generator, of its condition.
            request: the draw, its seed chosen.
            prior: the generator's law, bound.
            clock: until when a draw may grow towards `min_ess`.
            should_stop: asked between tiles.

        Returns:
            The draw; of AUTO perhaps one that resamples the bank. Where `min_ess` is not reached within 16 times the
            evaluations or in time, what was reached, LOW_ESS.

        Raises:
            Refused: as `preparing`; a digest that is not stored here (NO_SURROGATE), a k beyond the surrogate.
            InvalidInput, UnknownResource, DamagedData: as `settled` and `BankShelf.choose`.
            Cancelled: `should_stop` turned true.

        Accuracy: as the method's sampler.
        """
        choice, rows = self.shelf.choose(held, request)
        found = settled(request, prior, choice, rows)
        keeping = Keeping(self.shelf.open(choice.spec.id).place)
        surrogate, why = self._surrogate(request, found, keeping)
        if surrogate is None:
            return _resampled(held, request, prior, found, why)
        surrogate.check_top_k(found.top_k.k)
        evaluations = request.effort.evaluations or DEFAULT_EVALUATIONS
        draw: ScreenedDraw | None = None
        for doubling in range(_GROWTH.bit_length()):
            spent = min(evaluations * 2**doubling, float(MAX_EVALUATIONS))
            promise, reason = chosen(request, found, surrogate, spent)
            if promise is None:
                return draw or _resampled(held, request, prior, found, reason)
            began = time.monotonic()
            draw = self._drawn(held, request, found, keeping, surrogate, promise, reason, should_stop)
            seconds = time.monotonic() - began
            reached = draw.diagnostics.ess >= request.min_ess
            if reached or request.effort.settled or not clock.allows(_SLOWER * seconds):
                return draw
        return draw or _resampled(held, request, prior, found, "")

    def _drawn(
        self,
        held: HeldGenerator,
        request: SampleRequest,
        found: Settled,
        keeping: Keeping,
        surrogate: Surrogate,
        promise: Promise,
        reason: str,
        should_stop: StopSignal | None,
    ) -> ScreenedDraw:
        accuracy = found.choice.accuracy
        engine = self.engine_for(request.precision if accuracy is None else accuracy.used)
        known = (held.generator, found.law, request.manifold, found.rho.rho, found.top_k.k, engine)
        target, seed = Target(*known), request.seed or 0
        key = _key(held, request, target, promise, surrogate)
        choices = self._choices.pop(key, None) or keeping.volumes(key)
        kept = choices is not None
        if choices is None:
            sampler = Screened(surrogate) if promise.method is Method.SCREENED else ScreenedChain(surrogate)
            choices = sampler.choose(target, promise.budget, seed, should_stop)
            if self.shelf.builder:
                keeping.keep_volumes(key, choices, time.time())
                kept = True
        self._choices[key] = choices
        while len(self._choices) > _IN_MEMORY:
            self._choices.popitem(last=False)
        return screened_draw(
            request,
            found,
            held.generator.digest,
            surrogate,
            promise,
            choices.sample(target.rho, target.k),
            method_reason=reason,
            promised=None if request.effort.settled else promise.ess,
            kept=kept,
        )

    def _surrogate(self, request: SampleRequest, found: Settled, keeping: Keeping) -> tuple[Surrogate | None, str]:
        """The surrogate of a draw; None with the reason where AUTO does without."""
        bank_id, auto = found.choice.spec.id, request.method is Method.AUTO
        if request.surrogate is not None:
            named = self.surrogates.named(keeping, request.surrogate)
            if named is None:
                raise Refused(
                    f"surrogate {request.surrogate} of bank {bank_id} is not stored here, and another would give other "
                    "bytes: copy the bank's folder `surrogates`, or leave the surrogate out for a new draw.",
                    field="surrogate",
                    reason="NO_SURROGATE",
                )
            return named, ""
        if auto and (why := enough(request, found)):
            return None, why
        stored = self.surrogates.newest(keeping, len(found.rows))
        if stored is None and auto:
            small = f"it has {len(found.rows):,} rows, and {LEAST_ROWS:,} are needed to fit one"
            reads = "this server only reads banks, and none is stored"
            why = small if len(found.rows) < LEAST_ROWS else reads
            return None, f"bank {bank_id} has no surrogate: {why}"
        if stored is None:
            raise no_surrogate(bank_id)
        if auto and found.top_k.k > stored.columns:
            return None, f"the surrogate reaches k = {stored.columns} only"
        return stored, ""


def _screens(request: SampleRequest) -> bool:
    return request.needs_bank and (request.method.screens or request.method is Method.AUTO)


def _resampled(held: HeldGenerator, request: SampleRequest, prior: Law, found: Settled, reason: str) -> Draw:
    plain = replace(request, method=Method.RESAMPLE, effort=UNSETTLED, surrogate=None)
    draw = resolve(plain, prior, generator_digest=held.generator.digest, choice=found.choice, rows=found.rows)
    return replace(draw, resolved=replace(draw.resolved, method_reason=reason))


def _key(held: HeldGenerator, request: SampleRequest, target: Target, promise: Promise, surrogate: Surrogate) -> str:
    """Names everything that the choices are a function of."""
    content = {
        "generator": held.generator.digest,
        "condition": request.condition_text,
        "law": target.law.to_text(),
        "manifold": str(target.manifold),
        "rho": target.rho.hex(),
        "k": target.k,
        "seed": request.seed,
        "method": str(promise.method),
        "exact": promise.budget.exact,
        "forwards": promise.budget.forwards,
        "surrogate": surrogate.digest,
        "stamp": stamp(target.engine),
        "precision": str(target.engine.precision),
        "tile_rows": target.engine.tile_rows,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
