"""The graph of a `.pt2` archive: `models/model.json` read call by call into a `Program`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from magnet_service.errors import RefusedArchive, UnsupportedOperation
from magnet_service.generator.archive_arguments import Scope, read_argument
from magnet_service.generator.archive_batch import generalise, read_size
from magnet_service.generator.archive_inputs import read_inputs
from magnet_service.generator.archive_json import Field
from magnet_service.generator.program import Argument, Call, Constant, Program, Value

__all__ = ["read_program"]

_MAJOR = 8
_ATEN = re.compile(r"torch\.ops\.(aten\.[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z0-9_]+)")
# They state facts about dtype, device and the range of an index, which are checked here, and compute nothing.
_ASSERTIONS = frozenset(
    {"aten._assert_async.default", "aten._assert_async.msg", "aten._assert_tensor_metadata.default"}
)


def read_program(document: Field, weights: Mapping[str, Tensor], constants: Mapping[str, Tensor]) -> Program:
    """Turn the JSON of an exported program into a straight line of calls.

    Arguments:
        document: the whole of `models/model.json`.
        weights: parameters and persistent buffers by their fully qualified name.
        constants: buffers that are not persistent and lifted constants by name.

    Returns:
        The program; its constants are those that some call reads.

    Raises:
        RefusedArchive: another major version of the schema, a size expression that is not the batch, a custom object,
            more than one latent, condition or output, or a module exported in training mode.
        UnsupportedOperation: a call outside ATen.
        DamagedData: a key, a type or a name that does not fit.

    Accuracy: exact.
    """
    major = document.get("schema_version").get("major").integer()
    if major != _MAJOR:
        raise RefusedArchive(
            f"{document.place}: schema version {major} is not read, only {_MAJOR} is (torch 2.9 to 2.13); export again "
            f"with such a torch.",
            reason="SCHEMA_VERSION",
        )
    module = document.get("graph_module")
    graph = module.get("graph")
    metas = graph.get("tensor_values").entries()
    inputs = read_inputs(module.get("signature"), metas, weights, constants)
    batch, condition = inputs.batch, inputs.condition
    rows = (inputs.latent,) if condition is None else (inputs.latent, condition.name)
    # Where the batch is a symbol the calls say all sizes themselves; recorded ones may be products with it.
    recorded = metas if isinstance(batch, int) else {}
    shapes = {
        name: tuple(read_size(size, batch) for size in meta.get("sizes").items()) for name, meta in recorded.items()
    }
    symbols = {name: read_size(size, batch) for name, size in graph.get("sym_int_values").entries().items()}
    tensors: dict[str, Value | Constant] = {name: Constant(name) for name in inputs.tensors}
    scope = Scope({**{name: Value(name) for name in rows}, **tensors}, symbols, set())
    calls = _read_calls(graph.get("nodes").items(), scope)
    fixed = batch if isinstance(batch, int) else None
    if fixed is not None:
        calls = generalise(calls, rows, shapes, fixed)
    output = _read_output(module.get("signature"), scope)
    read = {name for call in calls for name in _constants_of(tuple(call.arguments.values()))}
    return Program(
        latent=inputs.latent,
        latent_shape=inputs.latent_shape,
        output=output,
        calls=calls,
        constants={name: tensor for name, tensor in inputs.tensors.items() if name in read},
        batch=fixed,
        condition=condition,
    )


def _read_calls(nodes: list[Field], scope: Scope) -> tuple[Call, ...]:
    calls: list[Call] = []
    for index, node in enumerate(nodes):
        given = node.find("name")
        place = f"call {index + 1} of {len(nodes)}" + (f" ({given.text()})" if given is not None else "")
        text = node.get("target").text()
        match = _ATEN.fullmatch(text)
        if match is None:
            raise UnsupportedOperation(
                f"{place} is {text[:120]!r}, which is no ATen operation. Write the generator with torch's own layers "
                f"and export it again.",
                metadata={"target": text[:120], "place": place},
            )
        target = match.group(1)
        arguments = {
            entry.get("name").text(): read_argument(entry.get("arg"), scope, f"{place}, {target}")
            for entry in node.get("inputs").items()
        }
        outputs = _read_outputs(node, scope, f"{place}, {target}")
        if target == "aten.sym_size.int" or target in _ASSERTIONS:
            continue
        if not outputs:
            raise UnsupportedOperation(
                f"{place}: {target} returns no tensor.", metadata={"target": target, "place": place}
            )
        calls.append(Call(target, arguments, outputs, place))
    return tuple(calls)


def _read_outputs(node: Field, scope: Scope, place: str) -> tuple[str, ...]:
    names: list[str] = []
    for output in node.get("outputs").items():
        tag, value = output.tagged()
        if tag == "as_tensor":
            names.append(value.get("name").text())
        elif tag == "as_tensors":
            names += [item.get("name").text() for item in value.items()]
        elif tag == "as_sym_int" and node.get("target").text() == "torch.ops.aten.sym_size.int":
            scope.define_symbol(value.get("as_name"))
        elif tag != "as_none":
            raise UnsupportedOperation(
                f"{place} returns {tag!r} where only tensors are read.", metadata={"place": place}
            )
    for name in names:
        scope.define(name, output)
    return tuple(names)


def _read_output(signature: Field, scope: Scope) -> str:
    specs = signature.get("output_specs").items()
    tags = [spec.tagged() for spec in specs]
    if any(kind.endswith("_mutation") for kind, _ in tags):
        raise RefusedArchive(
            f"{signature.place}: the generator changes its own buffers, as batch norm does in training mode. Call "
            f".eval() and export again.",
            reason="TRAINING_MODE",
        )
    if len(tags) != 1 or tags[0][0] != "user_output":
        raise RefusedArchive(f"{signature.place}: export a generator with one tensor output, not {len(tags)}.")
    tag, value = tags[0][1].get("arg").tagged()
    if tag != "as_tensor":
        raise RefusedArchive(f"{value.place}: export a generator whose output is one tensor, not {tag!r}.")
    name = value.get("name").text()
    if not isinstance(scope.tensor(name, value), Value):
        raise RefusedArchive(f"{value.place}: the output {name!r} does not depend on the latents.")
    return name


def _constants_of(arguments: tuple[Argument, ...]) -> list[str]:
    names: list[str] = []
    for argument in arguments:
        if isinstance(argument, Constant):
            names.append(argument.name)
        elif isinstance(argument, tuple):
            names += _constants_of(argument)
    return names
