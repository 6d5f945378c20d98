"""What travels to workers, and what they refuse to compute."""

from __future__ import annotations

import inspect
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from magnet_service import errors
from magnet_service.errors import InvalidInput, MagnetError, Refused, UnknownResource
from magnet_service.generator import (
    Condition,
    Generator,
    Manifold,
    Precision,
    add_generator,
    load_version,
    read_archive,
)
from magnet_service.geometry import stamp
from magnet_service.sampling import engine_for
from magnet_service.sampling.crews.crew import Inline
from magnet_service.sampling.crews.origin import Carried, Kept
from magnet_service.sampling.crews.recipe import Recipe, recipe_of
from magnet_service.sampling.crews.words import Workers, parse_workers
from tests.composition.networks import INNER, exported
from tests.conditional.pets import fill
from tests.generator.onnx.models import draw, model, node, with_external_data
from tests.sampling.crews.parts import add_small, bytes_of, expected, joined, recipe, spans, spec_of


def travelled(given: Recipe) -> Recipe:
    """As it arrives in another process."""
    arrived: Recipe = pickle.loads(pickle.dumps(given))  # noqa: S301 # our own
    return arrived


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conditional")
    return fill(folder / "repository", folder / "files")


def test_inline_rows_are_those_of_one_call(small: Path) -> None:
    given = recipe(small)
    crew = Inline(given.bench())
    generator, _, _ = load_version(small)
    assert joined(crew.compute(spans(200))) == expected(generator, given.spec, 200)
    assert crew.size == len(crew.names) == 1
    crew.close()
    with pytest.raises(errors.Cancelled):
        list(crew.compute(spans(200), lambda: True))


def test_a_carried_recipe_needs_no_repository(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "small"
    shutil.copytree(small, copy)
    given = recipe(copy)
    carried = travelled(given.carried())
    assert isinstance(carried.origin, Carried)
    assert sorted(carried.origin.files) == ["1/generator.pt2", "1/probe.npz", "generator.toml"]
    assert carried.carried() == carried
    wanted = bytes_of(given.bench().rows(0, 40))
    shutil.rmtree(copy)
    assert bytes_of(carried.bench().rows(0, 40)) == wanted


@pytest.mark.long
def test_a_feature_network_is_carried(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    file, net = exported(tmp_path / "files")
    name = next(e.name for e in Generator.from_program(read_archive(file)).summary if e.shape == (INNER,))
    add_generator(tmp_path, "faces", file, latent_node=name, features=net)
    given = recipe(tmp_path / "faces", manifold=Manifold.FEATURES)
    carried = travelled(given.carried())
    assert isinstance(carried.origin, Carried)
    assert net.name in carried.origin.files
    assert bytes_of(carried.bench().rows(0, 32)) == bytes_of(given.bench().rows(0, 32))


def test_data_files_are_carried(tmp_path: Path) -> None:
    (tmp_path / "exported/deep").mkdir(parents=True)
    built = model([node("Gemm", "z w b", "f", transB=1), node("Relu", "f")], {"w": draw(7, 6), "b": draw(7)})
    add_generator(tmp_path, "dense", with_external_data(built, tmp_path / "exported", "deep/weights.bin"))
    given = recipe(tmp_path / "dense")
    carried = travelled(given.carried())
    assert isinstance(carried.origin, Carried)
    assert sorted(carried.origin.files)[:2] == ["1/deep/weights.bin", "1/generator.onnx"]
    assert bytes_of(carried.bench().rows(0, 32)) == bytes_of(given.bench().rows(0, 32))


@pytest.mark.parametrize(
    ("name", "condition"), [("pets", Condition(index=2)), ("styled", Condition(vector=(0.25, -1e-5)))]
)
def test_rows_of_a_condition(name: str, condition: Condition, conditional: Path) -> None:
    given = recipe(conditional / name, condition=condition.text)
    generator, card, _ = load_version(conditional / name)
    assert card.conditions is not None
    chosen = generator.conditioned(card.conditions.value_of(condition))
    wanted = expected(chosen, given.spec, 40)
    assert bytes_of(travelled(given).bench().rows(0, 40)) == wanted
    assert bytes_of(travelled(given.carried()).bench().rows(0, 40)) == wanted
    with pytest.raises(Refused, match="takes a condition") as caught:
        recipe(conditional / name).bench()
    assert caught.value.reason == "FOREIGN_BANK"


def test_what_is_not_the_banks_is_refused(small: Path, tmp_path: Path) -> None:
    given = recipe(small)
    other = add_small(tmp_path, "small", seed=2)
    with pytest.raises(Refused, match=r"of generator [0-9a-f]{16}, version 1 of small is") as caught:
        replace(given, origin=Kept(other, 1)).bench()
    assert caught.value.reason == "FOREIGN_BANK"
    with pytest.raises(Refused, match="takes no condition") as caught:
        recipe(small, condition="3").bench()
    assert caught.value.reason == "FOREIGN_BANK"
    elsewhere = recipe_of(given.spec, given.engine, small, 1, expected={**given.stamp, "torch": "1.0", "engine": "0"})
    with pytest.raises(Refused, match=r"engine 0 there and .* here, torch 1\.0 there and") as caught:
        elsewhere.bench()
    assert caught.value.reason == "OTHER_ENGINE"
    with pytest.raises(UnknownResource, match="no version 7"):
        replace(given, origin=Kept(small, 7)).bench()
    with pytest.raises(UnknownResource, match="no version 7"):
        replace(given, origin=Kept(small, 7)).carried()


def test_a_recipe_is_made_of_what_fits(small: Path) -> None:
    spec = spec_of(small, precision=Precision.BFLOAT16)
    used = replace(engine_for(spec), precision=Precision.FLOAT32, max_memory=1 << 30)
    given = recipe_of(spec, used, small, 1)
    assert given.stamp == stamp(used)
    assert given.bench().engine.precision is Precision.FLOAT32
    shared = given.on("cuda:1", 4)
    assert (shared.engine.device, shared.engine.max_memory) == ("cuda:1", 1 << 28)
    with pytest.raises(InvalidInput, match="given as a module") as caught:
        recipe_of(spec, used, None, 1)
    assert caught.value.field == "workers"
    with pytest.raises(InvalidInput, match="threads is 3: the bank is of 1") as caught:
        recipe_of(spec, replace(used, threads=3), small, 1)
    assert caught.value.field == "threads"


@pytest.mark.parametrize(
    "condition", [Condition(index=7), Condition(vector=(0.1, -2.5e-7, 3.0)), Condition(vector=(1.0,))]
)
def test_conditions_are_read_back_from_a_banks_text(condition: Condition) -> None:
    assert Condition.from_text(condition.text) == condition


@pytest.mark.parametrize("text", ["", "cat", "-1", "1,2", ",", "1,,", "nan,", "²"])
def test_other_texts_are_no_conditions(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Condition.from_text(text)
    assert caught.value.field == "condition"


def test_every_error_crosses_from_a_worker() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MagnetError)]
    assert len(kinds) == len([name for name in errors.__all__ if name != "InvalidInput"]) + 1
    for kind in kinds:
        error = kind("what is wrong")
        error.field, error.reason, error.metadata = "bank_id", "SOME_REASON", {"name": "x"}
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 # our own
        assert type(again) is kind
        assert (str(again), again.__dict__) == ("what is wrong", error.__dict__)


@pytest.mark.parametrize(
    ("text", "workers"),
    [
        ("local", Workers("local")),
        ("local:2", Workers("local", 2)),
        ("2", Workers("local", 2)),
        ("64", Workers("local", 64)),
        ("ray", Workers("ray")),
        ("ray:4", Workers("ray", 4)),
        ("ray:head.example:6379", Workers("ray", None, "head.example:6379")),
        ("ray:127.0.0.1:6379:12", Workers("ray", 12, "127.0.0.1:6379")),
    ],
)
def test_words(text: str, workers: Workers) -> None:
    assert parse_workers(text) == workers


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "-2", "2.0", " 2", "10000", "2:2", "locals", "local2"),
        *("local:", "local:0", "local:-1", "local:2:3"),
        *("ray:", "ray:head", "ray:0", "ray:a b:1", "ray:http://h:1"),
    ],
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="local:COUNT") as caught:
        parse_workers(text)
    assert caught.value.field == "workers"
