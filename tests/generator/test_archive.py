"""What is read from an archive is what torch wrote: programs, sizes and weights of every layout."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import DamagedData
from magnet_service.generator.archive import read_archive
from magnet_service.generator.archive_tensors import read_tensors
from magnet_service.generator.archive_zip import open_container
from magnet_service.generator.interpreter import interpret
from magnet_service.generator.program import BatchSize, Constant, Value
from tests.generator import crafted


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("decomposed", [True, False])
def test_both_forms_and_batches_give_what_the_module_gives(tmp_path: Path, dynamic: bool, decomposed: bool) -> None:
    module = crafted.small()
    program = crafted.exported(module, 6, dynamic=dynamic)
    if decomposed:
        program = crafted.decomposed(program)
    read = read_archive(crafted.saved(program, tmp_path / "g.pt2"))
    assert (read.latent_shape, read.batch) == ((6,), None if dynamic else 3)
    latents = torch.randn(7, 6)
    torch.testing.assert_close(interpret(read, latents), module(latents), rtol=0, atol=1e-6)
    targets = {call.target for call in read.calls}
    assert ("aten.convolution.default" in targets) == decomposed
    assert "aten.sym_size.int" not in targets


def test_calls_hold_names_and_plain_values(tmp_path: Path) -> None:
    read = read_archive(crafted.saved(crafted.exported(crafted.small(), 6), tmp_path / "g.pt2"))
    first, add, _, view = read.calls[:4]
    assert first.target == "aten.linear.default"
    assert first.arguments["input"] == Value(read.latent)
    assert isinstance(first.arguments["weight"], Constant)
    assert add.arguments["other"] == Constant("b_shift")
    assert view.arguments["size"] == (BatchSize(), 4, 2, 2)
    assert read.output == read.calls[-1].outputs[0]
    assert "call 5 of 9" in view.place
    # The counter of batches that batch norm keeps is read by no call.
    assert not any("num_batches" in name for name in read.constants)


class Weights(nn.Module):
    """Weights that share storage, have strides and offsets, are tied, half, double and integer."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.randn(4, 10)
        self.even = nn.Parameter(whole[:, ::2])
        self.odd = nn.Parameter(whole[:, 1::2])
        self.turned = nn.Parameter(torch.randn(5, 4).t())
        self.tied = self.turned
        self.register_buffer("halved", torch.randn(5).half())
        self.register_buffer("brain", torch.randn(5).bfloat16())
        self.register_buffer("doubled", torch.randn(5).double())
        self.register_buffer("order", torch.tensor([4, 2, 0]))
        self.register_buffer("wide", torch.randn(1).expand(5))
        self.lifted = torch.randn(10)[3:8]

    def forward(self, latents: Tensor) -> Tensor:
        hidden = latents @ self.even + latents @ self.odd
        hidden = hidden + self.halved + self.brain + self.doubled.float() + self.wide + self.lifted
        hidden = (hidden @ self.turned.t()) @ self.tied
        return hidden.index_select(1, self.order) * torch.tensor(0.5)


def test_weights_of_every_layout_and_dtype_are_read_bit_for_bit(tmp_path: Path) -> None:
    module = Weights()
    read = read_archive(crafted.saved(crafted.exported(module, 4), tmp_path / "g.pt2"))
    stored = {name.partition("_")[2]: tensor for name, tensor in read.constants.items()}
    for name in ("even", "odd", "halved", "brain", "doubled", "order", "wide"):
        expected = getattr(module, name)
        assert stored[name].dtype == expected.dtype
        assert stored[name].is_contiguous()
        assert torch.equal(stored[name], expected)
    latents = torch.randn(5, 4)
    torch.testing.assert_close(interpret(read, latents), module(latents), rtol=1e-6, atol=1e-6)


def _shared(path: Path, metas: dict[str, tuple[int, int]], payload: bytes) -> Path:
    """Write a configuration of tensors that share one payload, each of it a (dtype, offset) with two elements."""
    config = {
        name: {
            "path_name": "w",
            "is_param": False,
            "use_pickle": False,
            "tensor_meta": {
                "dtype": dtype,
                "layout": 7,
                "sizes": [{"as_int": 2}],
                "strides": [{"as_int": 1}],
                "storage_offset": {"as_int": offset},
            },
        }
        for name, (dtype, offset) in metas.items()
    }
    return crafted.pack(
        {"archive_format": b"pt2", "config.json": json.dumps({"config": config}).encode(), "weights/w": payload}, path
    )


def test_tensors_that_share_a_payload_are_read_each_as_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[int] = []
    frombuffer = torch.frombuffer

    def counted(buffer: bytearray, **options: Any) -> Tensor:
        copies.append(len(buffer))
        return frombuffer(buffer, **options)

    monkeypatch.setattr(torch, "frombuffer", counted)
    # Two numbers, two booleans, and a byte that belongs to neither.
    payload = struct.pack("<ff", 2.5, -1.25) + bytes((1, 0, 9))
    path = _shared(tmp_path / "s.pt2", {"floats": (7, 0), "flags": (12, 8), "again": (12, 8)}, payload)
    with open_container(path, max_bytes=1 << 20) as container:
        found = read_tensors(container, "config.json", "weights/", max_bytes=1 << 20)
    assert copies == [len(payload)]
    assert found["flags"].tolist() == found["again"].tolist() == [True, False]
    assert found["floats"].tolist() == [2.5, -1.25]
    found["flags"].logical_not_()
    assert found["again"].tolist() == [True, False]
    path = _shared(tmp_path / "t.pt2", {"flags": (12, 9)}, payload)
    with open_container(path, max_bytes=1 << 20) as container, pytest.raises(DamagedData, match="other than 0 and 1"):
        read_tensors(container, "config.json", "weights/", max_bytes=1 << 20)


class Arguments(nn.Module):
    """Calls whose arguments are floats, infinities, texts, lists of tensors, dtypes and None."""

    def forward(self, latents: Tensor) -> Tensor:
        image = latents.view(-1, 2, 3, 3).to(torch.float64).to(torch.float32)
        image = nn.functional.pad(image, (1, 1, 1, 1), value=-0.25)
        image = torch.cat([image, image.clamp(min=-float("inf"), max=2.0)], 1)
        image = nn.functional.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)
        image = nn.functional.gelu(image, approximate="tanh").contiguous(memory_format=torch.channels_last)
        first, second = image.chunk(2, dim=1)
        return (first + 0.5 * second).mean(dim=(2, 3), keepdim=True).squeeze(-1)


def test_arguments_of_every_kind(tmp_path: Path) -> None:
    read = read_archive(crafted.saved(crafted.exported(Arguments(), 18), tmp_path / "g.pt2"))
    latents = torch.randn(5, 18)
    torch.testing.assert_close(interpret(read, latents), Arguments()(latents))
    clamp = next(call for call in read.calls if call.target == "aten.clamp.default")
    assert clamp.arguments["min"] == -float("inf")
    assert {call.arguments.get("dtype") for call in read.calls} >= {"float64", "float32"}


class Repeats(nn.Module):
    """A learned constant given to every row, as in StyleGAN's first layer, and sizes equal to the batch elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = nn.Parameter(torch.randn(1, 3, 2))
        self.scale = nn.Parameter(torch.randn(3))

    def forward(self, latents: Tensor) -> Tensor:
        rows = latents.shape[0]
        start = self.seed.expand(rows, -1, -1) + self.seed.repeat(rows, 1, 1)
        return start * self.scale.view(3, 1) + latents.reshape(rows, 3, 2)


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_a_fixed_batch_follows_the_rows_and_nothing_else_does(tmp_path: Path, batch: int) -> None:
    module = Repeats()
    program = crafted.exported(module, 6, batch=batch, dynamic=False)
    read = read_archive(crafted.saved(program, tmp_path / "g.pt2"))
    assert read.batch == batch
    latents = torch.randn(7, 6)
    torch.testing.assert_close(interpret(read, latents), module(latents))


def test_latents_with_singleton_dimensions(tmp_path: Path) -> None:
    module = nn.Sequential(nn.ConvTranspose2d(5, 2, 4), nn.ReLU())
    read = read_archive(crafted.saved(crafted.exported(module, 5, 1, 1), tmp_path / "g.pt2"))
    assert read.latent_shape == (5, 1, 1)
    latents = torch.randn(3, 5)
    torch.testing.assert_close(interpret(read, latents), module(latents.view(3, 5, 1, 1)))


def test_a_pickle_among_the_sample_inputs_is_never_opened(tmp_path: Path) -> None:
    good = crafted.saved(crafted.exported(crafted.small(), 6), tmp_path / "g.pt2")
    contents = crafted.members(good)
    for index, pickled in enumerate((crafted.bomb(tmp_path / "marker"), crafted.torch_bomb(tmp_path / "marker"))):
        contents[crafted.SAMPLE] = pickled
        read_archive(crafted.pack(contents, tmp_path / f"bomb{index}.pt2"))
    assert not (tmp_path / "marker").exists()


def test_compressed_archives_and_other_names_are_read(tmp_path: Path) -> None:
    good = crafted.saved(crafted.exported(crafted.small(), 6), tmp_path / "g.pt2")
    contents = {name.replace("model", "other"): data for name, data in crafted.members(good).items()}
    contents = {name.replace("others/", "models/"): data for name, data in contents.items()}
    packed = crafted.pack(contents, tmp_path / "p.pt2", root="x", compression=zipfile.ZIP_DEFLATED)
    again, first = read_archive(packed), read_archive(good)
    assert again.calls == first.calls
    assert all(torch.equal(again.constants[name], tensor) for name, tensor in first.constants.items())
