"""`generator.toml`: the card of a generator as text, read with `tomllib` and written by a few lines of our own."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from magnet_service.errors import InvalidInput, UnknownResource
from magnet_service.generator.card import GeneratorCard
from magnet_service.generator.condition import KINDS, ConditionCard

__all__ = ["CARD_FILE", "read_card", "render_card"]

CARD_FILE = "generator.toml"


def read_card(folder: Path) -> GeneratorCard:
    """Read and check `generator.toml` of a generator's folder.

    Arguments:
        folder: `generators/NAME`.

    Returns:
        The card; its name is that of the folder.

    Raises:
        UnknownResource: there is no such file.
        InvalidInput: not TOML, an unknown or missing key, a value out of bounds; `field` names the key.

    Accuracy: exact.
    """
    path = folder / CARD_FILE
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnknownResource(f"There is no generator in {folder}: {CARD_FILE} is missing.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path} is not TOML: {error}.", field=CARD_FILE) from error
    try:
        card = GeneratorCard(**_arguments(document))
        advice = f"{card.name!r} stands in a folder called {folder.name!r}; make them equal"
        _require(card.name == folder.name, "name", advice)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.message}", field=error.field) from error
    return card


def render_card(card: GeneratorCard) -> str:
    """Return the text of `generator.toml` for a card; `read_card` reads it back to an equal card.

    Arguments:
        card: any card.

    Returns:
        TOML.

    Raises:
        nothing.

    Accuracy: exact: floats are written with all their digits.
    """
    lines = [
        f"name = {_quoted(card.name)}",
        f"description = {_quoted(card.description)}",
        f"latent_dim = {card.latent_dim}",
        f"prior = {_quoted(card.prior)}",
        f"licence = {_quoted(card.licence)}",
        f"source = {_quoted(card.source)}",
        *(f"{key} = {_quoted(text)}" for key in ("latent_node", "features") if (text := getattr(card, key))),
        "",
        "[output]",
        f"layout = {_quoted(card.layout)}",
        f"range = [{', '.join(repr(float(bound)) for bound in card.value_range)}]",
    ]
    if card.labels:
        lines += ["", "[labels]", f"names = [{', '.join(map(_quoted, card.labels))}]"]
    if card.training_shares:
        lines.append(f"training_shares = [{', '.join(repr(float(share)) for share in card.training_shares)}]")
    if card.condition is not None:
        condition = card.condition
        size = "width" if condition.kind == "vector" else "classes"
        lines += ["", "[condition]", f"kind = {_quoted(condition.kind)}", f"{size} = {condition.width}"]
        if condition.labels:
            lines.append(f"labels = [{', '.join(map(_quoted, condition.labels))}]")
    return "\n".join(lines) + "\n"


def _arguments(document: dict[str, Any]) -> dict[str, Any]:
    output, labels = document.pop("output", {}), document.pop("labels", {})
    condition = document.pop("condition", None)
    _require(isinstance(output, dict), "output", "write a table [output]")
    _require(isinstance(labels, dict), "labels", "write a table [labels]")
    known = {field.name for field in fields(GeneratorCard)} - {
        "layout",
        "value_range",
        "labels",
        "training_shares",
        "condition",
    }
    for key in ("name", "latent_dim"):
        _require(key in document, key, "this key is missing")
    for prefix, table, keys in (
        ("", document, known),
        ("output.", output, {"layout", "range"}),
        ("labels.", labels, {"names", "training_shares"}),
    ):
        for key in table:
            _require(key in keys, prefix + key, f"this key is unknown; {', '.join(sorted(keys))} are known")
    for key in ("name", "description", "prior", "licence", "source", "latent_node", "features"):
        _require(isinstance(document.get(key, ""), str), key, "write a string")
    _require(type(document["latent_dim"]) is int, "latent_dim", "write an integer of at least 1")
    _require(isinstance(output.get("layout", ""), str), "output.layout", "write a string")
    arguments = dict(document)
    if "layout" in output:
        arguments["layout"] = output["layout"]
    if "range" in output:
        arguments["value_range"] = _numbers(output["range"], "output.range")
        _require(len(arguments["value_range"]) == 2, "output.range", "write two numbers, the smaller first")
    if "training_shares" in labels:
        arguments["training_shares"] = _numbers(labels["training_shares"], "labels.training_shares")
    if "names" in labels:
        names = labels["names"]
        listed = isinstance(names, list) and all(isinstance(name, str) for name in names)
        _require(listed, "labels.names", "write a list of strings")
        arguments["labels"] = tuple(names)
    if condition is not None:
        arguments["condition"] = _condition(condition)
    return arguments


def _condition(table: object) -> ConditionCard:
    _require(isinstance(table, dict), "condition", "write a table [condition]")
    given: dict[str, Any] = table if isinstance(table, dict) else {}
    keys = ("kind", "classes", "width", "labels")
    for key in given:
        _require(key in keys, f"condition.{key}", f"this key is unknown; {', '.join(sorted(keys))} are known")
    kind = given.get("kind")
    _require(kind in KINDS, "condition.kind", f"write one of {', '.join(map(repr, KINDS))}")
    size, other = ("width", "classes") if kind == "vector" else ("classes", "width")
    labels = given.get("labels", [])
    listed = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    _require(listed, "condition.labels", "write a list of strings")
    counted = size in given or (kind != "vector" and bool(labels))
    _require(counted, f"condition.{size}", f"this key is missing; a condition of kind {kind} has {size}")
    _require(other not in given, f"condition.{other}", f"a condition of kind {kind} has {size} instead")
    _require(type(given.get(size, 1)) is int, f"condition.{size}", "write an integer of at least 1")
    return ConditionCard(str(kind), given.get(size, len(labels)), tuple(labels))


def _numbers(value: object, field: str) -> tuple[float, ...]:
    _require(isinstance(value, list), field, "write a list of numbers")
    numbers: list[Any] = value if isinstance(value, list) else []
    # Python counts true and false as integers; TOML does not.
    _require(all(type(number) in (int, float) for number in numbers), field, "write a list of numbers")
    return tuple(float(number) for number in numbers)


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _require(condition: bool, field: str, advice: str) -> None:
    if not condition:
        raise InvalidInput(f"{field}: {advice}.", field=field)
