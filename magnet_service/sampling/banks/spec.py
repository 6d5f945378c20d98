"""What a bank is: everything that its rows are a function of, and the digest of that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold, Precision
from magnet_service.sampling.counter import check_seed
from magnet_service.sampling.law import Law
from magnet_service.sampling.law_text import from_text

__all__ = ["BankSpec"]


@dataclass(frozen=True, kw_only=True)
class BankSpec:
    """The recipe of a bank: row i of the bank is a function of it and of i.

    Attributes:
        generator_digest: sha256 of the generator's graph and weights, hexadecimal.
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

    Raises:
        InvalidInput: a law's text that is not canonical, a seed, tile rows or threads out of range.
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

    def __post_init__(self) -> None:
        """Refuses what no bank can be."""
        check_seed(self.seed)
        canonical = from_text(self.law).to_text()
        if canonical != self.law:
            raise InvalidInput(f"the law is {self.law!r}: write it in its canonical form, {canonical!r}", field="law")
        for name in ("tile_rows", "threads"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}: write 1 or more", field=name)

    @property
    def id(self) -> str:
        """First 16 hexadecimal digits of the sha256 of all attributes, written as JSON with sorted keys."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def base_law(self) -> Law:
        """The law of the bank's latents."""
        return from_text(self.law)
