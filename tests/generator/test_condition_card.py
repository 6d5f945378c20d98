"""Conditions as people write them, and what a card says about those it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from magnet_service.errors import InvalidInput, MagnetError
from magnet_service.generator import GeneratorCard, add_generator, export_module, load_version, read_card, read_probe
from magnet_service.generator.card_file import render_card
from magnet_service.generator.condition import Condition, ConditionCard
from magnet_service.generator.repository import verify_version
from tests.generator.conditional_nets import CLASSES, LATENT, NETS, WIDTH, example_of, module_of

ANIMALS = ConditionCard("index", 4, ("ant", "Bee", "catfish", "cat"))


def test_a_label_an_index_and_a_vector_are_resolved() -> None:
    assert ANIMALS.resolve(Condition(label="cat")) == Condition(index=3)
    assert ANIMALS.resolve(Condition(index=1)) == Condition(index=1)
    assert ANIMALS.label_of(Condition(index=1)) == "Bee"
    assert [condition.text for condition in ANIMALS.all()] == ["0", "1", "2", "3"]
    vector = ConditionCard("vector", 2)
    assert vector.resolve(Condition(vector=(0.1, 2.0))).text == "0.1,2.0,"
    assert vector.all() == ()
    assert vector.classes == 0


@pytest.mark.parametrize(
    ("card", "asked", "message"),
    [
        (ANIMALS, Condition(label="bee"), r"'bee' is unknown; perhaps 'Bee'; there are 'ant', 'Bee', 'catfish', 'cat'"),
        (ANIMALS, Condition(label="catfsh"), r"perhaps 'catfish'"),
        (ANIMALS, Condition(index=4), "write 0 to 3"),
        (ANIMALS, Condition(vector=(1.0,)), "one of 4 classes"),
        (ConditionCard("one_hot", 3), Condition(label="ant"), "have no labels; write an index"),
        (ConditionCard("vector", 3), Condition(index=0), "a vector of 3 numbers, no class"),
        (ConditionCard("vector", 3), Condition(vector=(1.0, 2.0)), "a vector of 2 numbers: this generator takes 3"),
    ],
)
def test_what_it_does_not_take(card: ConditionCard, asked: Condition, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        card.resolve(asked)
    assert caught.value.field == "condition"


@pytest.mark.parametrize(
    "given", [{}, {"label": "a", "index": 0}, {"index": -1}, {"vector": ()}, {"vector": (float("nan"),)}]
)
def test_what_names_no_condition(given: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Condition(**given)  # type: ignore[arg-type]  # a table of keyword arguments
    assert caught.value.field == "condition"


CARDS = (
    ('kind = "index"\nclasses = 3', ConditionCard("index", 3)),
    ('kind = "one_hot"\nclasses = 2\nlabels = ["a", "b"]', ConditionCard("one_hot", 2, ("a", "b"))),
    ('kind = "index"\nlabels = ["a", "b"]', ConditionCard("index", 2, ("a", "b"))),
    ('kind = "vector"\nwidth = 16', ConditionCard("vector", 16)),
)


def read(folder: Path, table: str, labels: str = "") -> GeneratorCard:
    home = folder / "pets"
    home.mkdir(exist_ok=True)
    (home / "generator.toml").write_text(f'name = "pets"\nlatent_dim = 3\n{labels}\n[condition]\n{table}\n')
    return read_card(home)


@pytest.mark.parametrize(("table", "expected"), CARDS)
def test_a_table_is_read_and_written(table: str, expected: ConditionCard, tmp_path: Path) -> None:
    card = read(tmp_path, table)
    assert card.condition == expected
    (tmp_path / "pets" / "generator.toml").write_text(render_card(card))
    assert read_card(tmp_path / "pets") == card


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ("classes = 3", "condition.kind"),
        ('kind = "color"\nclasses = 3', "condition.kind"),
        ('kind = "index"', "condition.classes"),
        ('kind = "index"\nwidth = 3', "condition.classes"),
        ('kind = "vector"\nclasses = 3', "condition.width"),
        ('kind = "index"\nclasses = 0', "condition.classes"),
        ('kind = "index"\nclasses = 2.0', "condition.classes"),
        ('kind = "vector"\nwidth = true', "condition.width"),
        ('kind = "index"\nclasses = 3\nlabels = ["a", "b"]', "condition.labels"),
        ('kind = "index"\nclasses = 2\nlabels = ["a", "a"]', "condition.labels"),
        ('kind = "index"\nclasses = 2\nlabels = ["a", " "]', "condition.labels"),
        ('kind = "index"\nclasses = 2\nlabels = [1, 2]', "condition.labels"),
        ('kind = "vector"\nwidth = 2\nlabels = ["a", "b"]', "condition.labels"),
        ('kind = "index"\nclasses = 2\nnames = ["a", "b"]', "condition.names"),
    ],
)
def test_a_table_that_is_wrong(table: str, field: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, table)
    assert caught.value.field == field, caught.value.message


def test_labels_of_the_training_set_name_the_classes_where_they_have_no_other_names(tmp_path: Path) -> None:
    labels = '[labels]\nnames = ["a", "b"]'
    card = read(tmp_path, 'kind = "index"\nclasses = 2', labels).conditions
    assert card == ConditionCard("index", 2, ("a", "b"))
    other = read(tmp_path, 'kind = "index"\nclasses = 2\nlabels = ["x", "y"]', labels).conditions
    assert other is not None
    assert other.labels == ("x", "y")
    more = read(tmp_path, 'kind = "index"\nclasses = 3', labels).conditions
    assert more is not None
    assert more.labels == ()


def card_of(name: str) -> ConditionCard:
    kind = NETS[name].kind
    return ConditionCard(kind, WIDTH if kind == "vector" else CLASSES)


@pytest.mark.parametrize("name", NETS)
def test_every_net_is_added_and_verified_for_several_conditions(name: str, tmp_path: Path) -> None:
    file = tmp_path / "net.pt2"
    export_module(module_of(name), LATENT, file, condition=example_of(name))
    card, version, found = add_generator(tmp_path / "all", "net", file, condition=card_of(name))
    assert (card.condition, version, found.reference) == (card_of(name), 1, "probe")
    assert found.rows > 3 * 16
    generator, _, _ = load_version(tmp_path / "all" / "net")
    assert generator.condition_input is not None
    again, _, _ = verify_version(tmp_path / "all" / "net")
    assert again == found


@pytest.mark.parametrize("name", ["concatenated", "embedded"])
def test_a_file_without_a_probe_gets_one_with_conditions(name: str, tmp_path: Path) -> None:
    file = tmp_path / "net.pt2"
    export_module(module_of(name), LATENT, file, condition=example_of(name), outputs_probe=False)
    _, _, found = add_generator(tmp_path / "all", "net", file, condition=card_of(name))
    assert found.reference == "interpreter"
    probe = read_probe(tmp_path / "all" / "net" / "1" / "probe.npz")
    assert probe is not None
    assert probe.conditions is not None
    assert len(torch.unique(probe.conditions, dim=0)) == CLASSES


def test_labels_say_that_a_second_input_is_a_condition_and_of_how_many_classes(tmp_path: Path) -> None:
    for name, labels, expected in (
        ("concatenated", ("a", "b", "c", "d"), ConditionCard("one_hot", CLASSES)),
        ("embedded", ("a", "b", "c", "d"), ConditionCard("index", CLASSES)),
    ):
        file = tmp_path / f"{name}.pt2"
        export_module(module_of(name), LATENT, file, condition=example_of(name))
        card, _, _ = add_generator(tmp_path / "all", name, file, labels=labels)
        assert card.condition == expected


@pytest.mark.parametrize(
    ("name", "condition", "field", "message"),
    [
        ("embedded", None, "condition", r"two inputs, .*no \[condition\].* kind = \"index\""),
        ("concatenated", None, "condition", r"two inputs, .*another latent or noise, export the generator with one"),
        ("embedded", ConditionCard("one_hot", 4), "condition.kind", "the file takes an index"),
        ("embedded", ConditionCard("index", 5), "condition.classes", "does not take the last of them"),
        ("concatenated", ConditionCard("index", 4), "condition.kind", "the file takes numbers"),
        ("concatenated", ConditionCard("one_hot", 5), "condition.classes", "the file takes 4 numbers"),
        ("mapped-vector", ConditionCard("vector", 5), "condition.width", "the file takes 4 numbers"),
        ("plain", ConditionCard("index", 4), "condition", "its file takes none"),
    ],
)
def test_a_card_that_does_not_fit_its_file(
    name: str, condition: ConditionCard | None, field: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "net.pt2"
    if name == "plain":
        export_module(torch.nn.Linear(LATENT, 4), LATENT, file)
    else:
        export_module(module_of(name), LATENT, file, condition=example_of(name))
    with pytest.raises(MagnetError, match=message) as caught:
        add_generator(tmp_path / "all", "net", file, condition=condition)
    assert caught.value.field == field
    assert not (tmp_path / "all").exists()
