"""Laws of latents: counter-based draws, exact log densities, one canonical text each."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from scipy import special

from magnet_service.errors import InvalidInput
from magnet_service.sampling.counter import Stream, uniforms
from magnet_service.sampling.placement import directions, into_ball, into_box, log_normal, norms

__all__ = ["Ball", "Box", "Law", "NormBoundedNormal", "Normal", "PlacedLaw", "Sphere", "TruncatedNormal"]

# A float32 row cannot lie on a sphere: it is on it within this share of the radius.
_SPHERE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Law(ABC):
    """A law of latents in R^dim.

    Two laws are equal when their class and parameters are; `to_text` writes both, and is what banks digest.

    Arguments:
        dim: width of a latent, >= 1.
    """

    dim: int

    name: ClassVar[str]
    tangent_space: ClassVar[bool] = False
    uniform: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InvalidInput(f"a law of {self.dim} dimensions: write dim >= 1", field="dim")
        for key, value in self.parameters().items():
            if not math.isfinite(value):
                raise InvalidInput(f"{key} of {self.name} is {value}: write a finite number", field=key)

    @property
    def columns(self) -> int:
        """Singular values that a Jacobian has under this law: dim, and dim - 1 on a sphere."""
        return self.dim - 1 if self.tangent_space else self.dim

    def parameters(self) -> dict[str, float]:
        """The numbers beside `dim`, by name, those at their defaults left out."""
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self) if f.name != "dim" and f.compare}
        return {
            name: value for name, (value, default) in values.items() if value != default and not isinstance(value, Law)
        }

    def to_text(self) -> str:
        """The canonical text, as `ball(dim=20,radius=4.69041575982343)`; `from_text` reads it back exactly."""
        laws = [(f.name, getattr(self, f.name)) for f in fields(self) if isinstance(getattr(self, f.name), Law)]
        parts = [f"dim={self.dim}", *(f"{key}={value!r}" for key, value in self.parameters().items())]
        parts += [f"{key}={value.to_text()}" for key, value in laws]
        return f"{self.name}({','.join(parts)})"

    def rows(self, seed: int, start: int, count: int) -> Float32[np.ndarray, "rows latent"]:
        """Draws number start to start + count - 1 of the law.

        Arguments:
            seed: 0 to 2^64 - 1.
            start: index of the first draw.
            count: number of draws.

        Returns:
            Independent latents, float32, none outside the law's support. Row i is a function of (seed, i).

        Raises:
            InvalidInput: seed or start out of range.

        Accuracy:
            Inverse distribution functions in float64 of 52-bit uniform numbers, rounded to float32 (toward the
            inside of the support where rounding would leave it).
        """
        return self._drawn(seed, start, count)

    def rows_at(self, seed: int, indices: Int64[np.ndarray, " answer"]) -> Float32[np.ndarray, "answer latent"]:
        """Draws of any numbers, in the order asked for; as `rows`."""
        numbers, places = np.unique(indices, return_inverse=True)
        ends = np.flatnonzero(np.diff(numbers, append=np.iinfo(np.int64).max) != 1) + 1
        runs = [self.rows(seed, int(run[0]), len(run)) for run in np.split(numbers, ends)[:-1]]
        found = np.concatenate([np.empty((0, self.dim), np.float32), *runs])[places]
        return found

    def log_density(self, latents: Float[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
        """Log density of the law at given latents.

        Arguments:
            latents: float32 or float64, shape [rows, dim].

        Returns:
            Nats, with respect to Lebesgue measure (a sphere: to its surface measure); -inf outside the support.

        Raises:
            InvalidInput: a wrong latent width; field `latents`.

        Accuracy:
            Exact up to float64 rounding, normalised.
        """
        if latents.ndim != 2 or latents.shape[1] != self.dim:
            raise InvalidInput(f"latents have shape {latents.shape}: write [rows, {self.dim}]", field="latents")
        return self._log_density(latents.astype(np.float64))

    @abstractmethod
    def _drawn(self, seed: int, start: int, count: int) -> Float32[np.ndarray, "rows latent"]: ...

    @abstractmethod
    def _log_density(self, latents: Float64[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]: ...


@dataclass(frozen=True)
class PlacedLaw(Law):
    """A law whose every draw is a function of a few uniform numbers of its own."""

    def _drawn(self, seed: int, start: int, count: int) -> Float32[np.ndarray, "rows latent"]:
        return self._place(uniforms(seed, Stream.LATENTS, start, count, self._words))

    @property
    def _words(self) -> int:
        return self.dim

    @abstractmethod
    def _place(self, uniform: Float64[np.ndarray, "rows words"]) -> Float32[np.ndarray, "rows latent"]: ...


@final
@dataclass(frozen=True)
class Normal(PlacedLaw):
    """N(0, scale^2 I) on R^dim."""

    scale: float = 1.0
    name: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, "scale")

    def _place(self, uniform: Float64[np.ndarray, "rows words"]) -> Float32[np.ndarray, "rows latent"]:
        latents: Float32[np.ndarray, "rows latent"] = (self.scale * special.ndtri(uniform)).astype(np.float32)
        return latents

    def _log_density(self, latents: Float64[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
        return log_normal(latents, self.scale)


@final
@dataclass(frozen=True)
class TruncatedNormal(PlacedLaw):
    """Independent N(0, scale^2) coordinates, each conditioned on |z_i| <= bound."""

    bound: float
    scale: float = 1.0
    name: ClassVar[str] = "truncated_normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, "bound", "scale")

    def _place(self, uniform: Float64[np.ndarray, "rows words"]) -> Float32[np.ndarray, "rows latent"]:
        low = special.ndtr(-self.bound / self.scale)
        values = self.scale * special.ndtri(low + uniform * (1.0 - 2.0 * low))
        return into_box(values, -self.bound, self.bound)

    def _log_density(self, latents: Float64[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
        mass = math.erf(self.bound / self.scale / math.sqrt(2.0))
        inside = (np.abs(latents) <= self.bound).all(axis=1)
        return np.where(inside, log_normal(latents, self.scale) - self.dim * math.log(mass), -np.inf)


@final
@dataclass(frozen=True)
class NormBoundedNormal(PlacedLaw):
    """N(0, scale^2 I) conditioned on |z| <= bound, drawn exactly through the chi law of the norm."""

    bound: float
    scale: float = 1.0
    name: ClassVar[str] = "norm_bounded_normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, "bound", "scale")
        if self._mass == 0.0:
            raise InvalidInput(
                f"a normal law of {self.dim} dimensions has no mass within norm {self.bound}: write a larger bound",
                field="truncation_norm",
            )

    @property
    def _words(self) -> int:
        return self.dim + 1

    @property
    def _mass(self) -> float:
        return float(special.gammainc(self.dim / 2.0, 0.5 * (self.bound / self.scale) ** 2))

    def _place(self, uniform: Float64[np.ndarray, "rows words"]) -> Float32[np.ndarray, "rows latent"]:
        norm = self.scale * np.sqrt(2.0 * special.gammaincinv(self.dim / 2.0, uniform[:, -1] * self._mass))
        return into_ball(directions(uniform[:, :-1]) * norm[:, None], self.bound)

    def _log_density(self, latents: Float64[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
        inside = norms(latents) <= self.bound
        return np.where(inside, log_normal(latents, self.scale) - math.log(self._mass), -np.inf)


@final
@dataclass(frozen=True)
class Box(PlacedLaw):
    """Uniform on the cube [low, high]^dim."""

    low: float
    high: float
    name: ClassVar[str] = "box"
    uniform: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise InvalidInput(f"a box from {self.low} to {self.high}: write low < high", field="box")

    def _place(self, uniform: Float64[np.ndarray, "rows words"]) -> Float32[np.ndarray, "rows latent"]:
        return into_box(self.low + uniform * (self.high - self.low), self.low, self.high)

    def _log_density(self, latents: Float64[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
        inside = ((latents >= self.low) & (latents <= self.high)).all(axis=1)
        return np.where(inside, -self.dim * math.log(self.high - self.low), -np.inf)


@final
@dataclass(frozen=True)
class Ball(PlacedLaw):
    """Uniform on the ball |z| <= radius."""

    radius: float
    name: ClassVar[str] = "ball"
    uniform: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, "radius")

    @property
    def _words(self) -> int:
        return self.dim + 1

    def _place(self, uniform: Float64[np.ndarray, "rows words"]) -> Float32[np.ndarray, "rows latent"]:
        norm = self.radius * uniform[:, -1] ** (1.0 / self.dim)
        return into_ball(directions(uniform[:, :-1]) * norm[:, None], self.radius)

    def _log_density(self, latents: Float64[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
        half = self.dim / 2.0
        log_volume = half * math.log(math.pi) - math.lgamma(half + 1.0) + self.dim * math.log(self.radius)
        return np.where(norms(latents) <= self.radius, -log_volume, -np.inf)


@final
@dataclass(frozen=True)
class Sphere(PlacedLaw):
    """Uniform on the sphere |z| = radius; its Jacobians live on the tangent space, dim - 1 columns."""

    radius: float
    name: ClassVar[str] = "sphere"
    tangent_space: ClassVar[bool] = True
    uniform: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, "radius")
        if self.dim < 2:
            raise InvalidInput("a sphere in one dimension is two points: write dim >= 2", field="dim")

    def _place(self, uniform: Float64[np.ndarray, "rows words"]) -> Float32[np.ndarray, "rows latent"]:
        return (self.radius * directions(uniform)).astype(np.float32)

    def _log_density(self, latents: Float64[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
        half = self.dim / 2.0
        log_area = math.log(2.0) + half * math.log(math.pi) - math.lgamma(half) + (self.dim - 1) * math.log(self.radius)
        on = np.abs(norms(latents) - self.radius) <= _SPHERE_TOLERANCE * self.radius
        return np.where(on, -log_area, -np.inf)


def _positive(law: Law, *names: str) -> None:
    for name in names:
        if not getattr(law, name) > 0.0:
            raise InvalidInput(f"{name} of {law.name} is {getattr(law, name)}: write a number above 0", field=name)
