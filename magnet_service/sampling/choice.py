"""Which bank answers a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from magnet_service.errors import Refused, UnknownResource
from magnet_service.sampling.accuracy import Accuracy
from magnet_service.sampling.banks.spec import BankSpec
from magnet_service.sampling.domain import covers
from magnet_service.sampling.law import Law
from magnet_service.sampling.pushforward import Pushforward
from magnet_service.sampling.request import SampleRequest

__all__ = ["BankChoice", "choose_bank", "preference"]


@dataclass(frozen=True)
class BankChoice:
    """A bank and why it is used.

    Attributes:
        spec: the bank's recipe.
        reason: one sentence for the answer.
        accuracy: how exact its rows are; None where nobody measured it.
    """

    spec: BankSpec
    reason: str
    accuracy: Accuracy | None = None


def choose_bank(
    specs: Sequence[BankSpec],
    request: SampleRequest,
    prior: Law,
    *,
    generator_digest: str,
    reference: str = "",
    tile_rows: int = 16,
    threads: int = 1,
    device: str = "cpu",
) -> BankChoice:
    """The bank named, else the one whose law is the base, else the prior's, corrected.

    Arguments:
        specs: recipes of the banks at hand.
        request: a request that reads volumes.
        prior: the generator's own law, untruncated.
        generator_digest: digest of the generator asked for.
        reference: the same as `name@version`, for imported banks that know only a name.
        tile_rows, threads, device: of the engine at hand; of the device its kind, as `BankSpec.device`.

    Returns:
        The choice; among several that serve as well one that was computed before one imported, then one computed as the
        engine at hand computes, then the one of the lowest seed, then of the lowest id.

    Raises:
        UnknownResource: no bank of the id named.
        Refused: the bank named belongs to another generator, manifold or precision or does not cover the base (reason
            FOREIGN_BANK); nothing is named and nothing fits (reason NO_BANK, with the law to build).

    Accuracy:
        Exact.
    """
    base = request.base_law(prior)
    if request.bank_id is not None:
        named = next((spec for spec in specs if spec.id == request.bank_id), None)
        if named is None:
            known = ", ".join(sorted(spec.id for spec in specs)) or "none"
            raise UnknownResource(f"no bank {request.bank_id}: there are {known}", field="bank_id")
        _check_fit(named, request, base, generator_digest, reference)
        return BankChoice(named, f"named in the request; {_relation(named, base)}")

    def rank(spec: BankSpec) -> tuple[bool, bool, int, str]:
        return preference(spec, tile_rows=tile_rows, threads=threads, device=device)

    fitting = [spec for spec in specs if not _misfit(spec, request, generator_digest, reference)]
    for law in (base, prior):
        same = sorted((spec for spec in fitting if spec.base_law == law), key=rank)
        if same and covers(law, base):
            return BankChoice(same[0], _relation(same[0], base))
    raise Refused(
        f"no bank of {request.manifold} in {request.precision} holds rows of {base.to_text()}"
        f"{_without_density(prior, base)}: build one with that law",
        field="bank_id",
        reason="NO_BANK",
        metadata={"law": base.to_text(), "manifold": str(request.manifold), "precision": str(request.precision)},
    )


def preference(spec: BankSpec, *, tile_rows: int, threads: int, device: str) -> tuple[bool, bool, int, str]:
    """What banks that serve as well are sorted by: computed, and as the engine at hand computes, then seed, then id."""
    elsewhere = (spec.tile_rows, spec.threads, spec.device) != (tile_rows, threads, device)
    return spec.imported, elsewhere, spec.seed, spec.id


def _misfit(spec: BankSpec, request: SampleRequest, generator_digest: str, reference: str) -> str | None:
    if not spec.is_of(generator_digest, reference):
        return "another generator or version"
    if spec.manifold is not request.manifold:
        return f"manifold {spec.manifold}, not {request.manifold}"
    if spec.precision is not request.precision:
        return f"precision {spec.precision}, not {request.precision}"
    if spec.condition != request.condition_text:
        return f"condition {spec.condition or 'none'}, not {request.condition_text or 'none'}"
    return None


def _check_fit(spec: BankSpec, request: SampleRequest, base: Law, generator_digest: str, reference: str) -> None:
    misfit = _misfit(spec, request, generator_digest, reference)
    if misfit is None and not covers(spec.base_law, base):
        misfit = f"rows of {spec.law}, which does not cover {base.to_text()}{_without_density(spec.base_law, base)}"
    if misfit is not None:
        raise Refused(f"bank {spec.id} has {misfit}: name another", field="bank_id", reason="FOREIGN_BANK")


def _without_density(law: Law, base: Law) -> str:
    if law == base or not isinstance(law, Pushforward):
        return ""
    return " (and one of the prior cannot be corrected to it: the law of an inner latent has no density)"


def _relation(spec: BankSpec, base: Law) -> str:
    same = spec.base_law == base
    relation = (
        f"its law is the base, {spec.law}" if same else f"rows of {spec.law}, corrected to the base {base.to_text()}"
    )
    return f"{relation}; imported, its volumes as published and of unknown error" if spec.imported else relation
