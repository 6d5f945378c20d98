"""Functions of an ONNX file written out: a graph as a flat list of nodes of the standard operator set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto

from magnet_service.errors import DamagedData, RefusedArchive, UnsupportedOperation
from magnet_service.generator.onnx_file import standard_opset
from magnet_service.generator.onnx_nodes import OnnxNode

__all__ = ["flat_nodes", "needed_nodes"]

_MOST_NODES = 20_000
_DEEPEST = 16
_STANDARD = ("", "ai.onnx")

Attributes = Mapping[str, AttributeProto]


def flat_nodes(model: ModelProto) -> list[OnnxNode]:
    """Return the nodes of a file in its order, calls of its own functions replaced by their bodies.

    Arguments:
        model: the file.

    Returns:
        Nodes of the standard operator set only.

    Raises:
        UnsupportedOperation: a node of another operator set that no function of the file defines.
        RefusedArchive: more nodes than are read, or functions that call themselves.
        DamagedData: a function and its call do not fit.

    Accuracy: exact.
    """
    functions = {(item.domain, item.name): item for item in model.functions}
    writer = _Writer(functions)
    versions = {item.domain: item.version for item in model.opset_import}
    writer.write(model.graph.node, versions, {}, {}, "", 0)
    return writer.nodes


def needed_nodes(nodes: list[OnnxNode], output: str) -> list[OnnxNode]:
    """Return the nodes that a value needs, in their order.

    Arguments:
        nodes: of the whole graph.
        output: the name of the value.

    Returns:
        Those of them on a path to it.

    Raises:
        nothing.

    Accuracy: exact.
    """
    wanted = {output}
    kept: list[OnnxNode] = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(name for name in node.outputs if name):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


class _Writer:
    """The nodes written so far, and how many scopes of functions have been opened."""

    def __init__(self, functions: Mapping[tuple[str, str], FunctionProto]) -> None:
        self.functions = functions
        self.nodes: list[OnnxNode] = []
        self.scopes = 0
        self.seen = 0

    def write(
        self,
        nodes: Iterable[NodeProto],
        versions: dict[str, int],
        names: dict[str, str],
        references: Attributes,
        caller: str,
        depth: int,
    ) -> None:
        """Write nodes with names and attributes of the function's call in place of its own."""
        listed = list(nodes)
        for index, node in enumerate(listed):
            self.seen += 1
            if self.seen > _MOST_NODES:
                raise RefusedArchive(f"{caller}the graph has more than {_MOST_NODES} nodes; export a part of it.")
            function = self.functions.get((node.domain, node.op_type))
            place = _place(node, index, len(listed), versions, caller)
            inputs = tuple(self._named(name, names) for name in node.input)
            outputs = tuple(self._named(name, names) for name in node.output)
            attributes = _attributes(node, references, place)
            if function is not None:
                self._call(function, inputs, outputs, attributes, place, depth)
            elif node.domain in _STANDARD:
                opset = standard_opset(versions, place)
                self.nodes.append(OnnxNode(node.op_type, opset, inputs, outputs, attributes, place))
            else:
                raise UnsupportedOperation(
                    f"{place}: the operator set {node.domain[:80]!r} is not read, only the standard one of ONNX. "
                    f"Export the generator again without fused or custom operators.",
                    metadata={"operation": f"{node.domain[:80]}.{node.op_type[:80]}", "place": place},
                )

    def _call(
        self,
        function: FunctionProto,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        attributes: Attributes,
        place: str,
        depth: int,
    ) -> None:
        if depth >= _DEEPEST:
            raise RefusedArchive(f"{place}: functions call each other more than {_DEEPEST} deep; export it again.")
        if len(inputs) > len(function.input) or len(outputs) > len(function.output):
            raise DamagedData(f"{place}: the call does not fit its function {function.name[:80]!r}; export it again.")
        self.scopes += 1
        prefix = f"{function.name[:80]} {self.scopes}: "
        inner = dict.fromkeys(function.input, "")
        inner.update(zip(function.input, inputs, strict=False))
        taken = dict(zip(function.output, outputs, strict=False))
        for node in function.node:
            for name in (*node.input, *node.output):
                if name and name not in inner:
                    inner[name] = taken.get(name) or prefix + name
        given: dict[str, AttributeProto] = {item.name: item for item in function.attribute_proto}
        given.update(attributes)
        versions = {item.domain: item.version for item in function.opset_import}
        self.write(function.node, versions, inner, given, f"{place}, in ", depth + 1)
        for name, outer in taken.items():
            if outer and inner.get(name) not in (outer, None) and name in function.input:
                self.nodes.append(OnnxNode("Identity", 14, (inner[name],), (outer,), {}, place))

    @staticmethod
    def _named(name: str, names: dict[str, str]) -> str:
        return names.get(name, name)


def _place(node: NodeProto, index: int, total: int, versions: dict[str, int], caller: str) -> str:
    label = node.name or next((name for name in node.output if name), "")
    version = versions.get(node.domain, versions.get("ai.onnx" if not node.domain else "", 0))
    return f"{caller}node {index + 1} of {total} ({node.op_type[:80]} {label[:120]!r}, opset {version})"


def _attributes(node: NodeProto, references: Attributes, place: str) -> dict[str, AttributeProto]:
    found: dict[str, AttributeProto] = {}
    for attribute in node.attribute:
        if attribute.name in found:
            raise DamagedData(f"{place}: attribute {attribute.name[:80]!r} is written twice; export it again.")
        if not attribute.ref_attr_name:
            found[attribute.name] = attribute
        elif attribute.ref_attr_name in references:
            found[attribute.name] = references[attribute.ref_attr_name]
    return found
