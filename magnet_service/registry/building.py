"""Builds of banks: what was asked for, what an idle builder may grow, and damaged shards computed again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from threading import Event

import torch

from magnet_service.errors import Refused
from magnet_service.generator import Manifold, Precision
from magnet_service.generator.condition import Condition
from magnet_service.geometry import Engine, stamp
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.conditions import named
from magnet_service.registry.generators import GeneratorShelf, HeldGenerator
from magnet_service.sampling import Bank, BankSpec, Base, Progress, build, engine_for, uniform_domain
from magnet_service.sampling.banks.inspection import repair
from magnet_service.sampling.crews import Crew, Workers, open_crew, recipe_of

__all__ = ["Build", "BuildRequest", "Staff", "holder_of", "plan_build", "plan_growth", "repaired"]

# What a worker elsewhere computes at a time: some seconds of work at most.
_SPAN_ROWS = 1024


@dataclass(frozen=True)
class Staff:
    """Who computes banks.

    Attributes:
        workers: other processes; the caller of a build's steps where None.
        tell: given a line whenever a worker dies or is left out.
    """

    workers: Workers | None = None
    tell: Callable[[str], None] | None = None


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What bank to build.

    Attributes:
        rows: rows that it shall have at the end.
        base: PRIOR, or UNIFORM on a domain.
        ball_radius: radius of a ball as that domain; 0 for the default one of a normal prior.
        box: (low, high) of every coordinate as that domain.
        manifold: where volumes are measured.
        precision: arithmetic asked for; FLOAT32 takes the place of a BFLOAT16 that is too inexact.
        seed: of the latents.
        condition: of a conditional generator, which has a bank for each.
    """

    rows: int
    base: Base = Base.PRIOR
    ball_radius: float | None = None
    box: tuple[float, float] | None = None
    manifold: Manifold = Manifold.OUTPUT
    precision: Precision = Precision.FLOAT32
    seed: int = 0
    condition: Condition | None = None


@dataclass(frozen=True)
class Build:
    """A build that may start.

    Attributes:
        held: the generator.
        bank: the bank, perhaps empty.
        rows: rows wanted.
        steps: advances it, a few tiles a step.
        stop: set to have a step end early that waits for other processes.
        elsewhere: whether other processes compute; else a step takes the device.
        for_idleness: whether it was begun for want of other work, and gives way to any.
    """

    held: HeldGenerator
    bank: Bank
    rows: int
    steps: Iterator[Progress]
    stop: Event = field(default_factory=Event)
    elsewhere: bool = False
    for_idleness: bool = False


def plan_build(banks: BankShelf, held: HeldGenerator, engine: Engine, request: BuildRequest, staff: Staff) -> Build:
    """Makes a bank if it does not exist, and a build of it that has not started.

    Arguments:
        banks: the store.
        held: the generator.
        engine: how it is computed.
        request: the bank wanted.
        staff: who computes.

    Returns:
        The build.

    Raises:
        InvalidInput: a domain that does not fit the prior, or a seed out of range.
        Refused: a manifold that the generator has not (NO_FEATURES).
        Refused, DamagedData, OutOfSpace, Unreachable: as `Store.ensure` and `build`.

    Accuracy: exact.
    """
    held.generator.plan(request.manifold)  # refuses a manifold that it has not
    law = held.prior
    if request.base is Base.UNIFORM:
        law = uniform_domain(law, ball_radius=request.ball_radius, box=request.box)
    spec = BankSpec(
        generator_digest=held.generator.digest,
        law=law.to_text(),
        condition="" if held.condition is None else held.condition.text,
        manifold=request.manifold,
        precision=request.precision,
        tile_rows=engine.tile_rows,
        threads=engine.threads,
        seed=request.seed,
        device=torch.device(engine.device).type,
    )
    return _build(banks.ensure(spec, engine), held, engine, request.rows, staff)


def plan_growth(
    banks: BankShelf,
    generators: GeneratorShelf,
    engine: Callable[[Precision], Engine],
    to_rows: int,
    budget: int,
    banned: Collection[str],
    staff: Staff,
) -> Build | None:
    """A build that adds a shard to the smallest bank that can grow here.

    Arguments:
        banks: the store.
        generators: those held.
        engine: how this server computes in an arithmetic.
        to_rows: rows beyond which no bank is grown.
        budget: bytes that may be added.
        banned: ids of banks that are left alone.
        staff: who computes.

    Returns:
        The build; None where there is nothing to grow, or its next shard is beyond the budget.

    Raises:
        Refused, DamagedData, Unreachable: as `build`.

    Accuracy: the budget is kept to within a shard's own metadata.
    """
    for bank in sorted(banks.all(), key=lambda bank: (bank.revision, bank.id)):
        shard_rows, spec = bank.manifest.shard_rows, bank.spec
        rows = min(to_rows, (bank.revision // shard_rows + 1) * shard_rows)
        row_bytes = bank.bytes / bank.revision if bank.revision else 4 * (spec.base_law.dim + spec.columns + 1)
        mine = engine(spec.precision)
        same = stamp(mine) == bank.manifest.stamp and (spec.tile_rows, spec.threads) == (mine.tile_rows, mine.threads)
        if spec.imported or bank.revision >= to_rows or bank.id in banned or not same:
            continue
        if (rows - bank.revision) * row_bytes > budget:
            continue
        held = holder_of(bank, generators)
        if held is not None:
            return replace(_build(bank, held, mine, rows, staff), for_idleness=True)
    return None


def holder_of(bank: Bank, generators: GeneratorShelf) -> HeldGenerator | None:
    """The generator of a bank under the bank's condition; None where it is not held."""
    reference = generators.reference_of(bank.spec.generator_digest)
    if not reference:
        return None
    return named(generators.get(reference), bank.spec.condition_held)


def repaired(
    bank: Bank,
    generators: GeneratorShelf,
    files: Collection[str],
    *,
    device: str,
    max_memory: int | None,
    on_rows: Callable[[int], object] | None = None,
) -> Bank:
    """Computes damaged shards of a bank again.

    Arguments:
        bank: the bank.
        generators: those held.
        files: names of the shards.
        device: of the bank's kind.
        max_memory: bytes that one computation may take.
        on_rows: told the number of rows after each step.

    Returns:
        The bank as it stands.

    Raises:
        Refused: its generator is not held here (NO_GENERATOR), or as `repair`.
        OutOfSpace, Unreachable: the store's.

    Accuracy: as `repair`.
    """
    held = holder_of(bank, generators)
    if held is None:
        raise Refused(
            f"The generator of bank {bank.id} (sha256 {bank.spec.generator_digest[:12]}) is not here, so its rows "
            "cannot be computed: name its folder with --repository.",
            reason="NO_GENERATOR",
        )
    engine = replace(engine_for(bank.spec, device), max_memory=max_memory)
    damaged = [entry for entry in bank.manifest.shards if entry.file in files]
    return repair(bank, held.generator, engine, damaged, on_rows=on_rows)


def _build(bank: Bank, held: HeldGenerator, engine: Engine, rows: int, staff: Staff) -> Build:
    stop, workers = Event(), staff.workers
    if workers is None:
        # One tile a step: a request that comes in between waits for no more, and larger steps are no faster.
        steps = build(bank, held.generator, engine, rows, progress_rows=engine.tile_rows)
        return Build(held, bank, rows, steps, stop)

    def crew(precision: Precision) -> Crew:
        mine = replace(engine, precision=precision)
        recipe = recipe_of(bank.spec, mine, held.folder, held.version, expected=bank.manifest.stamp)
        return open_crew(workers, recipe, staff.tell)

    steps = build(bank, held.generator, engine, rows, should_stop=stop.is_set, progress_rows=_SPAN_ROWS, crew=crew)
    return Build(held, bank, rows, steps, stop, elsewhere=True)
