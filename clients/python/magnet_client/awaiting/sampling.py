"""Draws, in one answer or in chunks."""

from __future__ import annotations

import dataclasses

from numpy.typing import ArrayLike

from magnet.v1 import sampling_pb2
from magnet_client import codec
from magnet_client.awaiting.connection import AsyncConnection
from magnet_client.awaiting.stream import AsyncDrawStream
from magnet_client.draw import Draw
from magnet_client.resolved import Resolved
from magnet_client.results import Generated
from magnet_client.words import BaseWord, ConditionLike, ImagesWord, ManifoldWord, MethodWord, PrecisionWord, PresetWord

__all__ = ["AsyncSampling"]


class AsyncSampling(AsyncConnection):
    """Calls of the sampling service."""

    async def sample(
        self,
        generator: str | None,
        count: int,
        *,
        preset: PresetWord | None = None,
        rho: float | None = None,
        det_rho: float | None = None,
        condition: ConditionLike | None = None,
        seed: int | None = None,
        offset: int = 0,
        base: BaseWord | None = None,
        ball_radius: float | None = None,
        box: tuple[float, float] | None = None,
        top_k: int = 0,
        manifold: ManifoldWord = "output",
        bank: str | None = None,
        bank_revision: int | None = None,
        replacement: bool = True,
        truncation_psi: float | None = None,
        truncation_norm: float | None = None,
        precision: PrecisionWord = "float32",
        method: MethodWord = "resample",
        evaluations: float = 0.0,
        min_ess: float = 0.0,
        images: ImagesWord | None = "uint8",
        latents: bool = True,
        log_volumes: bool = True,
        weights: bool = True,
        timeout: float | None = None,
    ) -> Draw:
        """Draw rows of a generator where you want them on its manifold; as `Client.sample`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        wanted = Resolved(
            generator=generator or "",
            count=count,
            offset=offset,
            condition=codec.plain_condition(condition),
            seed=seed,
            preset=preset,
            rho=rho,
            det_rho=det_rho,
            base=base,
            ball_radius=ball_radius,
            box=box,
            top_k=top_k,
            manifold=manifold,
            bank=bank,
            bank_revision=bank_revision,
            replacement=replacement,
            truncation_psi=truncation_psi,
            truncation_norm=truncation_norm,
            precision=precision,
            method=method,
            evaluations=evaluations,
            min_ess=min_ess,
            images=images,
            latents=latents,
            log_volumes=log_volumes,
            weights=weights,
        )
        return codec.decode_sample(await self._call(self._samples.Sample, codec.sample_request(wanted), timeout))

    def stream(
        self,
        generator: str | None,
        count: int | None,
        *,
        preset: PresetWord | None = None,
        rho: float | None = None,
        det_rho: float | None = None,
        condition: ConditionLike | None = None,
        seed: int | None = None,
        offset: int = 0,
        base: BaseWord | None = None,
        ball_radius: float | None = None,
        box: tuple[float, float] | None = None,
        top_k: int = 0,
        manifold: ManifoldWord = "output",
        bank: str | None = None,
        bank_revision: int | None = None,
        replacement: bool = True,
        truncation_psi: float | None = None,
        truncation_norm: float | None = None,
        precision: PrecisionWord = "float32",
        method: MethodWord = "resample",
        evaluations: float = 0.0,
        min_ess: float = 0.0,
        images: ImagesWord | None = "uint8",
        latents: bool = True,
        log_volumes: bool = True,
        weights: bool = True,
        timeout: float | None = None,
    ) -> AsyncDrawStream:
        """Draw as `sample` does, in chunks near 1 MiB that share one header; as `Client.stream`.

        Raises:
            The same.

        Accuracy: the same.
        """
        wanted = Resolved(
            generator=generator or "",
            count=0 if count is None else count,
            offset=offset,
            condition=codec.plain_condition(condition),
            seed=seed,
            preset=preset,
            rho=rho,
            det_rho=det_rho,
            base=base,
            ball_radius=ball_radius,
            box=box,
            top_k=top_k,
            manifold=manifold,
            bank=bank,
            bank_revision=bank_revision,
            replacement=replacement,
            truncation_psi=truncation_psi,
            truncation_norm=truncation_norm,
            precision=precision,
            method=method,
            evaluations=evaluations,
            min_ess=min_ess,
            images=images,
            latents=latents,
            log_volumes=log_volumes,
            weights=weights,
        )
        request = sampling_pb2.StreamSamplesRequest(
            sample=codec.sample_request(wanted, endless=count is None), endless=count is None
        )
        return AsyncDrawStream(self._iterate(self._samples.StreamSamples, request, timeout))

    async def sample_resolved(
        self,
        resolved: Resolved,
        *,
        count: int | None = None,
        offset: int | None = None,
        timeout: float | None = None,
    ) -> Draw:
        """Send a resolved request again; as `Client.sample_resolved`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        wanted = dataclasses.replace(
            resolved,
            count=resolved.count if count is None else count,
            offset=resolved.offset if offset is None else offset,
        )
        return codec.decode_sample(await self._call(self._samples.Sample, codec.sample_request(wanted), timeout))

    async def generate(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        top_k: int = 0,
        manifold: ManifoldWord = "output",
        precision: PrecisionWord = "float32",
        images: ImagesWord | None = "uint8",
        log_volumes: bool = False,
        timeout: float | None = None,
    ) -> Generated:
        """Run the generator on latents of your own; as `Client.generate`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.generate_request(generator, latents, condition, top_k, manifold, precision, images, log_volumes)
        return codec.decode_generated(await self._call(self._samples.Generate, request, timeout))
