"""All that a worker needs to compute rows of a bank, and the checks that they will be the driver's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator import Condition, Generator, GeneratorCard
from magnet_service.geometry import Engine, stamp
from magnet_service.sampling.banks.computing import compute_rows, stamp_difference
from magnet_service.sampling.banks.rows import Rows
from magnet_service.sampling.banks.spec import BankSpec
from magnet_service.sampling.crews.origin import Carried, Kept

__all__ = ["Bench", "Recipe", "recipe_of"]


@dataclass(frozen=True)
class Bench:
    """A recipe with its generator in memory.

    Attributes:
        spec: what the rows are a function of.
        generator: of the recipe's condition.
        engine: on this worker's device.
    """

    spec: BankSpec
    generator: Generator
    engine: Engine

    def rows(self, start: int, stop: int, should_stop: Callable[[], bool] | None = None) -> Rows:
        """Rows start to stop - 1; start begins a tile. Raises as `compute_rows`."""
        return compute_rows(self.generator, self.engine, self.spec, start, stop, should_stop)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What travels to a worker.

    Attributes:
        spec: the bank's.
        engine: that computes the rows: its precision is the one used, which may be another than the bank's. Workers
            of CUDA replace the number of its device; its `max_memory` is for all workers of a machine together.
        stamp: that the workers' engines must have, from `geometry.stamp` or a bank's manifest.
        origin: of the generator.
    """

    spec: BankSpec
    engine: Engine
    stamp: Mapping[str, str]
    origin: Kept | Carried

    def carried(self) -> Recipe:
        """The same recipe with the generator's files in it; raises as `Kept.carried`."""
        return replace(self, origin=self.origin.carried())

    def on(self, device: str, workers: int = 1) -> Recipe:
        """The same recipe for one of several workers that share a device's memory.

        Arguments:
            device: torch device of the worker, of the engine's kind.
            workers: how many share the bound of memory.

        Returns:
            The recipe.

        Raises:
            Nothing.
        """
        bound = self.engine.max_memory
        share = None if bound is None else max(1, bound // workers)
        return replace(self, engine=replace(self.engine, device=device, max_memory=share))

    def bench(self) -> Bench:
        """The generator loaded, and everything compared that equal bytes depend on.

        Returns:
            What computes rows.

        Raises:
            Refused: another generator than the bank's (FOREIGN_BANK), or another engine or torch build, instruction
                set or device than the stamp's (OTHER_ENGINE); the message names what differs.
            The same as `load_version`, and as `ConditionCard.resolve` where the card has changed.

        Accuracy: rows of benches of one recipe are equal bit for bit.
        Cost: a few seconds, once.
        """
        what = stamp_difference(self.stamp, self.engine)
        if what:
            raise Refused(
                f"bank {self.spec.id} cannot be computed by this worker, its rows would not be one computation: "
                f"{what}. Use workers like the machine that the bank was begun on.",
                reason="OTHER_ENGINE",
            )
        generator, card = self.origin.load()
        if generator.digest != self.spec.generator_digest:
            raise Refused(
                f"bank {self.spec.id} is of generator {self.spec.generator_digest[:16]}, version "
                f"{self.origin.version} of {card.name} is {generator.digest[:16]} where this worker looks",
                reason="FOREIGN_BANK",
            )
        return Bench(self.spec, _conditioned(generator, card, self.spec), self.engine)


def recipe_of(
    spec: BankSpec, engine: Engine, folder: Path | None, version: int, *, expected: Mapping[str, str] | None = None
) -> Recipe:
    """The recipe of a bank of a generator in a repository.

    Arguments:
        spec: the bank's.
        engine: that would compute the rows here; its precision is the one used.
        folder: `REPOSITORY/NAME`; None for a generator given as a module, which no other process can read.
        version: its number.
        expected: stamp of the bank; of the engine here where None.

    Returns:
        The recipe.

    Raises:
        InvalidInput: a generator without files (field `workers`), or an engine of other tile rows or threads than the
            bank's (field of that name).

    Accuracy: exact.
    """
    if folder is None:
        raise InvalidInput(
            "workers: other processes cannot read a generator that was given as a module; add it to a repository "
            "(magnet generator add), or leave workers out.",
            field="workers",
        )
    for name in ("tile_rows", "threads"):
        wanted, given = getattr(spec, name), getattr(engine, name)
        if wanted != given:
            raise InvalidInput(f"{name} is {given}: the bank is of {wanted}, write that", field=name)
    given_stamp = dict(stamp(engine) if expected is None else expected)
    return Recipe(spec=spec, engine=engine, stamp=given_stamp, origin=Kept(folder.resolve(), version))


def _conditioned(generator: Generator, card: GeneratorCard, spec: BankSpec) -> Generator:
    conditions = card.conditions
    if conditions is None and not spec.condition:
        return generator
    if conditions is None or not spec.condition:
        takes = "no condition" if conditions is None else "a condition"
        raise Refused(
            f"bank {spec.id} is of condition {spec.condition!r}, {card.name} takes {takes}", reason="FOREIGN_BANK"
        )
    return generator.conditioned(conditions.value_of(conditions.resolve(Condition.from_text(spec.condition))))
