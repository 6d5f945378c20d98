"""The request that a server made of a draw: everything decided filled in, to be kept and sent again."""

from __future__ import annotations

import dataclasses
import json

from magnet_client.errors import InvalidInput
from magnet_client.words import BaseWord, ImagesWord, ManifoldWord, MethodWord, PrecisionWord, PresetWord

__all__ = ["ClassBank", "Resolved"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassBank:
    """The bank that the rows of one class come from."""

    index: int
    """Of the class."""
    bank: str
    revision: int
    """First rows of it that are used."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resolved:
    """A draw that names everything its rows depend on; sending it again gives the same bytes.

    Names are those of `Client.sample`. Exactly one of preset, rho and det_rho is set.
    Equal bytes are promised for one engine version, torch build, instruction set, device kind and thread count, all in
    `Draw.stamp`; elsewhere bank rows and latents are equal, and volumes within rounding.

    Example:
        >>> draw = Resolved(generator="fashion@1", count=2, seed=7, rho=1.0)
        >>> Resolved.from_json(draw.to_json()) == draw
        True
    """

    generator: str
    """`name@version`; empty for the rows of a bank alone."""
    count: int
    """Rows; 0 for an endless stream."""
    offset: int = 0
    """Rows skipped before the first."""
    seed: int | None = None
    preset: PresetWord | None = None
    rho: float | None = None
    """Exponent of v_k."""
    det_rho: float | None = None
    """Exponent of det(A^T A)."""
    base: BaseWord | None = None
    ball_radius: float | None = None
    box: tuple[float, float] | None = None
    top_k: int = 0
    manifold: ManifoldWord = "output"
    bank: str | None = None
    bank_revision: int | None = None
    replacement: bool = True
    truncation_psi: float | None = None
    truncation_norm: float | None = None
    precision: PrecisionWord = "float32"
    condition: str | int | tuple[float, ...] | None = None
    """Label, index or vector; None for a generator without, and for all classes in equal shares."""
    class_banks: tuple[ClassBank, ...] = ()
    """Of a draw over all classes."""
    min_ess: float = 0.0
    method: MethodWord = "resample"
    """How rows come about where rho is not 0."""
    evaluations: float = 0.0
    """What a screened draw may compute; 0 for the server's default, and where the two below are set."""
    exact: int = 0
    """Of a screened draw, exact evaluations as settled."""
    forwards: int = 0
    """Of a screened draw, forward passes as settled."""
    surrogate: str | None = None
    """Digest of the surrogate of a screened draw."""
    images: ImagesWord | None = "uint8"
    latents: bool = True
    log_volumes: bool = True
    weights: bool = True

    def to_json(self) -> str:
        """Return the request as one line of JSON.

        Returns:
            An object with every field of this class.

        Raises:
            Nothing.

        Accuracy: exact; floats are written so that they read back equal.
        """
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Resolved:
        """Read what `to_json` wrote.

        Arguments:
            text: a JSON object of fields of this class.

        Returns:
            The request.

        Raises:
            InvalidInput: if it is no such object; the message names the field that does not belong.

        Accuracy: exact.
        """
        try:
            read = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"a resolved request is a JSON object: {error}", reason="INVALID_INPUT") from error
        if not isinstance(read, dict) or not {"generator", "count"} <= read.keys():
            raise InvalidInput(
                "a resolved request is a JSON object with at least generator and count", reason="INVALID_INPUT"
            )
        known = {field.name for field in dataclasses.fields(cls)}
        for name in read.keys() - known:
            raise InvalidInput(f"a resolved request has no field {name!r}", field=name, reason="INVALID_INPUT")
        if read.get("box") is not None:
            read["box"] = tuple(read["box"])
        if isinstance(read.get("condition"), list):
            read["condition"] = tuple(read["condition"])
        read["class_banks"] = tuple(ClassBank(**bank) for bank in read.get("class_banks") or ())
        return cls(**read)
