"""Verification finds a wrong forward, a wrong tangent, mixed rows and bits that depend on company."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import DamagedData, Refused
from magnet_service.generator.archive import read_archive
from magnet_service.generator.export import export_module
from magnet_service.generator.generator import Generator
from magnet_service.generator.probe import Probe, read_probe, write_probe
from magnet_service.generator.program import Program
from magnet_service.generator.verify import FORWARD_TOLERANCE, JACOBIAN_TOLERANCE, verify
from tests.generator import crafted
from tests.generator.families import FAMILIES, Family


@pytest.fixture
def program(tmp_path: Path) -> Program:
    export_module(crafted.small(), 6, tmp_path / "generator.pt2")
    return read_archive(tmp_path / "generator.pt2")


@pytest.fixture
def probe(program: Program, tmp_path: Path) -> Probe:
    found = read_probe(tmp_path / "generator.probe.npz")
    assert found is not None
    return found


def test_a_good_generator_passes_and_says_against_what(program: Program, probe: Probe) -> None:
    generator = Generator.from_program(program)
    first = verify(generator, program, probe)
    assert (first.reference, first.rows) == ("probe", 80)
    assert first.forward_error < 1e-5
    assert first.jacobian_error < 1e-12
    assert isinstance(first.bits_depend_on_position, bool)
    assert isinstance(first.bits_depend_on_neighbours, bool)
    second = verify(generator, program, None, thorough=False)
    assert (second.reference, second.rows) == ("interpreter", 16)
    assert second.bits_depend_on_position is second.bits_depend_on_neighbours is None
    assert verify(generator, program, replace(probe, source="interpreter")).reference == "interpreter"


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("decomposed", [True, False])
def test_foreign_archives_pass(tmp_path: Path, dynamic: bool, decomposed: bool) -> None:
    exported = crafted.exported(crafted.small(), 6, dynamic=dynamic)
    if decomposed:
        exported = crafted.decomposed(exported)
    read = read_archive(crafted.saved(exported, tmp_path / "g.pt2"))
    assert verify(Generator.from_program(read), read, None).jacobian_error < 1e-12


Change = Callable[[Tensor], Tensor]


def _change(monkeypatch: pytest.MonkeyPatch, values: Change | None = None, tangents: Change | None = None) -> None:
    """Change what every generator answers, on its way out."""
    forward, push = Generator.forward, Generator.push

    def changed_forward(generator: Generator, *arguments: Any, **options: Any) -> Tensor:
        output = forward(generator, *arguments, **options)
        return output if values is None else values(output)

    def changed_push(generator: Generator, *arguments: Any, **options: Any) -> tuple[Tensor, Tensor]:
        output, pushed = push(generator, *arguments, **options)
        return output, pushed if tangents is None else tangents(pushed)

    monkeypatch.setattr(Generator, "forward", changed_forward)
    monkeypatch.setattr(Generator, "push", changed_push)


def _one_entry(tensor: Tensor) -> Tensor:
    """Change the last entry of one row by a thousandth of the largest."""
    changed = tensor.clone()
    changed[0].view(-1)[-1] += 2e-3 * tensor.abs().max()
    return changed


def _not_a_number(tensor: Tensor) -> Tensor:
    changed = tensor.clone()
    changed.view(-1)[3] = float("nan")
    return changed


@pytest.mark.parametrize("change", [_one_entry, _not_a_number, lambda tensor: tensor * 1.001, lambda tensor: -tensor])
def test_a_wrong_forward_is_refused(program: Program, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    _change(monkeypatch, values=change)
    with pytest.raises(Refused, match="outputs differ from the interpreter") as refusal:
        verify(Generator.from_program(program), program, None)
    assert refusal.value.reason == "VERIFICATION_FAILED"


@pytest.mark.parametrize(
    "change", [_one_entry, _not_a_number, lambda tensor: tensor * (1 + 1e-5), lambda tensor: tensor.flip(1)]
)
def test_a_wrong_jacobian_is_refused(program: Program, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    _change(monkeypatch, tangents=change)
    with pytest.raises(Refused, match="rows of the Jacobian differ from autograd") as refusal:
        verify(Generator.from_program(program), program, None)
    assert refusal.value.reason == "VERIFICATION_FAILED"


def _by_place(tensor: Tensor) -> Tensor:
    step = torch.arange(len(tensor), dtype=tensor.dtype).view(-1, *[1] * (tensor.ndim - 1))
    return tensor * (1 + 1e-7 * step)


def _by_company(tensor: Tensor) -> Tensor:
    return tensor + 1e-7 * tensor.sum()


@pytest.mark.parametrize("what", ["values", "tangents"])
def test_bits_that_depend_on_the_place_are_noticed(
    program: Program, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    _change(monkeypatch, **{what: lambda tensor: _by_place(tensor) if tensor.dtype == torch.float32 else tensor})
    found = verify(Generator.from_program(program), program, None)
    assert found.bits_depend_on_position
    assert not found.bits_depend_on_neighbours


def test_bits_that_depend_on_neighbours_are_noticed(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    _change(monkeypatch, values=_by_company)
    assert verify(Generator.from_program(program), program, None).bits_depend_on_neighbours


@pytest.mark.parametrize("form", ["own", "decomposed", "fixed"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_is_verified_in_every_form_or_refused_by_name(tmp_path: Path, family: Family, form: str) -> None:
    module, shape = family.build().float(), family.latent_shape or (family.latent_dim,)
    if form == "own":
        export_module(module, family.latent_dim, tmp_path / "g.pt2", latent_shape=family.latent_shape)
    else:
        exported = crafted.exported(module, *shape, dynamic=form != "fixed")
        crafted.saved(crafted.decomposed(exported) if form == "decomposed" else exported, tmp_path / "g.pt2")
    # A constant made with the batch in its shape (`joined`), or a convolution with a group for every row (`modulated`),
    # keeps the literal one of a fixed batch.
    fixed = form == "fixed" and family.name in ("joined", "modulated")
    if (form == "decomposed" and not family.decomposes) or fixed:
        with pytest.raises(Refused):
            Generator.from_program(read_archive(tmp_path / "g.pt2"))
        return
    read = read_archive(tmp_path / "g.pt2")
    generator = Generator.from_program(read)
    found = verify(generator, read, read_probe(tmp_path / "g.probe.npz"), thorough=False)
    assert found.reference == ("probe" if form == "own" else "interpreter")
    assert found.forward_error < 1e-5
    assert found.jacobian_error < 1e-8


def test_a_saturated_head_is_no_failure(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    with torch.no_grad():
        module[0].bias.fill_(18.0)
    export_module(module, 4, tmp_path / "g.pt2")
    read = read_archive(tmp_path / "g.pt2")
    assert verify(Generator.from_program(read), read, None).jacobian_error < 1e-9


def test_a_probe_of_another_module_is_refused(program: Program, probe: Probe) -> None:
    generator = Generator.from_program(program)
    with torch.no_grad():
        outputs = crafted.small(seed=1)(probe.latents)
    with pytest.raises(Refused, match="outputs differ from the probe"):
        verify(generator, program, replace(probe, outputs=outputs))
    with pytest.raises(Refused, match="the probe holds latents of width 5"):
        verify(generator, program, replace(probe, latents=probe.latents[:, :5]))


def test_rows_that_depend_on_each_other_are_refused(tmp_path: Path) -> None:
    class Centred(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return latents - latents.mean(0, keepdim=True)

    read = read_archive(crafted.saved(crafted.exported(Centred(), 6), tmp_path / "g.pt2"))
    with pytest.raises(Refused) as refusal:
        verify(Generator.from_program(read), read, None)
    # The table of operations may refuse a mean over rows before any row is computed.
    assert refusal.value.reason in ("ROWS_MIXED", "UNSUPPORTED_OPERATION")


def test_wide_generators_are_verified_in_random_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Linear(140, 64), nn.ReLU(), nn.Linear(64, 32_000))
    export_module(module, 140, tmp_path / "g.pt2", outputs_probe=False)
    read = read_archive(tmp_path / "g.pt2")
    generator = Generator.from_program(read)
    found = verify(generator, read, None, thorough=True)
    assert found.forward_error <= FORWARD_TOLERANCE
    assert found.jacobian_error <= JACOBIAN_TOLERANCE
    _change(monkeypatch, tangents=lambda tensor: tensor * (1 + 1e-5))
    with pytest.raises(Refused, match="rows of the Jacobian"):
        verify(generator, read, None)


def test_damaged_probes_are_named(tmp_path: Path, program: Program, probe: Probe) -> None:
    path = tmp_path / "damaged.npz"
    path.write_bytes((tmp_path / "generator.probe.npz").read_bytes()[:-40])
    with pytest.raises(DamagedData, match=r"damaged\.npz"):
        read_probe(path)
    arrays = dict(np.load(tmp_path / "generator.probe.npz"))
    for change in (
        {"latents": np.array([["x"]], dtype=object)},
        {"latents": arrays["latents"].astype(np.float64)},
        {"latents": arrays["latents"][:5]},
        {"outputs": None},
        {"archive_sha256": arrays["archive_sha256"][:5]},
    ):
        changed = {name: array for name, array in {**arrays, **change}.items() if array is not None}
        np.savez(path, **changed)
        with pytest.raises(DamagedData, match=r"damaged\.npz"):
            read_probe(path)
    again = write_probe(path, tmp_path / "generator.pt2", probe.latents, probe.outputs, "module")
    assert again.archive_sha256 == probe.archive_sha256
    assert path.read_bytes() == (tmp_path / "generator.probe.npz").read_bytes()
