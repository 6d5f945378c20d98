"""One call of one operator, as a program and as torch itself carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from magnet_service.generator.program import Argument, BatchSize, Call, Constant, Program, Value

__all__ = ["Example", "draw", "one", "oracle", "program_of"]

Z = Value("z")


@dataclass(frozen=True)
class Example:
    """Calls on one latent value; the last one is of the operator in question.

    Attributes:
        target: the operator in question, without `aten.`.
        shape: of one latent.
        calls: (target without `aten.`, arguments, outputs).
        constants: by name.
        positive: whether the latents must be positive.
        output: the value to look at.
    """

    target: str
    shape: tuple[int, ...]
    calls: tuple[tuple[str, Mapping[str, Argument], tuple[str, ...]], ...]
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    positive: bool = False
    output: str = "out"

    def latents(self, rows: int, seed: int = 3) -> Tensor:
        latents = draw(rows, *self.shape, seed=seed)
        return latents.abs() + 0.1 if self.positive else latents


def draw(*shape: int, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed + 1000 * len(shape) + sum(shape))
    return torch.randn(shape, generator=source, dtype=torch.float64)


def one(
    target: str,
    shape: tuple[int, ...] = (6,),
    constants: Mapping[str, Tensor] | None = None,
    outputs: tuple[str, ...] = ("out",),
    /,
    *,
    positive: bool = False,
    first: str = "self",
    **arguments: Argument,
) -> Example:
    """A single call that reads the latent as its first argument."""
    named = {
        name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in (constants or {}).items()
    }
    given: dict[str, Argument] = {first: Z} if first else {}
    return Example(target, shape, ((target, {**given, **arguments}, outputs),), named, positive)


def program_of(example: Example, before: float | None = None) -> Program:
    """The example as a program, perhaps behind a product with a number."""
    calls = [
        Call(f"aten.{target}", arguments, outputs, f"call {index} of {len(example.calls)} ({outputs[0]})")
        for index, (target, arguments, outputs) in enumerate(example.calls, 1)
    ]
    latent = "z"
    if before is not None:
        latent = "start"
        calls.insert(0, Call("aten.mul.Tensor", {"self": Value("start"), "other": before}, ("z",), "call 0"))
    return Program(latent, example.shape, example.output, tuple(calls), example.constants, None)


def oracle(example: Example, latents: Tensor) -> Tensor:
    """What torch's own operators say, called by name."""
    values: dict[str, Tensor] = {"z": latents.clone(), **example.constants}

    def resolve(argument: Argument) -> object:
        if isinstance(argument, Value | Constant):
            return values[argument.name]
        if isinstance(argument, BatchSize):
            return latents.shape[0]
        if argument == "float64":
            return torch.float64
        return [resolve(item) for item in argument] if isinstance(argument, tuple) else argument

    for target, arguments, outputs in example.calls:
        name, overload = target.split(".")
        function = getattr(getattr(torch.ops.aten, name), overload)
        keywords = {key: resolve(value) for key, value in arguments.items()}
        if name in ("full", "zeros", "ones"):
            keywords["dtype"] = torch.float64
        # autograd must see through a detached value, which is the value itself
        result = keywords["self"] if name in ("detach", "detach_") else function(**keywords)
        results = result if isinstance(result, tuple | list) else (result,)
        values.update(zip(outputs, results, strict=True))
    return values[example.output]
