"""What is never read is refused by name, damage is reported by place, and nothing in a file ever runs."""

from __future__ import annotations

import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import DamagedData, InvalidInput, MagnetError, RefusedArchive, UnsupportedOperation
from magnet_service.generator.archive import read_archive
from magnet_service.generator.interpreter import interpret
from tests.generator import crafted
from tests.generator.crafted import CONSTANTS, MODEL, WEIGHTS, Document


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crafted.saved(crafted.exported(crafted.small(), 6), tmp_path_factory.mktemp("good") / "g.pt2")


@pytest.fixture
def marker(tmp_path: Path) -> Any:
    """A file that a bomb would make: that it is absent afterwards is part of every test that uses it."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


def test_the_bombs_are_live(tmp_path: Path) -> None:
    pickle.loads(crafted.bomb(tmp_path / "one"))  # noqa: S301  our own, to show that the tests below test something
    assert (tmp_path / "one").exists()


@pytest.mark.parametrize("config", [WEIGHTS, CONSTANTS])
def test_a_tensor_marked_use_pickle(good: Path, tmp_path: Path, marker: Path, config: str) -> None:
    contents = crafted.members(good)
    document = json.loads(contents[config])
    name, entry = next(iter(document["config"].items()))
    entry["use_pickle"] = True
    contents[config] = json.dumps(document).encode()
    contents[f"{config.rpartition('/')[0]}/{entry['path_name']}"] = crafted.torch_bomb(marker)
    with pytest.raises(RefusedArchive, match=f"{name}.*stored as a pickle.*never read") as refusal:
        read_archive(crafted.pack(contents, tmp_path / "p.pt2"))
    assert refusal.value.reason == "PICKLE"


@pytest.mark.parametrize("prefix", ["custom_obj_0", "opaque_obj_0"])
def test_a_custom_object(good: Path, tmp_path: Path, marker: Path, prefix: str) -> None:
    contents = crafted.members(good)
    entry = {"path_name": prefix, "is_param": False, "use_pickle": False, "tensor_meta": None}
    contents[CONSTANTS] = json.dumps({"config": {"thing": entry}}).encode()
    contents[f"data/constants/{prefix}"] = crafted.bomb(marker)
    with pytest.raises(RefusedArchive, match="custom objects"):
        read_archive(crafted.pack(contents, tmp_path / "p.pt2"))


@pytest.mark.parametrize("member", ["data/aotinductor/model/code.so", "data/aotinductor/model/wrapper.cpp"])
def test_native_code(good: Path, tmp_path: Path, member: str) -> None:
    contents = crafted.members(good) | {member: b"\x7fELF"}
    with pytest.raises(RefusedArchive, match="compiled code") as refusal:
        read_archive(crafted.pack(contents, tmp_path / "p.pt2"))
    assert refusal.value.reason == "NATIVE_CODE"


EXPRESSIONS = [
    "Mul(Integer(2), Symbol('s0'))",
    "2*s0",
    "s0 + 1",
    "__import__('os').system('touch marker')",
    "Symbol('s0').__class__",
    "s0.real",
    "Function('f')(1)",
    "",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("table", ["tensor_values", "sym_int_values"])
def test_an_expression_is_refused_by_its_text(good: Path, tmp_path: Path, text: str, table: str) -> None:
    def edit(document: Document) -> None:
        values = document["graph_module"]["graph"][table]
        size = {"as_expr": {"expr_str": text, "hint": None}}
        if table == "tensor_values":
            values["latents"]["sizes"][0] = size
        else:
            values[next(iter(values))] = size

    with pytest.raises(RefusedArchive) as refusal:
        read_archive(crafted.edited(good, MODEL, edit, tmp_path / "e.pt2"))
    assert refusal.value.reason == "SIZE_EXPRESSION"
    assert repr(text) in refusal.value.message


def test_a_size_that_is_twice_the_batch_as_torch_writes_it(tmp_path: Path) -> None:
    class Mixer(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return latents.view(latents.shape[0] * 2, 3).relu().view(latents.shape[0], 6)

    saved = crafted.saved(crafted.exported(Mixer(), 6), tmp_path / "m.pt2")
    with pytest.raises(RefusedArchive, match="must be an integer or the batch") as refusal:
        read_archive(saved)
    assert refusal.value.reason == "SIZE_EXPRESSION"


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.prim.device.default",
        "torch.ops.custom.run.default",
        "torch.ops.higher_order.cond",
        "_operator.mul",
        "os.system",
        "torch.ops.aten.relu.default; import os",
        "torch.ops.aten.__class__.__init__.x",
        "math.pow",
    ],
)
def test_a_foreign_target(good: Path, tmp_path: Path, target: str) -> None:
    def edit(document: Document) -> None:
        crafted.node(document, "aten.relu.default")["target"] = target

    with pytest.raises(UnsupportedOperation, match=r"call 4 of 9 \(relu\)") as refusal:
        read_archive(crafted.edited(good, MODEL, edit, tmp_path / "t.pt2"))
    assert refusal.value.metadata["target"] == target


@pytest.mark.parametrize(
    "value",
    [
        {"as_graph": {"name": "g", "graph": {}}},
        {"as_custom_obj": {"name": "o", "class_fqn": "x.Y"}},
        {"as_operator": "os.system"},
        {"as_complex": {"real": 1.0, "imag": 1.0}},
        {"as_sym_bool": {"as_name": "b"}},
        {"as_sym_float": {"as_name": "f"}},
        {"as_string_to_argument": {}},
        {"as_something_new": 1},
    ],
)
def test_an_argument_of_a_kind_that_is_never_read(good: Path, tmp_path: Path, value: Document) -> None:
    def edit(document: Document) -> None:
        crafted.node(document, "conv_transpose2d")["inputs"][3]["arg"] = value

    with pytest.raises(UnsupportedOperation, match=f"conv_transpose2d.*kind '{next(iter(value))}'"):
        read_archive(crafted.edited(good, MODEL, edit, tmp_path / "a.pt2"))


def _input_twice(document: Document) -> None:
    document["graph_module"]["signature"]["input_specs"].append(
        {"user_input": {"arg": {"as_tensor": {"name": "labels"}}}}
    )


def _no_input(document: Document) -> None:
    specs = document["graph_module"]["signature"]["input_specs"]
    specs[:] = [spec for spec in specs if "user_input" not in spec]


def _integer_latents(document: Document) -> None:
    document["graph_module"]["graph"]["tensor_values"]["latents"]["dtype"] = 5


def _flat_latents(document: Document) -> None:
    document["graph_module"]["graph"]["tensor_values"]["latents"]["sizes"].pop()


def _custom_object_input(document: Document) -> None:
    arg = {"name": "o", "class_fqn": "x.Y"}
    document["graph_module"]["signature"]["input_specs"].insert(0, {"custom_obj": {"arg": arg, "custom_obj_name": "o"}})


def _two_outputs(document: Document) -> None:
    specs = document["graph_module"]["signature"]["output_specs"]
    specs.append(specs[0])


def _mutation(document: Document) -> None:
    document["graph_module"]["signature"]["output_specs"].insert(
        0, {"buffer_mutation": {"arg": {"name": "x"}, "buffer_name": "y"}}
    )


def _constant_output(document: Document) -> None:
    spec = document["graph_module"]["signature"]["output_specs"][0]
    spec["user_output"]["arg"]["as_tensor"]["name"] = "p_first_weight"


def _newer(document: Document) -> None:
    document["schema_version"]["major"] = 9


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_input_twice, "one latent input"),
        (_no_input, "one latent input"),
        (_integer_latents, "one latent input"),
        (_flat_latents, "one latent input"),
        (_custom_object_input, "'custom_obj' is not read"),
        (_two_outputs, "one tensor output"),
        (_mutation, "training mode"),
        (_constant_output, "does not depend on the latents"),
        (_newer, "schema version 9"),
    ],
)
def test_a_graph_of_another_form(good: Path, tmp_path: Path, edit: Callable[[Document], None], message: str) -> None:
    with pytest.raises(RefusedArchive, match=message):
        read_archive(crafted.edited(good, MODEL, edit, tmp_path / "f.pt2"))


def test_batch_norm_in_training_mode_is_named_so(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    program = torch.export.export(module.train(), (torch.randn(3, 3),))
    saved = crafted.saved(crafted.decomposed(program), tmp_path / "t.pt2")
    with pytest.raises(RefusedArchive, match=r"Call \.eval\(\)"):
        read_archive(saved)


def _longer(document: Document) -> None:
    document["config"]["first.weight"]["tensor_meta"]["sizes"][0] = {"as_int": 17}


def _shifted(document: Document) -> None:
    document["config"]["first.weight"]["tensor_meta"]["storage_offset"] = {"as_int": 1}


def _negative(document: Document) -> None:
    document["config"]["first.weight"]["tensor_meta"]["strides"][0] = {"as_int": -6}


def _elsewhere(document: Document) -> None:
    document["config"]["first.weight"]["path_name"] = "../../../etc/passwd"


def _absent(document: Document) -> None:
    del document["config"]["first.weight"]


@pytest.mark.parametrize("edit", [_longer, _shifted, _negative, _elsewhere, _absent])
def test_weights_that_do_not_fit_their_description(
    good: Path, tmp_path: Path, edit: Callable[[Document], None]
) -> None:
    with pytest.raises(DamagedData, match=r"first\.weight|etc/passwd"):
        read_archive(crafted.edited(good, WEIGHTS, edit, tmp_path / "w.pt2"))


def test_a_tensor_far_larger_than_its_bytes(good: Path, tmp_path: Path) -> None:
    def edit(document: Document) -> None:
        meta = document["config"]["first.weight"]["tensor_meta"]
        meta["sizes"] = [{"as_int": 1 << 20}, {"as_int": 1 << 20}]
        meta["strides"] = [{"as_int": 0}, {"as_int": 0}]

    with pytest.raises(RefusedArchive, match="more bytes than allowed"):
        read_archive(crafted.edited(good, WEIGHTS, edit, tmp_path / "w.pt2"))


@pytest.mark.parametrize("sizes", [(0, 2**62, 2**62), (2**62, 2**62, 0), (2**62, 0, 2**62), (0, 2**63 - 1)])
def test_a_tensor_of_no_elements_and_sizes_beyond_64_bits(good: Path, tmp_path: Path, sizes: tuple[int, ...]) -> None:
    def edit(document: Document) -> None:
        meta = document["config"]["first.weight"]["tensor_meta"]
        meta["sizes"] = [{"as_int": size} for size in sizes]
        meta["strides"] = [{"as_int": 1} for _ in sizes]

    with pytest.raises(DamagedData, match=r"first\.weight.*64 bits"):
        read_archive(crafted.edited(good, WEIGHTS, edit, tmp_path / "w.pt2"))


def test_an_archive_that_unpacks_to_more_than_the_limit(good: Path, tmp_path: Path) -> None:
    contents = crafted.members(good) | {"extra/zeros": bytes(1 << 22)}
    packed = crafted.pack(contents, tmp_path / "z.pt2", compression=zipfile.ZIP_DEFLATED)
    assert packed.stat().st_size < 1 << 16
    with pytest.raises(RefusedArchive, match="would unpack to more") as refusal:
        read_archive(packed, max_bytes=1 << 22)
    assert refusal.value.reason == "ARCHIVE_TOO_LARGE"


def test_pickles_and_older_forms(good: Path, tmp_path: Path, marker: Path) -> None:
    plain = tmp_path / "g.pkl"
    plain.write_bytes(crafted.bomb(marker))
    with pytest.raises(RefusedArchive, match=r"is a pickle.*export_module"):
        read_archive(plain)
    torch_file = tmp_path / "g.pth"
    torch_file.write_bytes(crafted.torch_bomb(marker))
    with pytest.raises(RefusedArchive, match=r"a file of torch\.save.*export_module"):
        read_archive(torch_file)
    old = {"serialized_exported_program.json": b"{}", "serialized_state_dict.pt": crafted.torch_bomb(marker)}
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        for name, data in old.items():
            archive.writestr(name, data)
    with pytest.raises(RefusedArchive, match=r"torch 2\.7 or older.*Export it again with torch 2\.9") as refusal:
        read_archive(tmp_path / "old.pt2")
    assert refusal.value.reason == "OLDER_ARCHIVE"
    middle = crafted.members(good) | {"data/weights/model.pt": crafted.torch_bomb(marker)}
    with pytest.raises(RefusedArchive, match=r"as torch 2\.8 wrote them"):
        read_archive(crafted.pack(middle, tmp_path / "middle.pt2"))


def test_files_that_are_no_archive(good: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be opened") as absent:
        read_archive(tmp_path / "absent.pt2")
    assert absent.value.field == "file"
    with pytest.raises(InvalidInput, match="cannot be opened"):
        read_archive(tmp_path)
    for name, data in {"empty": b"", "text": b"hello", "head": good.read_bytes()[:500], "zip": b"PK\x03\x04"}.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(DamagedData, match=name):
            read_archive(path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DamagedData, match="'archive_format' is missing"):
        read_archive(tmp_path / "other.zip")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({MODEL: None}, DamagedData, "no models"),
        ({WEIGHTS: None}, DamagedData, "weights_config.json' is missing"),
        ({"data/weights/weight_0": None}, DamagedData, "weight_0' is missing"),
        ({"models/second.json": b"{}"}, RefusedArchive, "2 models"),
        ({"archive_format": b"zip"}, RefusedArchive, "archive_format"),
        ({"archive_version": b"1"}, RefusedArchive, "archive_version"),
        ({"byteorder": b"big"}, RefusedArchive, "byteorder"),
        ({MODEL: b"{"}, DamagedData, "not readable JSON"),
        ({MODEL: b"\xff"}, DamagedData, "not readable JSON"),
        ({MODEL: b"[" * 100_000}, DamagedData, "not readable JSON"),
        ({MODEL: b'{"a": 1, "a": 2}'}, DamagedData, "stands twice"),
        ({MODEL: b"[]"}, DamagedData, "should be an object"),
        ({MODEL: b'{"schema_version": {"major": true}}'}, DamagedData, r"schema_version\.major should be an integer"),
    ],
)
def test_members_missing_or_wrong(
    good: Path, tmp_path: Path, change: dict[str, bytes | None], error: type[MagnetError], message: str
) -> None:
    contents = crafted.members(good)
    for name, data in change.items():
        contents.pop(name, None)
        if data is not None:
            contents[name] = data
    with pytest.raises(error, match=message):
        read_archive(crafted.pack(contents, tmp_path / "m.pt2"))


def test_one_changed_byte_of_a_weight_is_seen(good: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith("weight_0"))
    data = bytearray(good.read_bytes())
    name, extra = struct.unpack("<HH", data[info.header_offset + 26 : info.header_offset + 30])
    data[info.header_offset + 30 + name + extra + 17] ^= 1
    (tmp_path / "d.pt2").write_bytes(data)
    with pytest.raises(DamagedData, match=r"weight_0.*CRC"):
        read_archive(tmp_path / "d.pt2")


def test_flipped_and_cut_files_give_an_expected_error_or_a_good_load(good: Path, tmp_path: Path) -> None:
    source = random.Random(1)
    whole = good.read_bytes()
    path = tmp_path / "f.pt2"
    loads = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(source.choice([1, 1, 4])):
            data[source.randrange(len(data))] = source.randrange(256)
        path.write_bytes(data[: source.choice([len(data), len(data), source.randrange(len(data))])])
        try:
            read_archive(path)
            loads += 1
        except MagnetError:
            pass
    assert 0 < loads < 300


VALUES: list[object] = [
    None,
    True,
    -1,
    0,
    3,
    2**40,
    2**70,
    1.5,
    "x",
    "NaN",
    [],
    {},
    [0],
    {"as_int": 1},
    {"as_name": "x"},
]


@pytest.mark.parametrize("member", [MODEL, WEIGHTS, CONSTANTS])
def test_changed_json_gives_an_expected_error_or_a_good_load(good: Path, tmp_path: Path, member: str) -> None:
    source = random.Random(2)
    contents = crafted.members(good)
    document = json.loads(contents[member])
    for entry in crafted.nodes(document) if member == MODEL else ():
        entry["metadata"] = {}
    places = [place for place in crafted.places(document) if place]
    text = json.dumps(document)
    for _ in range(400):
        changed = json.loads(text)
        *parents, last = source.choice(places)
        holder = changed
        for key in parents:
            holder = holder[key]
        if source.random() < 0.3:
            del holder[last]
        else:
            holder[last] = source.choice(VALUES)
        contents[member] = json.dumps(changed).encode()
        path = crafted.pack(contents, tmp_path / "j.pt2")
        try:
            output = interpret(read_archive(path), torch.zeros(2, 6))
        except MagnetError:
            continue
        assert len(output) == 2
