"""Chains that walk over a base law, drawn towards what a surrogate promises by degrees."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Float64, Int64

from magnet_service.sampling.counter import Stream, uniforms
from magnet_service.sampling.diagnostics import effective_sample_size
from magnet_service.sampling.law import Law
from magnet_service.sampling.placement import norms
from magnet_service.sampling.pushforward import Pushforward
from magnet_service.sampling.resample import cumulate, invert_at
from magnet_service.sampling.screening.moves import normals, proposed
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import StopSignal, Target, seed_of

__all__ = ["Walk"]

_ACCEPTANCE = 0.25
_GAIN = 0.5
_FIRST_STEP = 0.5
_LEAST_STEP = 1e-3
_COORDINATES = 5
_COUNTING = 0.5
_HALVINGS = 40


class Walk:
    """Where the chains are: those of an inner latent walk in the latent before it.

    Arguments:
        surrogate: gives the tilt t.
        target: base law, rho and k.
        chains: how many, whole tiles of 64.
        seed: of every step and choice.
        should_stop: asked between tiles.

    Attributes:
        number: steps done.
        step: their size.
        share: a of the law q e^(a t) that is walked over.
        latents: where the chains are.
        tilts: t there, nats.
    """

    def __init__(
        self, surrogate: Surrogate, target: Target, chains: int, seed: int, should_stop: StopSignal | None
    ) -> None:
        self._surrogate, self._target, self._seed, self._should_stop = surrogate, target, seed, should_stop
        law = target.law
        self._law: Law = law.source if isinstance(law, Pushforward) else law
        self._chains, self._choices = chains, 0
        self.number, self.share, self.step = 0, 0.0, _FIRST_STEP
        self._states = self._law.rows(seed_of(seed, "start"), 0, chains)
        self.latents = self._mapped(self._states)
        self.tilts = self._scored(self.latents)

    def raise_share(self, *, last: bool) -> None:
        """Raises a until half of the chains count, or to 1 where that is nearer or it is the last time.

        Arguments:
            last: whether a must be 1 now.

        Raises:
            Nothing.

        Accuracy:
            a to within 2^-40 of the way.
        """
        left = 1.0 - self.share
        if left == 0.0:
            return
        if last or self._counting(left) >= _COUNTING:
            gain = left
        else:
            low, high = 0.0, left
            for _ in range(_HALVINGS):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if self._counting(middle) >= _COUNTING else (low, middle)
            gain = low
        chosen = self._drawn_anew(gain)
        self._states, self.latents, self.tilts = self._states[chosen], self.latents[chosen], self.tilts[chosen]
        self.share = 1.0 if gain == left else self.share + gain

    def advance(self, *, adapting: bool) -> float:
        """Moves every chain by one step.

        Arguments:
            adapting: whether the step size moves towards an acceptance of 0.25.

        Returns:
            The share that was accepted.

        Raises:
            Refused: a law without a walk (NO_CHAIN).
            Cancelled: `should_stop` turned true.

        Accuracy:
            Reversible up to the rounding of states to float32.
        """
        uniform = uniforms(self._seed, Stream.CHAIN, self.number * self._chains, self._chains, self._law.dim + 1)
        there, inside = proposed(self._law, self._states.astype(np.float64), normals(uniform[:, :-1]), self.step)
        rounded = np.where(inside[:, None], there, self._states).astype(np.float32)
        inside &= np.isfinite(self._law.log_density(rounded))  # not what was rounded out of the support
        latents = self._mapped(rounded)
        tilts = self._scored(latents)
        with np.errstate(invalid="ignore"):
            taken = inside & (np.log(uniform[:, -1]) < self.share * (tilts - self.tilts))
        self._states = np.where(taken[:, None], rounded, self._states)
        self.latents = np.where(taken[:, None], latents, self.latents)
        self.tilts = np.where(taken, tilts, self.tilts)
        self.number += 1
        accepted = float(taken.mean())
        if adapting:
            self.step = min(1.0, max(_LEAST_STEP, self.step * math.exp(_GAIN * (accepted - _ACCEPTANCE))))
        return accepted

    def watched(self) -> Float64[np.ndarray, "chains numbers"]:
        """What autocorrelation is measured of: the tilt, half the squared norm, the first coordinates."""
        half = 0.5 * np.square(norms(self._states))
        return np.column_stack([self.tilts, half, self._states[:, :_COORDINATES].astype(np.float64)])

    def _counting(self, gain: float) -> float:
        return effective_sample_size(gain * self.tilts) / self._chains

    def _drawn_anew(self, gain: float) -> Int64[np.ndarray, " chains"]:
        # Systematic: one uniform number, so that a chain of average weight is kept once.
        first = uniforms(self._seed, Stream.SCREEN, self._choices, 1, 1)[0, 0]
        self._choices += 1
        return invert_at(cumulate(gain * self.tilts), (np.arange(self._chains) + first) / self._chains)

    def _mapped(self, states: Float32[np.ndarray, "rows inner"]) -> Float32[np.ndarray, "rows latent"]:
        law = self._target.law
        return law.mapping(states) if isinstance(law, Pushforward) and law.mapping is not None else states

    def _scored(self, latents: Float32[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
        target = self._target
        scores = self._surrogate.scores(target.generator, target.engine, latents, self._should_stop)
        return scores.tilt(target.rho, target.k)
