"""The inputs of an exported program: which is the latent, which the condition, which a stored tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from magnet_service.errors import RefusedArchive
from magnet_service.generator.archive_batch import read_symbol
from magnet_service.generator.archive_json import Field
from magnet_service.generator.program import ConditionInput

__all__ = ["Inputs", "read_inputs"]

_FLOATING = (6, 7, 8, 13)
_INTEGER = (4, 5)
_STORED = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}


@dataclass(frozen=True)
class Inputs:
    """What an exported program takes.

    Attributes:
        latent: name of the latent input.
        latent_shape: its shape without the batch.
        batch: the symbol of its first dimension, or its number where it is fixed.
        condition: the other input, if there is one.
        tensors: stored tensors by the name of the input that holds them.
    """

    latent: str
    latent_shape: tuple[int, ...]
    batch: str | int
    condition: ConditionInput | None
    tensors: Mapping[str, Tensor]


def read_inputs(
    signature: Field, metas: Mapping[str, Field], weights: Mapping[str, Tensor], constants: Mapping[str, Tensor]
) -> Inputs:
    """Read the inputs of a program.

    Of two inputs without a stored tensor the latent is the first, and the condition the second; where the first holds
    integers they are the other way round.

    Arguments:
        signature: `graph_signature` of the file.
        metas: `tensor_values` of its graph by name.
        weights: parameters and persistent buffers by their fully qualified name.
        constants: buffers that are not persistent and lifted constants by name.

    Returns:
        The inputs.

    Raises:
        RefusedArchive: no latent, more than two inputs, or shapes and types that are neither a latent's nor a
            condition's.
        DamagedData: a name that nothing stores or describes.

    Accuracy: exact.
    """
    given: list[str] = []
    tensors: dict[str, Tensor] = {}
    for spec in signature.get("input_specs").items():
        kind, body = spec.tagged()
        if kind in _STORED:
            full_name = body.get(_STORED[kind]).text()
            found = weights.get(full_name, constants.get(full_name))
            if found is None:
                raise body.damaged(f"the name of a stored tensor, not {full_name!r}")
            tensors[body.get("arg").get("name").text()] = found
        elif kind == "user_input":
            tag, argument = body.get("arg").tagged()
            if tag != "as_tensor":
                raise _one_latent(spec.place)
            given.append(argument.get("name").text())
        elif kind != "constant_input":  # a Python constant such as `labels=None`; its uses hold it themselves
            raise RefusedArchive(f"{spec.place}: an input of kind {kind!r} is not read; export a plain nn.Module.")
    if len(given) not in (1, 2) or len(set(given)) != len(given) or any(name in tensors for name in given):
        raise _one_latent(signature.place)
    if given[0] not in metas:
        raise signature.damaged(f"a graph that describes its input {given[0]!r} under tensor_values")
    if given[-1] not in metas:
        raise _one_latent(signature.place)
    if len(given) == 2 and metas[given[0]].get("dtype").integer() in _INTEGER:
        given.reverse()
    batch, shape = _read_latent(metas[given[0]])
    condition = _read_condition(given[1], metas[given[1]], batch) if len(given) == 2 else None
    return Inputs(given[0], shape, batch, condition, tensors)


def _read_latent(meta: Field) -> tuple[str | int, tuple[int, ...]]:
    sizes = meta.get("sizes").items()
    if len(sizes) < 2 or meta.get("dtype").integer() not in _FLOATING:
        raise _one_latent(meta.place)
    batch = read_symbol(sizes[0])
    shape = tuple(size for size in map(read_symbol, sizes[1:]) if isinstance(size, int) and size > 0)
    if len(shape) != len(sizes) - 1 or (isinstance(batch, int) and batch < 1):
        raise _one_latent(meta.place)
    return batch, shape


def _read_condition(name: str, meta: Field, batch: str | int) -> ConditionInput:
    code = meta.get("dtype").integer()
    sizes = [read_symbol(size) for size in meta.get("sizes").items()]
    shape = tuple(size for size in sizes[1:] if isinstance(size, int) and size > 0)
    if not sizes or sizes[0] != batch or len(shape) != len(sizes) - 1 or code not in (*_FLOATING, *_INTEGER):
        raise RefusedArchive(
            f"{meta.place}: the condition {name!r} must have a row for every latent: export it as int64 [batch] (an "
            f"index) or float32 [batch, width] (one-hot or a vector), with the first dimension that of the latents.",
            reason="CONDITION_INPUT",
            metadata={"input": name},
        )
    integer = code in _INTEGER
    if integer and shape not in ((), (1,)):
        raise RefusedArchive(
            f"{meta.place}: the condition {name!r} holds {list(shape)} integers a row, and an index is one: export it "
            f"with shape [batch].",
            reason="CONDITION_INPUT",
            metadata={"input": name},
        )
    return ConditionInput(name, shape, torch.int64 if integer else torch.float32)


def _one_latent(place: str) -> RefusedArchive:
    return RefusedArchive(
        f"{place}: export with one latent input, a floating-point tensor of shape [batch, d] (or [batch, d, 1, 1]), "
        f"and at most one condition after it (one-hot, index or vector); wrap any other labels and noise into the "
        f"module.",
        reason="ONE_LATENT_INPUT",
    )
