"""Screened draws: the surrogate of a bank found or fitted, the method chosen, volumes kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from magnet_service.errors import DamagedData, InvalidInput, MagnetError, Refused
from magnet_service.generator import Precision
from magnet_service.geometry import Engine, stamp
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import Draw, Law, SampleRequest, resolve
from magnet_service.sampling.method import DEFAULT_EVALUATIONS, MAX_EVALUATIONS, UNSETTLED, Method
from magnet_service.sampling.resolve import Settled, settled
from magnet_service.sampling.screening.chains import ScreenedChain
from magnet_service.sampling.screening.choices import Choices
from magnet_service.sampling.screening.draw import ScreenedDraw, screened_draw
from magnet_service.sampling.screening.fitting import LEAST_ROWS, MOST_ROWS, fitting
from magnet_service.sampling.screening.keeping import Keeping
from magnet_service.sampling.screening.moves import walkable
from magnet_service.sampling.screening.promise import Promise, better, least_chain_evaluations, promises
from magnet_service.sampling.screening.screened import Screened
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget, Target

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
    """

    shelf: BankShelf
    engine_for: Callable[[Precision], Engine]
    _surrogates: OrderedDict[str, Surrogate] = field(default_factory=OrderedDict)
    _choices: OrderedDict[str, Choices] = field(default_factory=OrderedDict)
    _at_work: set[str] = field(default_factory=set)

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
        if request.method is Method.AUTO and (self._enough(request, found) or len(rows) < LEAST_ROWS):
            return
        bank = self.shelf.open(choice.spec.id)
        keeping = Keeping(bank.place)
        while bank.id in self._at_work:  # another call fits it
            yield 0.0
        if self._stored(keeping, len(rows)) is not None:
            return
        if not self.shelf.builder:
            if request.method is Method.AUTO:
                return
            raise _no_surrogate(bank.id)
        self._at_work.add(bank.id)
        try:
            surrogate = yield from fitting(
                rows,
                held.generator,
                self.engine_for(Precision.FLOAT32),
                manifold=request.manifold,
                bank_id=bank.id,
            )
            keeping.keep_surrogate(surrogate)
            self._remember(surrogate)
        finally:
            self._at_work.discard(bank.id)

    def stored(self, bank_id: str, revision: int) -> Surrogate | None:
        """The surrogate that a draw of a bank's first rows takes, None where none is; raises as `BankShelf.open`."""
        return self._stored(Keeping(self.shelf.open(bank_id).place), revision)

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
            promise, reason = _chosen(request, found, surrogate, spent)
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
            named = self._loaded(keeping, request.surrogate)
            if named is None:
                raise Refused(
                    f"surrogate {request.surrogate} of bank {bank_id} is not stored here, and another would give other "
                    "bytes: copy the bank's folder `surrogates`, or leave the surrogate out for a new draw.",
                    field="surrogate",
                    reason="NO_SURROGATE",
                )
            return named, ""
        if auto and (why := self._enough(request, found)):
            return None, why
        stored = self._stored(keeping, len(found.rows))
        if stored is None and auto:
            small = f"it has {len(found.rows):,} rows, and {LEAST_ROWS:,} are needed to fit one"
            reads = "this server only reads banks, and none is stored"
            why = small if len(found.rows) < LEAST_ROWS else reads
            return None, f"bank {bank_id} has no surrogate: {why}"
        if stored is None:
            raise _no_surrogate(bank_id)
        if auto and found.top_k.k > stored.columns:
            return None, f"the surrogate reaches k = {stored.columns} only"
        return stored, ""

    def _enough(self, request: SampleRequest, found: Settled) -> str:
        """Why AUTO needs no surrogate; empty where it does."""
        if not request.replacement:
            return "without replacement rows are those of a bank"
        spent = request.effort.evaluations or DEFAULT_EVALUATIONS
        ess = found.weights.ess(found.rho.rho, found.top_k.k)
        if ess < max(spent, request.min_ess):
            return ""
        return f"the bank's ESS of {ess:,.0f} is more than {spent:,.0f} evaluations could give"

    def _stored(self, keeping: Keeping, revision: int) -> Surrogate | None:
        """The surrogate of the most rows that can be read; None too where the bank has doubled and it is time anew."""
        for digest in keeping.digests(revision):
            try:
                found = self._loaded(keeping, digest)
            except (DamagedData, Refused):  # another is fitted
                continue
            if found is not None:
                grown = revision >= 2 * found.revision and found.revision < MOST_ROWS
                return None if grown and self.shelf.builder else found
        return None

    def _loaded(self, keeping: Keeping, digest: str) -> Surrogate | None:
        found = self._surrogates.get(digest) or keeping.surrogate(digest)
        if found is not None:
            self._remember(found)
        return found

    def _remember(self, surrogate: Surrogate) -> None:
        self._surrogates[surrogate.digest] = surrogate
        self._surrogates.move_to_end(surrogate.digest)
        while len(self._surrogates) > _IN_MEMORY:
            self._surrogates.popitem(last=False)


def _screens(request: SampleRequest) -> bool:
    return request.needs_bank and (request.method.screens or request.method is Method.AUTO)


def _chosen(
    request: SampleRequest, found: Settled, surrogate: Surrogate, evaluations: float
) -> tuple[Promise | None, str]:
    """The method and the budget of a draw, with the reason; None where AUTO resamples the bank."""
    rho, k = found.rho.rho, found.top_k.k
    effort = request.effort
    if effort.settled and request.method.screens:
        return Promise(request.method, 0.0, Budget(effort.exact, effort.forwards), ""), ""
    known = (surrogate, found.weights, rho, k, evaluations, found.law)
    each = promises(*known, walks=walkable(found.law))
    if request.method.screens:
        named = next((promise for promise in each if promise.method is request.method), None)
        if named is None:
            raise _no_chain(found.law)
        return named, ""
    ess = found.weights.ess(rho, k)
    best = better(each, ess, request.min_ess)
    if best is None:
        least = max(promise.ess for promise in each)
        return None, f"the bank's ESS of {ess:,.0f} is no less than the {least:,.0f} that screening promises"
    asked = f" of {request.min_ess:,.0f} asked for" if request.min_ess > ess else ""
    return best, f"the bank's ESS is {ess:,.0f}{asked}, {best.method} promises {best.ess:,.0f}: {best.reason}"


def _resampled(held: HeldGenerator, request: SampleRequest, prior: Law, found: Settled, reason: str) -> Draw:
    plain = replace(request, method=Method.RESAMPLE, effort=UNSETTLED, surrogate=None)
    draw = resolve(plain, prior, generator_digest=held.generator.digest, choice=found.choice, rows=found.rows)
    return replace(draw, resolved=replace(draw.resolved, method_reason=reason))


def _no_surrogate(bank_id: str) -> Refused:
    return Refused(
        f"bank {bank_id} has no surrogate yet, and this server only reads banks: ask one started with --builder for a "
        "screened draw first, or use method RESAMPLE.",
        field="method",
        reason="NO_SURROGATE",
    )


def _no_chain(law: Law) -> MagnetError:
    if not walkable(law):
        return Refused(
            f"no chain walks over {law.to_text()}: use method SCREENED, whose pool is drawn from it.",
            field="method",
            reason="NO_CHAIN",
        )
    return InvalidInput(
        f"chains need {least_chain_evaluations(law.columns):,} evaluations here: write so many or more, or method "
        "SCREENED.",
        field="budget.evaluations",
    )


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
