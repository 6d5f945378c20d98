"""What a bank is: everything that its rows are a function of, and the digest of that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from magnet_service.errors import InvalidInput
from magnet_service.generator import Condition, Manifold, Precision
from magnet_service.sampling.counter import check_seed
from magnet_service.sampling.law import Law
from magnet_service.sampling.law_text import from_text

__all__ = ["BankSpec"]

# Left out of the text that the id digests where they are empty: ids of banks that were computed know nothing of them.
_OF_IMPORTS = ("origin", "generator_name", "singular_values")


@dataclass(frozen=True, kw_only=True)
class BankSpec:
    """The recipe of a bank: row i of the bank is a function of it and of i.

    An imported bank has an origin: its rows come out of a file and are a function of no seed, so that seed, tile rows,
    threads, device and precision say nothing about them.

    Attributes:
        generator_digest: sha256 of the generator's graph and weights, hexadecimal; empty for an imported bank whose
            generator was not at hand.
        law: canonical text of the law that latents are drawn from.
        condition: condition of a conditional generator; empty.
        manifold: where volumes are measured.
        precision: arithmetic asked for. Where BFLOAT16 is too inexact for a generator, FLOAT32 computes the rows, and
            the bank's manifest says so: which of the two is a function of this recipe and the engine, so that the id,
            which requests look for, does not have to wait for the measurement.
        tile_rows: rows of a tile.
        threads: threads of one operation.
        seed: seed of the latents.
        device: kind of device, `cpu` or `cuda`.
        origin: of an imported bank, sha256 of the file's arrays, hexadecimal; else empty.
        generator_name: of an imported bank, the generator as its importer called it, `name` or `name@version`.
        singular_values: of an imported bank, how many each row has, the largest first; often fewer than the Jacobian.

    Raises:
        InvalidInput: a law's text that is not canonical, a seed, tile rows or threads out of range, or more singular
            values than the law's Jacobian has.
    """

    generator_digest: str
    law: str
    condition: str = ""
    manifold: Manifold = Manifold.OUTPUT
    precision: Precision = Precision.FLOAT32
    tile_rows: int = 16
    threads: int = 1
    seed: int = 0
    device: str = "cpu"
    origin: str = ""
    generator_name: str = ""
    singular_values: int = 0

    def __post_init__(self) -> None:
        """Refuses what no bank can be."""
        check_seed(self.seed)
        canonical = from_text(self.law).to_text()
        if canonical != self.law:
            raise InvalidInput(f"the law is {self.law!r}: write it in its canonical form, {canonical!r}", field="law")
        for name in ("tile_rows", "threads"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}: write 1 or more", field=name)
        most = self.base_law.columns
        if not bool(self.origin) <= self.singular_values <= most * bool(self.origin):
            raise InvalidInput(
                f"{self.singular_values} singular values a row: under {self.law} a Jacobian has 1 to {most}, and only "
                "an imported bank states how many it holds",
                field="singular_values",
            )

    @property
    def id(self) -> str:
        """First 16 hexadecimal digits of the sha256 of `content`, written as JSON with sorted keys."""
        text = json.dumps(self.content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def imported(self) -> bool:
        """Whether its rows come out of a file."""
        return bool(self.origin)

    @property
    def columns(self) -> int:
        """Columns of log-volumes: log v_1 to log v_columns."""
        return self.singular_values or self.base_law.columns

    def content(self) -> dict[str, Any]:
        """All attributes as JSON keeps them; those of imported banks alone are left out where they are empty."""
        return {name: value for name, value in asdict(self).items() if value or name not in _OF_IMPORTS}

    def is_of(self, generator_digest: str, reference: str = "") -> bool:
        """Whether its rows are of a generator: of its digest, and where the bank knows none, of its name.

        Arguments:
            generator_digest: sha256 of the generator's graph and weights, hexadecimal.
            reference: the same generator as `name@version`; empty where it has no name.

        Returns:
            True if they are, as far as the bank knows.

        Raises:
            Nothing.

        Accuracy:
            Exact by digest. By name it is the importer's word.
        """
        if self.generator_digest or not self.generator_name:
            return self.generator_digest == generator_digest
        return self.generator_name in (reference, reference.partition("@")[0])

    @property
    def condition_held(self) -> Condition | None:
        """The condition of its rows; None for a generator that takes none."""
        return Condition.from_text(self.condition) if self.condition else None

    @property
    def base_law(self) -> Law:
        """The law of the bank's latents."""
        return from_text(self.law)
