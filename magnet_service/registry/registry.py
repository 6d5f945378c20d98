"""Named generators and banks on one device: the only mutable state of the service."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold, Precision
from magnet_service.generator.condition import Condition
from magnet_service.geometry import Engine, MeasuredError, Volumes, stamp, volumes
from magnet_service.geometry.memory import default_max_memory
from magnet_service.registry.auto_top_k import AutoTopK, auto_top_ks
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.bare import describe_bank
from magnet_service.registry.building import Build, BuildRequest, Staff, plan_build, plan_growth, repaired
from magnet_service.registry.conditions import named
from magnet_service.registry.device import device_found
from magnet_service.registry.generators import GeneratorShelf, HeldGenerator
from magnet_service.registry.pages import Page, Plan, Wanted, measured, outputs
from magnet_service.registry.pattern_shelf import PatternShelf
from magnet_service.registry.planning import PATIENCE, Planner
from magnet_service.registry.polarity import DescribeRequest, Description, describe_polarity
from magnet_service.registry.precision import KnownErrors
from magnet_service.registry.preset_outlook import preset_outlooks, preset_requests
from magnet_service.registry.screening import Clock, Screener
from magnet_service.registry.spectrum import RankStatistics, rank_statistics
from magnet_service.registry.surrogates import SurrogateShelf
from magnet_service.sampling import Bank, SampleRequest
from magnet_service.sampling.banks.cache import Cache
from magnet_service.sampling.crews import parse_workers

__all__ = ["Registry"]

StopSignal = Callable[[], bool]


class Registry:
    """Everything that a server can be asked. Not thread-safe: all calls come from the device's one thread.

    Arguments:
        repositories: folders of generators, the ones looked at first coming first.
        store: folder or URL of the banks.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; auto takes the first GPU if there is one.
        threads: threads of one operation.
        tile_rows: rows of a tile.
        max_count: largest number of rows of one request.
        max_bank_rows: largest bank.
        max_tiles: largest number of tiles of one slice.
        max_memory: bytes that one computation may take besides the weights; where None, a share of what is free on the
            device now.
        cache: where columns of banks are kept; in memory where None.
        builder: whether banks may be built and deleted, or are only read.
        workers: who computes banks: `here`, between requests, or as `parse_workers` reads it.
        tell: given a line whenever a worker dies or is left out.

    Raises:
        InvalidInput: a device that is not there; `field` is `device`.
    """

    def __init__(
        self,
        repositories: Sequence[Path],
        store: str | Path,
        *,
        device: str = "auto",
        threads: int = 1,
        tile_rows: int = 16,
        max_count: int = 10_000,
        max_bank_rows: int = 10_000_000,
        max_tiles: int = 1_000_000,
        max_memory: int | None = None,
        cache: Cache | None = None,
        builder: bool = True,
        workers: str = "here",
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.generators = GeneratorShelf(repositories)
        self._device, self._threads, self._tile_rows = device_found(device), threads, tile_rows
        self.banks = BankShelf(
            store, cache=cache, tile_rows=tile_rows, threads=threads, device=self._device, builder=builder
        )
        self.max_count = max_count
        self._max_bank_rows = max_bank_rows
        self.max_tiles = max_tiles
        self.max_memory = default_max_memory(self._device) if max_memory is None else max_memory
        self._staff = Staff(None if workers == "here" else parse_workers(workers), tell)
        self.patterns = PatternShelf()
        self._errors = KnownErrors()
        self._screener = Screener(self.banks, self.engine, SurrogateShelf(self.banks, self.engine))
        self._planner = Planner(self.generators, self.banks, self.engine, self._errors, self._screener, max_count)

    def engine(self, precision: Precision = Precision.FLOAT32) -> Engine:
        """How this server computes."""
        return Engine(
            device=self._device,
            precision=precision,
            tile_rows=self._tile_rows,
            threads=self._threads,
            max_memory=self.max_memory,
        )

    def stamp(self) -> dict[str, str]:
        """What equal bytes are promised for on this server."""
        return {**stamp(self.engine()), "tile_rows": str(self._tile_rows)}

    def get(self, reference: str, condition: Condition | None) -> HeldGenerator:
        """A generator, with its condition held fixed where it takes one; raises as `GeneratorShelf.get` and `named`."""
        return named(self.generators.get(reference), condition)

    def tiles_within(self, asked: int) -> int:
        """Tiles that a slice may have, the limit where 0 are asked for; InvalidInput above it (field `max_tiles`)."""
        if asked > self.max_tiles:
            raise InvalidInput(
                f"max_tiles is {asked:,}; write 1 to {self.max_tiles:,} (the server's max_tiles).",
                field="max_tiles",
                metadata={"max_tiles": str(self.max_tiles)},
            )
        return asked or self.max_tiles

    def preparing(self, reference: str, request: SampleRequest) -> Iterator[float]:
        """Does what a draw needs before it can be planned, step by step: as `Planner.preparing`."""
        return self._planner.preparing(reference, request)

    def plan(
        self,
        reference: str,
        request: SampleRequest,
        *,
        clock: Clock = PATIENCE,
        should_stop: StopSignal | None = None,
    ) -> Plan:
        """Settles a draw: which bank, k, rho, seed, method; a screened one is computed here. As `Planner.plan`."""
        return self._planner.plan(reference, request, clock, should_stop)

    def generate(
        self,
        held: HeldGenerator,
        latents: Float[np.ndarray, "rows latent"],
        wanted: Wanted,
        *,
        manifold: Manifold = Manifold.OUTPUT,
        precision: Precision = Precision.FLOAT32,
        top_k: int = 0,
        should_stop: StopSignal | None = None,
    ) -> Page:
        """Runs a generator on given latents.

        Arguments:
            held: the generator.
            latents: one row each.
            wanted: outputs and log-volumes; latents and weights are not answered.
            manifold: where log-volumes are taken.
            precision: arithmetic.
            top_k: k of the log-volumes; 0 for all columns.
            should_stop: asked before every tile.

        Returns:
            The rows in their order.

        Raises:
            InvalidInput: too many latents, or top_k above the Jacobian's columns.
            Refused: log-volumes in a BFLOAT16 that is too inexact at this k; reason INEXACT.
            Cancelled: `should_stop` answered true.

        Accuracy: rounding of the precision; log-volumes as `volumes`.
        """
        self.check_rows(len(latents), "latents")
        held.check_top_k(top_k)
        engine = self.engine(precision)
        if wanted.log_volumes:
            self._errors.checked(held, engine, manifold, top_k, should_stop)
        return Page(
            values=outputs(engine, held, latents, should_stop) if wanted.values else None,
            log_volumes=measured(held, engine, latents, top_k, manifold, should_stop) if wanted.log_volumes else None,
        )

    def volumes(
        self,
        held: HeldGenerator,
        latents: Float[np.ndarray, "rows latent"],
        *,
        manifold: Manifold,
        precision: Precision,
        top_k: int,
        should_stop: StopSignal | None = None,
    ) -> tuple[Volumes, int, MeasuredError | None]:
        """Measures given latents.

        Arguments:
            held: the generator.
            latents: one row each.
            manifold: where the image is taken.
            precision: arithmetic.
            top_k: k of log v_k; 0 for all columns.
            should_stop: asked before every tile.

        Returns:
            The volumes, the k that was meant, and in BFLOAT16 the error measured for this generator.

        Raises:
            InvalidInput: too many latents, or top_k above the Jacobian's columns.
            Refused: a BFLOAT16 that is too inexact at this k; reason INEXACT.
            Cancelled: `should_stop` answered true.

        Accuracy: as `geometry.volumes`.
        """
        self.check_rows(len(latents), "latents")
        held.check_top_k(top_k)
        engine = self.engine(precision)
        error = self._errors.checked(held, engine, manifold, top_k, should_stop)
        found = volumes(
            held.generator,
            torch.tensor(latents),
            manifold=manifold,
            engine=engine,
            tangent_space=held.prior.tangent_space,
            should_stop=should_stop,
        )
        return found, top_k or held.prior.columns, error

    def rank(self, held: HeldGenerator, latents: int, should_stop: StopSignal | None = None) -> RankStatistics | None:
        """Measures rank and spread over latents of the prior; raises as `rank_statistics`.

        None for no latents, and where a condition is a vector, of which no one stands for all.
        """
        given = held.card.conditions
        if not latents or (given is not None and not given.classes):
            return None
        return rank_statistics(held, self.engine(), latents, should_stop)

    def auto_top_k(self, held: HeldGenerator) -> tuple[AutoTopK, ...]:
        """Looks up AUTO's k at rho 1 over each base that has a bank; as `auto_top_ks`."""
        return auto_top_ks(self.banks, held)

    def plan_build(self, reference: str, request: BuildRequest) -> Build:
        """Prepares to build a bank.

        Arguments:
            reference: `name` or `name@version`.
            request: the bank.

        Returns:
            A build that has not started.

        Raises:
            InvalidInput: more rows than allowed, or as `plan_build`.
            UnknownResource, Refused, DamagedData, OutOfSpace: as `GeneratorShelf.get` and `plan_build`.

        Accuracy: exact.
        """
        self.banks.check_builder()
        if request.rows > self._max_bank_rows:
            raise InvalidInput(
                f"rows is {request.rows:,}; write 1 to {self._max_bank_rows:,} (the server's max_bank_rows).",
                field="rows",
            )
        held = self.get(reference, request.condition)
        return plan_build(self.banks, held, self.engine(request.precision), request, self._staff)

    def plan_growth(self, to_rows: int, budget: int, banned: Collection[str]) -> Build | None:
        """Prepares to grow the smallest bank that can grow here, for an idle builder; as `plan_growth`."""
        return plan_growth(self.banks, self.generators, self.engine, to_rows, budget, banned, self._staff)

    def repair(self, bank: Bank, files: Collection[str], on_rows: Callable[[int], object] | None = None) -> Bank:
        """Computes damaged shards of a bank again; as `repaired`."""
        return repaired(bank, self.generators, files, device=self._device, max_memory=self.max_memory, on_rows=on_rows)

    def describe(self, reference: str, request: DescribeRequest) -> Description:
        """Says what a bank supports; raises as `GeneratorShelf.get` and `describe_polarity`, or `describe_bank`."""
        held = self.get(reference, request.condition) if reference else None
        if held is None:
            found = describe_bank(self.banks, request)
        else:
            found = describe_polarity(self.banks, held, request, self._screener.stored)
        if found.advice is None:
            return found
        draws = preset_requests(request.draw(request.condition))
        presets = preset_outlooks(draws, partial(self.plan, reference), held)
        return replace(found, advice=replace(found.advice, presets=presets))

    def check_rows(self, rows: int, field: str) -> None:
        """InvalidInput for more rows than one call may have."""
        if rows > self.max_count:
            raise InvalidInput(f"{rows:,} rows; send at most {self.max_count:,} in one call.", field=field)
