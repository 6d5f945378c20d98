"""Archives that we write: equal bytes, no paths, no pickle, readable by torch and by us, faithful to the module."""

from __future__ import annotations

import copy
import io
import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator.archive import read_archive
from magnet_service.generator.export import export_module, export_program, write_archive
from magnet_service.generator.interpreter import interpret
from magnet_service.generator.probe import read_probe
from magnet_service.generator.repository import add_generator
from tests.generator import crafted


def test_exporting_twice_gives_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        export_module(crafted.small(), 6, tmp_path / name / "g.pt2")
    for file in ("g.pt2", "g.probe.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_another_process_gives_the_same_file(tmp_path: Path) -> None:
    export_module(crafted.small(), 6, tmp_path / "here.pt2")
    script = (
        "import sys; from magnet_service.generator.export import export_module; from tests.generator import crafted; "
        "export_module(crafted.small(), 6, sys.argv[1])"
    )
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "there.pt2")],
        cwd=root,
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    assert (tmp_path / "here.pt2").read_bytes() == (tmp_path / "there.pt2").read_bytes()


def test_no_path_no_trace_and_no_pickle_is_written(tmp_path: Path) -> None:
    export_module(crafted.small(), 6, tmp_path / "g.pt2")
    data = (tmp_path / "g.pt2").read_bytes()
    for text in (
        str(tmp_path),
        str(Path(__file__).parent),
        "File ",
        ".py",
        "crafted",
        "nn_module_stack",
        "stack_trace",
    ):
        assert text.encode() not in data
    for name, content in crafted.members(tmp_path / "g.pt2").items():
        with pytest.raises(ValueError):  # noqa: PT011  pickletools has no other
            list(pickletools.genops(content))
        assert content or name == crafted.SAMPLE
    # The same text does stand in what torch writes, so that the check above can fail.
    torch_file = crafted.saved(export_program(crafted.small(), 6), tmp_path / "torch.pt2").read_bytes()
    assert b"crafted" in torch_file
    assert b"stack_trace" in torch_file


def test_torch_reads_it_too(tmp_path: Path) -> None:
    module = crafted.small()
    export_module(module, 6, tmp_path / "g.pt2")
    loaded = torch.export.load(tmp_path / "g.pt2")
    latents = torch.randn(5, 6)
    assert torch.equal(loaded.module()(latents), module(latents))
    assert loaded.example_inputs is None


def test_the_module_is_left_as_it_was(tmp_path: Path) -> None:
    module = nn.Sequential(crafted.small().train(), nn.Dropout(0.5))
    before = copy.deepcopy(module.state_dict())
    state = torch.get_rng_state()
    export_module(module, 6, tmp_path / "g.pt2")
    assert module.training
    assert all(submodule.training for submodule in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    latents = torch.randn(9, 6)
    expected = module.eval()(latents)
    torch.testing.assert_close(interpret(read_archive(tmp_path / "g.pt2"), latents), expected, rtol=0, atol=1e-6)


def test_the_probe_holds_what_the_module_gave(tmp_path: Path) -> None:
    module = nn.Sequential(nn.ConvTranspose2d(5, 2, 4), nn.ReLU())
    export_module(module, 5, tmp_path / "g.pt2", latent_shape=(5, 1, 1))
    probe = read_probe(tmp_path / "g.probe.npz")
    assert probe is not None
    assert (probe.source, probe.latents.shape) == ("module", (64, 5))
    assert torch.equal(probe.outputs, module(probe.latents.view(64, 5, 1, 1)))
    assert probe.belongs_to(tmp_path / "g.pt2")
    (tmp_path / "none").mkdir()
    export_module(crafted.small(), 6, tmp_path / "none" / "g.pt2", outputs_probe=False)
    assert [file.name for file in (tmp_path / "none").iterdir()] == ["g.pt2"]
    assert not probe.belongs_to(tmp_path / "none" / "g.pt2")


def test_exports_into_one_folder_keep_their_probes_and_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "probe.npz").write_bytes(b"of the user")
    for seed, name in enumerate(("a", "b")):
        export_module(crafted.small(seed), 6, tmp_path / f"{name}.pt2")
    for name in ("a", "b"):
        probe = read_probe(tmp_path / f"{name}.probe.npz")
        assert probe is not None
        assert probe.belongs_to(tmp_path / f"{name}.pt2")
        assert add_generator(tmp_path / "r", name, tmp_path / f"{name}.pt2")[2].reference == "probe"
    assert (tmp_path / "probe.npz").read_bytes() == b"of the user"


def test_weights_keep_layout_and_dtype(tmp_path: Path) -> None:
    class Slices(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.randn(4, 10)
            self.even = nn.Parameter(whole[:, ::2])
            self.odd = nn.Parameter(whole[:, 1::2])
            self.register_buffer("brain", torch.randn(5).bfloat16())

        def forward(self, latents: Tensor) -> Tensor:
            return latents @ self.even - torch.relu(latents @ self.odd) * self.brain

    module = Slices()
    export_module(module, 4, tmp_path / "g.pt2")
    latents = torch.randn(3, 4)
    torch.testing.assert_close(interpret(read_archive(tmp_path / "g.pt2"), latents), module(latents))


def test_double_modules_are_exported(tmp_path: Path) -> None:
    module = crafted.small().double()
    export_module(module, 6, tmp_path / "g.pt2")
    latents = torch.randn(3, 6, dtype=torch.float64)
    torch.testing.assert_close(interpret(read_archive(tmp_path / "g.pt2"), latents), module(latents))


class Noise(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return latents + torch.randn_like(latents)


class Overflowing(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return latents * 1e38 * 1e38 * 0.0


class Centred(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return latents - latents.mean(0, keepdim=True)


class Literal(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return latents.view(3, 2, 3) if len(latents) == 3 else latents.view(-1, 2, 3)


class Pair(nn.Module):
    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        return latents, latents


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Noise(), "NOISE_INSIDE"),
        (Overflowing(), "NOT_FINITE"),
        (Centred(), "ROWS_MIXED"),
        (Literal(), "NOT_EXPORTABLE"),
        (Pair(), "ONE_OUTPUT"),
    ],
)
def test_modules_that_are_refused(tmp_path: Path, module: nn.Module, reason: str) -> None:
    with pytest.raises(Refused) as refusal:
        export_module(module, 6, tmp_path / "g.pt2")
    assert refusal.value.reason == reason
    assert not any(tmp_path.iterdir())


def test_latents_of_another_shape(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="make them agree") as disagreement:
        export_module(crafted.small(), 6, tmp_path / "g.pt2", latent_shape=(5, 1, 1))
    assert disagreement.value.field == "latent_shape"
    with pytest.raises(InvalidInput, match=r"does not take latents of shape \[3, 7\]"):
        export_module(crafted.small(), 7, tmp_path / "g.pt2")


def test_members_are_aligned_sorted_and_dated_1980(tmp_path: Path) -> None:
    write_archive(export_program(crafted.small(), 6), tmp_path / "g.pt2")
    data = (tmp_path / "g.pt2").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        assert [info.filename for info in infos] == sorted(info.filename for info in infos)
        assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
        for info in infos:
            if content := archive.read(info):
                assert data.index(content[:64], info.header_offset + 30) % 64 == 0
