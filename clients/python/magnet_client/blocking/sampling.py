"""Draws, in one answer or in chunks."""

from __future__ import annotations

import dataclasses

from numpy.typing import ArrayLike

from magnet.v1 import sampling_pb2
from magnet_client import codec
from magnet_client.blocking.connection import Connection
from magnet_client.blocking.stream import DrawStream
from magnet_client.draw import Draw
from magnet_client.resolved import Resolved
from magnet_client.results import Generated
from magnet_client.words import BaseWord, ConditionLike, ImagesWord, ManifoldWord, MethodWord, PrecisionWord, PresetWord

__all__ = ["Sampling"]


class Sampling(Connection):
    """Calls of the sampling service."""

    def sample(
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
        """Draw rows of a generator where you want them on its manifold.

        Formula: pi(z) ~ q(z) v_k(z)^rho, with the base law q and v_k the product of the k largest singular values of
        the Jacobian at z.

        Arguments:
            generator: `name` or `name@version`; None beside a bank, for its rows without images (`images=None`). The
                bank's law then stands for the prior, and its rows are drawn at rho 0 too.
            count: rows, 1 to the server's limit (10,000 unless set otherwise).
            preset: `as_trained` (the prior), `uniform` (uniform base, rho 1), `mode` or `anti_mode` (prior base, the
                most negative or positive rho that the bank supports). Exactly one of preset, rho and det_rho.
            rho: exponent of v_k: 0 the base itself, 1 uniform on the manifold, < 0 modes, > 1 anti-modes.
            det_rho: exponent of det(A^T A), half of rho.
            condition: of a conditional generator: a label, the index of a class, or a vector. None draws from all
                classes in equal shares, row i of class i mod C.
            seed: 0 to 2^64 - 1; the server draws one and answers it when None.
            offset: rows to skip: row i depends on the seed and i alone, so pages are parts of one draw.
            base: `prior` or `uniform`; what the preset says, else the prior, when None.
            ball_radius: bounds a uniform base by a ball.
            box: (low, high) bounds it by a box. Neither: the ball of radius sqrt(d + 2) for a normal prior, else the
                prior's support.
            top_k: k, 1 to the latent dimension; 0 lets the server choose and say why.
            manifold: `output` (the images), `pre_activation` (before the smooth head) or `features` (of the images, by
                the network that the generator's card names).
            bank: id of the bank to draw from; the bank of the base law, else the prior's corrected, when None.
            bank_revision: use only this many first rows of it.
            replacement: False draws distinct rows, which leans towards the base unless the ESS is far above the count.
            truncation_psi: scales the prior about 0, in (0, 1].
            truncation_norm: conditions a normal prior on |z| <= this.
            precision: `float32`, `float64` or `bfloat16`, of images and of the bank. In `bfloat16` images are those of
                `float32`, and k goes no further than its volumes are exact.
            method: `resample` draws from the bank; `screened` and `screened_chain` find latents by a surrogate of
                log v_k and correct them exactly, for where the bank's ESS is too low; `auto` takes what promises most
                and says why. The first such draw of a bank fits its surrogate, half a minute.
            evaluations: what a screened draw may compute, in Jacobians; 0 for 4,000.
            min_ess: least ESS: the server's own k keeps it (200 at least), a screened draw grows until it has it,
                within 16 times the evaluations and the timeout; below it the result is `LOW_ESS`.
            images: `uint8`, `float32` (raw values), `png`, or None for no images.
            latents: whether latents are sent.
            log_volumes: whether log v_k is sent; a direct draw (rho 0) computes them, a bank holds them.
            weights: whether each row's log weight within the bank is sent.
            timeout: seconds, the server's queue included; the client's own when None, `math.inf` for no limit.

        Returns:
            The rows with diagnostics and the resolved request; a poor draw is told in its `result` and `advice`.

        Raises:
            InvalidInput: with field, for what can never be right; most of it before anything is sent.
            UnknownResource: no such generator, version or bank.
            Refused: for example, no bank has been built yet; the message says what to do.
            Overloaded, DeadlineExceeded, Unavailable, MessageTooLarge, ServerFault: as their names say.

        Accuracy: the same request gives the same bytes (see `Resolved`); how far the weights can be trusted is in
        `ess`, `khat` and `largest_weight`.

        References: arXiv 2110.08009 (MaGNET), 2203.01993 (Polarity Sampling).
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
        return codec.decode_sample(self._call(self._samples.Sample, codec.sample_request(wanted), timeout))

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
    ) -> DrawStream:
        """Draw as `sample` does, in chunks near 1 MiB that share one header.

        Arguments:
            generator: `name` or `name@version`; None beside a bank, as in `sample`.
            count: rows, or None for a stream without end.
            timeout: seconds for the whole stream; no limit when None.
            preset, rho, det_rho, condition, seed, offset, base, ball_radius, box, top_k, manifold, bank, bank_revision,
                replacement, truncation_psi, truncation_norm, precision, method, evaluations, min_ess, images, latents,
                log_volumes, weights: as in `sample`.

        Returns:
            An iterator of `Draw`, also a context manager; closing it stops the server. The header is there at once.

        Raises:
            The same as `sample`, here and while iterating.

        Accuracy: the chunks together hold the bytes that `sample` gives.
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
        return DrawStream(self._open(self._samples.StreamSamples, request, timeout), self._next)

    def sample_resolved(
        self,
        resolved: Resolved,
        *,
        count: int | None = None,
        offset: int | None = None,
        timeout: float | None = None,
    ) -> Draw:
        """Send a resolved request again.

        Arguments:
            resolved: `Draw.resolved`, or `Resolved.from_json` of what was kept.
            count: rows; the same number when None.
            offset: rows to skip; the same number when None.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            The same rows, or another page of the same draw.

        Raises:
            The same as `sample`; Refused if the server no longer holds that generator, bank or revision.

        Accuracy: the same bytes on the machine it came from; see `Resolved`.
        """
        wanted = dataclasses.replace(
            resolved,
            count=resolved.count if count is None else count,
            offset=resolved.offset if offset is None else offset,
        )
        return codec.decode_sample(self._call(self._samples.Sample, codec.sample_request(wanted), timeout))

    def generate(
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
        """Run the generator on latents of your own.

        Arguments:
            generator: `name` or `name@version`.
            latents: [rows, d], finite; float32 is sent as it is, anything else as float64.
            condition: of all rows, where the generator takes one.
            top_k: k of the log-volumes; 0 for k = d.
            manifold: where they are taken.
            precision: `float32`, `float64` or `bfloat16`; in the last, log-volumes are refused where they are off by
                more than 0.05 nats.
            images: `uint8`, `float32` (raw values), `png` (decoded on arrival), or None.
            log_volumes: whether log v_k is answered too.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Outputs in the order of the latents.

        Raises:
            InvalidInput: with field `latents` for a wrong width or non-finite values, and others as in `sample`.
            UnknownResource, Overloaded, DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: rounding of the named precision.
        """
        request = codec.generate_request(generator, latents, condition, top_k, manifold, precision, images, log_volumes)
        return codec.decode_generated(self._call(self._samples.Generate, request, timeout))
