"""What a network is: files in and out, the table of operations, the generator, activation patterns."""

from __future__ import annotations

from magnet_service.generator.archive import read_archive
from magnet_service.generator.card import GeneratorCard
from magnet_service.generator.card_file import read_card
from magnet_service.generator.condition import Condition, ConditionCard
from magnet_service.generator.export import export_module, export_program, write_archive
from magnet_service.generator.generator import Generator
from magnet_service.generator.graph import Graph
from magnet_service.generator.interpreter import interpret
from magnet_service.generator.lowering import lower
from magnet_service.generator.manifold import Manifold
from magnet_service.generator.onnx_reader import read_onnx
from magnet_service.generator.operations import TABLE, Kind, Node, Operation, lookup
from magnet_service.generator.pattern import activation_pattern
from magnet_service.generator.precision import Precision
from magnet_service.generator.probe import Probe, read_probe
from magnet_service.generator.program import ConditionInput, Program
from magnet_service.generator.repository import add_generator, generator_names, load_version, versions
from magnet_service.generator.summary import NodeSummary
from magnet_service.generator.verify import Verification, verify

__all__ = [
    "TABLE",
    "Condition",
    "ConditionCard",
    "ConditionInput",
    "Generator",
    "GeneratorCard",
    "Graph",
    "Kind",
    "Manifold",
    "Node",
    "NodeSummary",
    "Operation",
    "Precision",
    "Probe",
    "Program",
    "Verification",
    "activation_pattern",
    "add_generator",
    "export_module",
    "export_program",
    "generator_names",
    "interpret",
    "load_version",
    "lookup",
    "lower",
    "read_archive",
    "read_card",
    "read_onnx",
    "read_probe",
    "verify",
    "versions",
    "write_archive",
]
