"""Neighbourhoods of latents: local complexity, distances to hyperplanes, and the density of their images."""

from __future__ import annotations

from numpy.typing import ArrayLike

from magnet_client import codec
from magnet_client.blocking.connection import Connection
from magnet_client.distances import HyperplaneDistances
from magnet_client.neighbourhoods import LocalComplexity, LogDensity
from magnet_client.words import ConditionLike, EstimatorWord, ManifoldWord, PrecisionWord, SpaceWord

__all__ = ["Neighbourhoods"]


class Neighbourhoods(Connection):
    """Calls of the geometry service about what is around latents."""

    def local_complexity(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        radius: float,
        condition: ConditionLike | None = None,
        seed: int = 0,
        manifold: ManifoldWord = "pre_activation",
        directions: int | None = None,
        frame_per_latent: bool = False,
        start: int = 0,
        frame: ArrayLike | None = None,
        estimator: EstimatorWord = "vertices",
        timeout: float | None = None,
    ) -> LocalComplexity:
        """Count the units whose state changes over the vertices of a cross-polytope around each latent.

        Formula: LC(z) = #{units k : s_k(z + e r v_p) is not the same for all p = 1 .. P, e = +1, -1}, layer by layer.

        Arguments:
            generator: `name` or `name@version`.
            latents: [rows, d], finite, or a `latent_grid`, whose answer is drawn as a map.
            radius: r, above 0, in the units of the latent.
            condition: of all latents, where the generator takes one.
            seed: of the frames v_p, 0 to 2^64 - 1.
            manifold: whose units count: `pre_activation` for those before the smooth head.
            directions: P, 1 to d; min(25, d) when None.
            frame_per_latent: draw a frame for each latent, frame i for latent i; otherwise all share frame 0.
            start: number of the first latent, so that a page has the frames that it has in the whole.
            frame: [P, d] or [rows, P, d] orthonormal directions in place of drawn ones; `grid.frame` for a plane's own.
            estimator: `vertices`; or in closed form and only for layers that no other stands before, `frame` (the
                convex hull of the vertices) and `ball`, which has no directions.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Counts by latent and layer; `render` draws them.

        Raises:
            InvalidInput: with field, for a radius that is not above 0, more directions than d, a frame that is not
                orthonormal, latents of another width.
            UnknownResource: no such generator or version.
            Refused: the generator is smooth inside (NOT_PIECEWISE_AFFINE); the message names the operation.
            Overloaded, DeadlineExceeded, Unavailable, MessageTooLarge, ServerFault: as their names say.

        Accuracy: exact for pre-activations rounded to float64. As the number of units that change anywhere in the
        polytope, `vertices` is a lower bound behind the first layer.

        References: arXiv 2402.15555 (Deep Networks Always Grok).
        """
        request = codec.complexity_request(
            generator,
            latents,
            radius,
            condition,
            seed,
            manifold,
            directions,
            frame_per_latent,
            start,
            frame,
            estimator,
        )
        return codec.decode_complexity(self._call(self._geometry.LocalComplexity, request, timeout), latents)

    def log_density(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        top_k: int = 0,
        manifold: ManifoldWord = "output",
        precision: PrecisionWord = "float32",
        timeout: float | None = None,
    ) -> LogDensity:
        """Compute the log density of each latent's image on the manifold, under the generator's prior.

        Formula: log p_G(G(z)) = log p(z) - log v(z); with fewer singular values score_k = log p(z) - log v_k(z).

        Arguments:
            generator: `name` or `name@version`.
            latents: [rows, d], finite, or a `latent_grid`, whose answer is drawn as a map.
            condition: of all latents, where the generator takes one.
            top_k: k, 1 to d; 0 for k = d.
            manifold: `output`, `pre_activation` (before the smooth head) or `features`.
            precision: `float32`, `float64` or `bfloat16`, of the volumes.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Values in nats, and for each whether it is a density; `render` draws them.

        Raises:
            InvalidInput: with field, for latents of another width or k > d.
            UnknownResource: no such generator or version.
            Refused: the latents are an inner value of the network, whose law has no density (NO_DENSITY).
            Overloaded, DeadlineExceeded, Unavailable, MessageTooLarge, ServerFault: as their names say.

        Accuracy: that of `log_volume`, absolute. It is the density where z alone has this image, and else its share.

        References: arXiv 2110.08009 (MaGNET).
        """
        request = codec.log_density_request(generator, latents, condition, top_k, manifold, precision)
        return codec.decode_log_density(self._call(self._geometry.LogDensity, request, timeout), latents)

    def hyperplane_distances(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        space: SpaceWord = "latent",
        timeout: float | None = None,
    ) -> HyperplaneDistances:
        """Measure how far latents are from the hyperplanes of each layer's units, in the mean.

        Formula: |h_k(z) - t| / |grad h_k(z)| with h_k the pre-activation of unit k and t its breakpoints, the gradient
        with respect to z, or to what feeds the layer.

        Arguments:
            generator: `name` or `name@version`.
            latents: [rows, d], finite: data where the network is a classifier.
            condition: of all latents, where the generator takes one.
            manifold: whose units count: `pre_activation` for those before the smooth head.
            space: where distances are measured: `latent`, to hyperplanes of the latent's own region extended beyond it,
                or `layer`, in the space of what the layer of units before makes.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Mean and root mean square by layer; `render` draws a bar a layer.

        Raises:
            InvalidInput: with field, for latents of another width.
            UnknownResource: no such generator or version.
            Refused: the generator is smooth inside (NOT_PIECEWISE_AFFINE); the message names the operation.
            Overloaded, DeadlineExceeded, Unavailable, MessageTooLarge, OutOfMemory, ServerFault: as their names say.

        Accuracy: rounding of float64. Layers that choose among entries, as max-pools, have no hyperplane a unit and are
        left out, each with the reason.

        References: arXiv 2209.14778 (Batch Normalization Explained).
        """
        request = codec.distances_request(generator, latents, condition, manifold, space)
        return codec.decode_distances(self._call(self._geometry.HyperplaneDistances, request, timeout))
