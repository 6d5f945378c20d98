"""Regions of latents, activation patterns, rows of affine maps."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from magnet_client import codec
from magnet_client.blocking.connection import Connection
from magnet_client.patterns import Hamming, NearestPatterns, Patterns
from magnet_client.regions import AffineRows, Region
from magnet_client.words import ConditionLike, ManifoldWord

__all__ = ["Regions"]


class Regions(Connection):
    """Calls of the geometry service about the regions that latents are in."""

    def region(
        self,
        generator: str,
        latent: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        box: tuple[float, float] | None = None,
        manifold: ManifoldWord = "pre_activation",
        affine_map: bool = False,
        half_spaces: bool = False,
        minimal: bool = False,
        ball: bool = True,
        others: ArrayLike | None = None,
        timeout: float | None = None,
    ) -> Region:
        """Describe the region of a latent: its half-spaces, its affine map, how far its boundary is.

        Formula: {z' : pattern(z') = pattern(z)} = {z' : N z' <= h} up to its boundary, value(z') = A z' + c there.

        Arguments:
            generator: `name` or `name@version`.
            latent: [d], finite.
            condition: where the generator takes one.
            box: (low, high) of every coordinate; its sides are added to the half-spaces.
            manifold: the value that is affine: `pre_activation` for what feeds the smooth head.
            affine_map: whether A and c are answered.
            half_spaces: whether N and h are answered.
            minimal: leave out half-spaces without which the region stays the same; one linear program for many of them.
            ball: whether the largest ball inside is looked for; a few linear programs.
            others: [rows, d], of which is said whether they are in this region.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            The region with its pattern, its radius and the unit whose hyperplane is nearest; `render` draws it.

        Raises:
            InvalidInput: with field, for a latent of another width or outside of the box, or too large an answer.
            UnknownResource: no such generator or version.
            Refused: the generator is smooth inside (NOT_PIECEWISE_AFFINE); the message names the operation.
            OutOfMemory, Overloaded, DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: rounding of float64; at a latent exactly on a boundary the tie rule decides and the radius is 0.

        References: arXiv 1805.06576 (Mad Max).
        """
        request = codec.region_request(
            generator,
            latent,
            condition,
            box,
            manifold,
            affine_map,
            half_spaces,
            minimal,
            ball,
            others,
        )
        return codec.decode_region(self._call(self._geometry.Region, request, timeout))

    def patterns(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        timeout: float | None = None,
    ) -> Patterns:
        """Compute the activation patterns of latents, packed.

        Arguments:
            generator: `name` or `name@version`.
            latents: [rows, d], finite.
            condition: of all latents, where the generator takes one.
            manifold: whose units count: `pre_activation` for those before the smooth head.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Patterns in the order of the latents; `codes` has one number a unit.

        Raises:
            InvalidInput, UnknownResource, Refused: as `local_complexity`.
            Overloaded, DeadlineExceeded, Unavailable, MessageTooLarge, ServerFault: as their names say.

        Accuracy: exact for the pre-activations computed in float64.
        """
        request = codec.patterns_request(generator, latents, condition, manifold)
        return codec.decode_patterns(self._call(self._geometry.Patterns, request, timeout))

    def hamming(
        self,
        generator: str,
        latents: ArrayLike,
        others: ArrayLike | None = None,
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        paired: bool = False,
        timeout: float | None = None,
    ) -> Hamming:
        """Count in how many units of each layer the activation patterns of latents differ.

        Formula: d(z, z') = #{units u : state_u(z) != state_u(z')}, which is 0 just where both are in one region.

        Arguments:
            generator: `name` or `name@version`.
            latents: [rows, d], finite.
            others: [others, d] to compare them with; the latents with each other when None.
            condition: of all latents, where the generator takes one.
            manifold: whose units count: `pre_activation` for those before the smooth head.
            paired: compare latent i with other i only, of which there are as many.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Distances by layer, of all pairs or of these; `render` draws them.

        Raises:
            InvalidInput, UnknownResource, Refused: as `local_complexity`; InvalidInput (field `others`) for pairs that
                are not as many.
            Overloaded, DeadlineExceeded, Unavailable, MessageTooLarge, ServerFault: as their names say.

        Accuracy: exact for the pre-activations computed in float64.

        References: arXiv 1805.06576 (Mad Max).
        """
        request = codec.hamming_request(generator, latents, others, condition, manifold, paired)
        return codec.decode_hamming(self._call(self._geometry.Patterns, request, timeout))

    def nearest_patterns(
        self,
        generator: str,
        latents: ArrayLike,
        count: int = 10,
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        bank: str,
        bank_revision: int | None = None,
        timeout: float | None = None,
    ) -> NearestPatterns:
        """Find the rows of a bank whose activation patterns differ from each latent's in the fewest units.

        Arguments:
            generator: `name` or `name@version`.
            latents: [rows, d], finite.
            count: neighbours of each, 1 to the rows of the bank.
            condition: of the latents and of the bank, where the generator takes one.
            manifold: whose units count: `pre_activation` for those before the smooth head.
            bank: id of a bank of this generator; the first call about it computes a forward for each of its rows.
            bank_revision: look only at this many of its first rows; at all when None.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Numbers, distances and latents of the nearest rows, nearest first; `generate` makes images of the latents.

        Raises:
            InvalidInput, UnknownResource, Refused: as `local_complexity`; InvalidInput (field `count`) for more than
                the bank's rows, UnknownResource for no such bank, Refused (FOREIGN_BANK) for another generator's.
            Overloaded, DeadlineExceeded, Unavailable, MessageTooLarge, ServerFault: as their names say.

        Accuracy: exact: every row is looked at; of equally near rows the lower comes first.
        """
        request = codec.nearest_request(generator, latents, count, bank, condition, manifold, bank_revision)
        return codec.decode_nearest(self._call(self._geometry.NearestPatterns, request, timeout))

    def affine_rows(
        self,
        generator: str,
        latents: ArrayLike,
        outputs: Sequence[int] = (),
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        lipschitz: bool = False,
        timeout: float | None = None,
    ) -> AffineRows:
        """Compute rows of the affine map on the region of each latent, and its Lipschitz constant.

        Formula: output_i(z') = <row_i, z'> + c_i on the region of z; L = |A|_2 = sigma_1.

        Arguments:
            generator: `name` or `name@version`; of a classifier the rows are its matched filters.
            latents: [rows, d], finite; of a classifier its inputs, flattened.
            outputs: numbers of the outputs whose rows are wanted, of the value flattened.
            condition: of all latents, where the generator takes one.
            manifold: of which value: `pre_activation` for what feeds the smooth head.
            lipschitz: whether local Lipschitz constants are answered; behind a smooth head they are those of the point.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Rows with the shape of the generator's input; `render` draws them.

        Raises:
            InvalidInput: with field `outputs` for outputs that are not there, or where nothing is asked for.
            UnknownResource: no such generator or version.
            Refused: rows of a value that something smooth stands before (NOT_PIECEWISE_AFFINE).
            OutOfMemory, Overloaded, DeadlineExceeded, Unavailable, MessageTooLarge, ServerFault: as their names say.

        Accuracy: rounding of float64.

        References: arXiv 1805.06576 (Mad Max: templates).
        """
        request = codec.affine_rows_request(generator, latents, outputs, condition, manifold, lipschitz)
        return codec.decode_affine_rows(self._call(self._geometry.AffineRows, request, timeout))
