"""Verification of a conditional generator: the same comparison for several of its conditions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator.condition import ConditionCard
from magnet_service.generator.conditional import bound
from magnet_service.generator.generator import Generator
from magnet_service.generator.onnx_runtime import Reference
from magnet_service.generator.probe import Probe
from magnet_service.generator.program import Program
from magnet_service.generator.verify import Verification, verify

__all__ = ["check_condition", "implied_condition", "probe_conditions", "verify_all"]

_VERIFIED = 3
_PROBED = 8
_SEED = 1406


def check_condition(card: ConditionCard | None, generator: Generator) -> None:
    """Compare the conditions that a card describes with the input of the network.

    Arguments:
        card: its `[condition]`.
        generator: the network, its condition open.

    Returns:
        Nothing.

    Raises:
        InvalidInput: one of the two has a condition and the other none, or kind, classes or width do not fit.

    Accuracy: exact.
    """
    taken = generator.condition_input
    if taken is None:
        if card is not None:
            raise InvalidInput("The card has a [condition], its file takes none: leave it out.", field="condition")
        return
    index, width = taken.dtype == torch.int64, math.prod(taken.shape)
    wanted = 'kind = "index" and classes = N' if index else f'kind = "one_hot" and classes = {width}'
    if card is None:
        raise InvalidInput(
            f"The file takes two inputs, a latent of {generator.latent_dim} numbers and {taken.name!r} of shape "
            f"{list(taken.shape)}, and the card has no [condition]. If {taken.name!r} is one, say so: {wanted} "
            f"(--condition). If it is another latent or noise, export the generator with one latent input.",
            field="condition",
        )
    if index != (card.kind == "index"):
        raise InvalidInput(
            f"condition.kind is {card.kind!r}, and the file takes {'an index' if index else 'numbers'}: write "
            f"{wanted}.",
            field="condition.kind",
        )
    if not index and card.width != width:
        field = "condition.width" if card.kind == "vector" else "condition.classes"
        raise InvalidInput(f"{field} is {card.width}, and the file takes {width} numbers: write that.", field=field)
    if index:
        try:
            generator.conditioned(card.width - 1)
        except InvalidInput as problem:
            raise InvalidInput(
                f"condition.classes is {card.width}, and the file does not take the last of them: {problem.message}",
                field="condition.classes",
            ) from problem


def implied_condition(generator: Generator, labels: Sequence[str] = ()) -> ConditionCard | None:
    """What labels say about the second input of a file: as many classes as there are, one-hot or by index.

    Without labels nothing is taken for granted: a second input may as well be another latent, or noise.

    Arguments:
        generator: the network, its condition open.
        labels: of its training set.

    Returns:
        The card; None for an unconditional generator, without labels, and where they are not as many as the numbers
        that the file takes.

    Raises:
        Nothing.

    Accuracy: a guess; `generator.toml` states it and a user may correct it there.
    """
    taken = generator.condition_input
    if taken is None or not labels:
        return None
    if taken.dtype == torch.int64:
        return ConditionCard("index", len(labels))
    return ConditionCard("one_hot", len(labels)) if len(labels) == math.prod(taken.shape) else None


def probe_conditions(generator: Generator, card: ConditionCard | None, rows: int) -> Tensor | None:
    """Conditions for the rows of a probe: up to 8 of them, in turn.

    Arguments:
        generator: the network, its condition open.
        card: the conditions that it takes.
        rows: how many.

    Returns:
        [rows, *shape of the condition], or None for an unconditional generator.

    Raises:
        InvalidInput: a condition that the generator does not take.

    Accuracy: exact.
    """
    if card is None:
        return None
    if card.classes:
        chosen: Sequence[int | Sequence[float]] = _spread(card.classes, min(_PROBED, card.classes))
    else:
        source = torch.Generator().manual_seed(_SEED)
        chosen = torch.randn(_PROBED, card.width, generator=source).tolist()
    tensors = [generator.conditioned(value).condition for value in chosen]
    stacked = torch.stack([tensor for tensor in tensors if tensor is not None])
    return stacked[torch.arange(rows) % len(stacked)]


def verify_all(
    generator: Generator,
    program: Program,
    probe: Probe | None,
    condition: ConditionCard | None = None,
    *,
    runtime: Reference | None = None,
    thorough: bool = True,
) -> Verification:
    """Verify a generator; a conditional one for up to three of its conditions, of which the worst figures are kept.

    Arguments:
        generator: the engine's generator, its condition open.
        program: the parsed file that it was made from.
        probe: latents and expected outputs, if there are any.
        condition: the conditions that it takes.
        runtime: onnxruntime on the file, as `runtime_reference` gives it.
        thorough: as `verify`.

    Returns:
        The largest errors, and all rows compared.

    Raises:
        The same as `verify`.

    Accuracy: as `verify`; conditions that are not among those compared are not looked at.

    Cost: that of `verify` for each condition.
    """
    if generator.condition_input is None:
        return verify(generator, program, probe, runtime=runtime, thorough=thorough)
    rows = None if probe is None else probe.conditions
    if rows is None:
        rows = probe_conditions(generator, condition, _PROBED)
    if rows is None:
        raise InvalidInput("The card of a conditional generator has no [condition].", field="condition")
    distinct = torch.unique(rows, dim=0)
    found = []
    for place in _spread(len(distinct), min(_VERIFIED, len(distinct))):
        value = distinct[place]
        one = None if runtime is None else partial(runtime, condition=value.unsqueeze(0))
        chosen = generator.conditioned(value)
        found.append(verify(chosen, bound(program, value), _restricted(probe, value), runtime=one, thorough=thorough))
    return _worst(found)


def _restricted(probe: Probe | None, value: Tensor) -> Probe | None:
    if probe is None or probe.conditions is None:
        return None
    rows = (probe.conditions.reshape(len(probe.conditions), -1) == value.reshape(1, -1)).all(dim=1)
    return replace(probe, latents=probe.latents[rows], outputs=probe.outputs[rows], conditions=None)


def _worst(found: Sequence[Verification]) -> Verification:
    return replace(
        found[0],
        forward_error=max(item.forward_error for item in found),
        jacobian_error=max(item.jacobian_error for item in found),
        rows=sum(item.rows for item in found),
        bits_depend_on_position=_any([item.bits_depend_on_position for item in found]),
        bits_depend_on_neighbours=_any([item.bits_depend_on_neighbours for item in found]),
    )


def _any(flags: Sequence[bool | None]) -> bool | None:
    known = [flag for flag in flags if flag is not None]
    return any(known) if known else None


def _spread(count: int, wanted: int) -> list[int]:
    """`wanted` different places among `count`, the first and the last of them included."""
    return sorted({round(step * (count - 1) / max(wanted - 1, 1)) for step in range(wanted)})
