"""A parsed program: what an exported file says, call by call, before any of it is given a meaning.

Both the engine (through the table of operations) and the independent reference interpreter start from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Argument", "BatchSize", "Call", "ConditionInput", "Constant", "Program", "Value"]


@dataclass(frozen=True)
class Value:
    """The latent input, the condition, or a tensor that an earlier call defines."""

    name: str


@dataclass(frozen=True)
class Constant:
    """A weight, buffer or lifted constant tensor, by its key in `Program.constants`."""

    name: str


@dataclass(frozen=True)
class BatchSize:
    """The number of rows, where the file writes its batch symbol or its fixed batch."""


Argument = Value | Constant | BatchSize | int | float | bool | str | None | tuple["Argument", ...]


@dataclass(frozen=True)
class Call:
    """One call of one operator.

    Attributes:
        target: operator with overload, as `aten.linear.default`.
        arguments: by the operator's schema names; those left at their defaults may be absent.
        outputs: names of the values it defines; the first is the one used (batch norm defines three).
        place: where it stands, for messages: `call 7 of 12 (relu_2)`.
    """

    target: str
    arguments: Mapping[str, Argument]
    outputs: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class ConditionInput:
    """The second input of a conditional generator, which a request holds fixed for all rows.

    Attributes:
        name: of the input value.
        shape: of one row's condition, without the batch: `(C,)` for one-hot and vector conditions, `()` or `(1,)` for
            an index.
        dtype: torch.int64 for an index, torch.float32 for numbers, whichever widths the file writes them in.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Program:
    """A straight line of calls from one latent input, and perhaps a condition, to one output.

    Attributes:
        latent: name of the input value.
        latent_shape: its shape without the batch, `(d,)` or as `(d, 1, 1)`.
        output: name of the value returned.
        calls: in order of execution.
        constants: tensors by name, in the dtype of the file.
        batch: None where the file's batch is dynamic, else the fixed number of rows it was exported with.
        condition: the second input; None where there is none.
    """

    latent: str
    latent_shape: tuple[int, ...]
    output: str
    calls: tuple[Call, ...]
    constants: Mapping[str, Tensor]
    batch: int | None
    condition: ConditionInput | None = None
