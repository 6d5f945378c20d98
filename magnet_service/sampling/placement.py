"""Arithmetic that laws share: directions, norms, and rounding that never leaves the support."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy import special

__all__ = ["directions", "into_ball", "into_box", "log_normal", "norms"]

_LOG_2PI = math.log(2.0 * math.pi)


def log_normal(latents: Float64[np.ndarray, "rows latent"], scale: float) -> Float64[np.ndarray, " rows"]:
    """Log density of N(0, scale^2 I), nats."""
    squares: Float64[np.ndarray, " rows"] = np.square(latents / scale).sum(axis=1)
    logs: Float64[np.ndarray, " rows"] = -0.5 * squares - latents.shape[1] * (0.5 * _LOG_2PI + math.log(scale))
    return logs


def norms(latents: Float[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
    """Euclidean norms, in float64."""
    lengths: Float64[np.ndarray, " rows"] = np.sqrt(np.square(latents.astype(np.float64)).sum(axis=1))
    return lengths


def directions(uniform: Float64[np.ndarray, "rows latent"]) -> Float64[np.ndarray, "rows latent"]:
    """Unit vectors, uniform on the sphere, from one uniform number a coordinate."""
    # No uniform number is exactly 1/2, so that no row of normals is zero.
    normals = special.ndtri(uniform)
    units: Float64[np.ndarray, "rows latent"] = normals / norms(normals)[:, None]
    return units


def into_box(values: Float64[np.ndarray, "rows latent"], low: float, high: float) -> Float32[np.ndarray, "rows latent"]:
    """Rounded to float32, and none outside [low, high] for it."""
    lowest, highest = np.float32(low), np.float32(high)
    if float(lowest) < low:
        lowest = np.nextafter(lowest, np.float32(np.inf))
    if float(highest) > high:
        highest = np.nextafter(highest, np.float32(-np.inf))
    return np.clip(values.astype(np.float32), lowest, highest)


def into_ball(values: Float64[np.ndarray, "rows latent"], radius: float) -> Float32[np.ndarray, "rows latent"]:
    """Rounded to float32, and none outside the ball for it: such rows step toward the origin."""
    latents = values.astype(np.float32)
    outside = norms(latents) > radius
    while outside.any():
        latents[outside] = np.nextafter(latents[outside], np.float32(0.0))
        outside = norms(latents) > radius
    return latents
