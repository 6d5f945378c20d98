"""Banks of the store: listed, read into memory, chosen for a draw."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import torch

from magnet_service.errors import Refused
from magnet_service.generator import Manifold, Precision
from magnet_service.geometry import Engine, stamp
from magnet_service.registry.conditions import bank_flag, banks_of_classes, class_card
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import (
    SHARD_ROWS,
    Ball,
    Bank,
    BankChoice,
    BankRows,
    BankSpec,
    Base,
    Box,
    OperationRecords,
    Pushforward,
    SampleRequest,
    Store,
    choose_bank,
    covers,
    uniform_domain,
)
from magnet_service.sampling.banks.cache import Cache
from magnet_service.sampling.choice import preference

__all__ = ["BankShelf", "bank_command"]

_BANKS_IN_MEMORY = 4
_MOST_BANKS_IN_MEMORY = 128  # where a draw over all classes reads the banks of all


class BankShelf:
    """The store, with the rows of the banks last used in memory.

    Arguments:
        store: folder or URL of the banks.
        tile_rows, threads, device: of this server's engine; among banks of one law those computed so come first.
        builder: whether banks may be built and deleted, or are only read.
        cache: where columns of banks are kept; in memory where None.

    Attributes:
        operations: the records of builds.
    """

    def __init__(
        self,
        store: str | Path,
        *,
        cache: Cache | None = None,
        tile_rows: int = 16,
        threads: int = 1,
        device: str = "cpu",
        builder: bool = True,
    ) -> None:
        self._store = Store(store, cache)
        self.operations = OperationRecords(self._store.place)
        self._tile_rows, self._threads = tile_rows, threads
        self._device = torch.device(device).type
        self._read: OrderedDict[str, Bank] = OrderedDict()
        self._kept = _BANKS_IN_MEMORY
        self._builder = builder

    @property
    def builder(self) -> bool:
        """Whether this server may write to the store."""
        return self._builder

    def check_builder(self) -> None:
        """Refused (READ_ONLY) where this server only reads banks."""
        if not self._builder:
            raise Refused(
                f"This server only reads the banks of {self._store.place.url}: ask one started with --builder, "
                "or build with `magnet bank build NAME --local --store PLACE`.",
                reason="READ_ONLY",
            )

    def all(self) -> tuple[Bank, ...]:
        """Every readable bank as it stands, by id."""
        return self._store.banks()

    def survey(self) -> tuple[tuple[Bank, ...], tuple[str, ...]]:
        """Every readable bank as it stands, by id, and those that cannot be opened, each with the reason."""
        banks, unreadable = self._store.survey()
        return banks, tuple(f"{name}: {error.message}" for name, error in unreadable.items())

    def open(self, bank_id: str) -> Bank:
        """One bank as it stands; raises as `Store.open`. Rows that it holds already stay in memory."""
        bank = self._store.open(bank_id)
        known = self._read.pop(bank_id, None)
        if known is not None and known.manifest == bank.manifest:
            bank = known
        self._read[bank_id] = bank
        while len(self._read) > self._kept:
            self._read.popitem(last=False)
        return bank

    def preferred(self, generator_digest: str, reference: str) -> tuple[Bank, ...]:
        """The banks of a generator that have rows; of those alike in all that a request states, the one it takes."""

        def rank(bank: Bank) -> tuple[bool, bool, int, str]:
            return preference(bank.spec, tile_rows=self._tile_rows, threads=self._threads, device=self._device)

        best: dict[tuple[str, ...], Bank] = {}
        for bank in sorted(self.all(), key=rank):
            spec = bank.spec
            if bank.revision and spec.is_of(generator_digest, reference):
                best.setdefault((spec.law, spec.manifold, spec.precision, spec.condition), bank)
        return tuple(best[key] for key in sorted(best))

    def delete(self, bank_id: str) -> None:
        """Removes a bank from the store and from memory; raises as `check_builder` and `Store.delete`."""
        self.check_builder()
        self._store.delete(bank_id)
        self._read.pop(bank_id, None)

    def choose(self, held: HeldGenerator, request: SampleRequest) -> tuple[BankChoice, BankRows]:
        """The bank that answers a request, with the rows used.

        Arguments:
            held: the generator.
            request: one that reads volumes.

        Returns:
            The choice and the bank's first `bank_revision` rows.

        Raises:
            UnknownResource: the bank named does not exist.
            Refused: it does not fit (FOREIGN_BANK), or none does (NO_BANK): the message has the command that builds it.
            InvalidInput: more rows than the bank has; `field` is `bank_revision`.
            DamagedData: a shard is damaged.

        Accuracy: exact.
        """
        # A bank whose first rows are still being computed serves nobody yet; the command below joins its build.
        specs = [bank.spec for bank in self._store.glance() if bank.revision or bank.id == request.bank_id]
        try:
            choice = choose_bank(
                specs,
                request,
                held.prior,
                generator_digest=held.generator.digest,
                reference=held.reference,
                tile_rows=self._tile_rows,
                threads=self._threads,
                device=self._device,
            )
        except Refused as error:
            if error.reason != "NO_BANK":
                raise
            command = bank_command(held, request, bank_flag(held.card.conditions, request.condition))
            if command is None:
                raise Refused(
                    f"no bank of {error.metadata['law']} can be built: leave the truncation out",
                    field=error.field,
                    reason=error.reason,
                    metadata=error.metadata,
                ) from error
            raise Refused(
                f"{error.message.rstrip('.')}: {command}",
                field=error.field,
                reason=error.reason,
                metadata={**error.metadata, "command": command},
            ) from error
        bank = self.open(choice.spec.id)
        return replace(choice, accuracy=bank.manifest.accuracy), bank.rows(request.bank_revision)

    def choose_all(self, held: HeldGenerator, request: SampleRequest) -> tuple[tuple[BankChoice, BankRows], ...]:
        """The bank of every class with the rows used; raises as `banks_of_classes`."""
        self._kept = max(self._kept, min(class_card(held).classes, _MOST_BANKS_IN_MEMORY))
        return banks_of_classes(held, request, self.choose, lambda whose: bank_command(held, request, whose))

    def ensure(self, spec: BankSpec, engine: Engine) -> Bank:
        """The bank of a recipe, made without rows where it is missing; raises as `Store.ensure`."""
        shard_rows = -(-SHARD_ROWS // spec.tile_rows) * spec.tile_rows
        return self._store.ensure(spec, stamp=stamp(engine), shard_rows=shard_rows)


def bank_command(held: HeldGenerator, request: SampleRequest, whose: str) -> str | None:
    """The command that builds the bank of a request.

    Arguments:
        held: the generator.
        request: one that reads volumes.
        whose: flag that names the condition, or all of them; empty for a generator without.

    Returns:
        The command, of exactly the law of the request; None where no flags can say that.

    Raises:
        InvalidInput: as `SampleRequest.base_law`.

    Accuracy: exact.
    """
    law = request.base_law(held.prior)
    flags = [whose] if whose else []
    if request.chosen_base is Base.UNIFORM or not covers(held.prior, law):
        flags.append("--base uniform")
        if isinstance(held.prior, Pushforward) or law != uniform_domain(held.prior):
            match law:
                case Ball(radius=radius):
                    flags.append(f"--ball-radius {radius!r}")
                case Box(low=low, high=high):
                    flags.append(f"--box={low!r},{high!r}")
                case _:
                    return None
    if request.manifold is not Manifold.OUTPUT:
        flags.append(f"--manifold {request.manifold}")
    if request.precision is not Precision.FLOAT32:
        flags.append(f"--precision {request.precision}")
    return " ".join(["magnet bank build", held.reference, *flags])
