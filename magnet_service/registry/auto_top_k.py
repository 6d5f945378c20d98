"""AUTO's k at rho 1 over each base that has a bank."""

from __future__ import annotations

from dataclasses import dataclass

from magnet_service.errors import MagnetError
from magnet_service.generator import Manifold, Precision
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import Accuracy, Base, Law, Pushforward, SampleRequest, TopK
from magnet_service.sampling.polarity import Weights
from magnet_service.sampling.resolve import weights_of
from magnet_service.sampling.shared import shared_top_k

__all__ = ["AutoTopK", "auto_top_ks"]

_RHO = 1.0


@dataclass(frozen=True, kw_only=True)
class AutoTopK:
    """The k that AUTO takes at rho 1 over one base.

    Attributes:
        base: PRIOR or UNIFORM.
        law: the base; empty where there is none.
        manifold: where the image is taken.
        precision: arithmetic of the bank.
        condition: of the bank; empty for a generator without conditions.
        bank_id: the bank that answers; empty if there is none, and where the banks of all classes answer together.
        bank_revision: its rows, of the smallest of several; 0 if there is none.
        bank_reason: how its law relates to the base.
        top_k: the choice; None where there is no bank.
        problem: why there is no choice; empty where there is one.
    """

    base: Base
    law: str
    manifold: Manifold = Manifold.OUTPUT
    precision: Precision = Precision.FLOAT32
    condition: str = ""
    bank_id: str = ""
    bank_revision: int = 0
    bank_reason: str = ""
    top_k: TopK | None = None
    problem: str = ""


def auto_top_ks(shelf: BankShelf, held: HeldGenerator) -> tuple[AutoTopK, ...]:
    """Looks up what AUTO takes at rho 1, by the banks that a draw would take.

    Arguments:
        shelf: the banks.
        held: the generator.

    Returns:
        First the prior and the default uniform base on OUTPUT in float32, of a generator with classes that of all of
        them, with the command that builds what is missing where nothing answers; then every other law, manifold,
        precision or condition that has a bank.

    Raises:
        Nothing: a bank that cannot be read says so in its entry.

    Accuracy: as `choose_top_k`.

    Cost: one pass over the rows of a bank for each k tried.
    """
    found = [_of_base(shelf, held, Base.PRIOR)]
    if not isinstance(held.prior, Pushforward):  # an inner latent has no default uniform base
        uniform = _of_base(shelf, held, Base.UNIFORM)
        if uniform.law != found[0].law:
            found.append(uniform)
    banks = shelf.preferred(held.generator.digest, held.reference)
    if held.card.conditions is not None:  # what is missing is told where no condition has a bank
        laws = {bank.spec.law for bank in banks}
        found = [entry for entry in found if entry.top_k is not None or entry.law not in laws]
    seen = {_key(entry) for entry in found}
    for bank in banks:
        spec = bank.spec
        entry = AutoTopK(
            base=Base.PRIOR if spec.base_law == held.prior else Base.UNIFORM,
            law=spec.law,
            manifold=spec.manifold,
            precision=spec.precision,
            condition=spec.condition,
        )
        if _key(entry) not in seen:
            found.append(_of_bank(shelf, entry, bank.id, spec.base_law))
    return tuple(found)


def _of_base(shelf: BankShelf, held: HeldGenerator, base: Base) -> AutoTopK:
    request = SampleRequest(count=1, rho=_RHO, base=base)
    try:
        law = request.base_law(held.prior)
    except MagnetError as error:  # a law of an inner latent has no default domain
        return AutoTopK(base=base, law="", problem=error.message)
    card = held.card.conditions
    try:
        banks = (shelf.choose(held, request),) if card is None else shelf.choose_all(held, request)
    except MagnetError as error:
        command = error.metadata.get("command")
        problem = error.message if command is None else f"no bank yet: {command}"
        return AutoTopK(base=base, law=law.to_text(), problem=problem)
    return AutoTopK(
        base=base,
        law=law.to_text(),
        bank_id=banks[0][0].spec.id if card is None else "",
        bank_revision=min(len(rows) for _, rows in banks),
        bank_reason=f"{'' if card is None else f'a bank for each of {len(banks)} classes; '}{banks[0][0].reason}",
        top_k=shared_top_k([weights_of(choice, rows, law) for choice, rows in banks], _RHO),
    )


def _of_bank(shelf: BankShelf, entry: AutoTopK, bank_id: str, law: Law) -> AutoTopK:
    known = {**vars(entry), "bank_id": bank_id}
    try:
        bank = shelf.open(bank_id)
        rows = bank.rows()
    except MagnetError as error:
        return AutoTopK(**{**known, "problem": error.message})
    top_k = Weights(rows, law, law, _largest_k(bank.manifest.accuracy)).choose_top_k(_RHO)
    reason = f"its law is the base, {law.to_text()}"
    return AutoTopK(**{**known, "bank_revision": len(rows), "bank_reason": reason, "top_k": top_k})


def _largest_k(accuracy: Accuracy | None) -> int | None:
    return None if accuracy is None else accuracy.largest_k


def _key(entry: AutoTopK) -> tuple[str, Manifold, Precision, str]:
    return entry.law, entry.manifold, entry.precision, entry.condition
