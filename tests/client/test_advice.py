"""`advise` of both clients, and its picture."""

from __future__ import annotations

import asyncio
import io
import math
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magnet.v1 import bank_pb2
from magnet_client import Advice, AsyncClient, BankInfo, Client, InvalidInput, Refused, Result
from magnet_client.codec.advice import decode_advice
from magnet_client.errors import ServerFault


@pytest.fixture(scope="module")
def advice(client: Client, bank: BankInfo) -> Advice:
    return client.advise("toy", bank=bank.bank_id)


def test_cells_are_those_of_the_grid(client: Client, bank: BankInfo, advice: Advice) -> None:
    grid = client.describe_polarity("toy", bank=bank.bank_id)
    assert (advice.rhos, advice.top_ks, advice.advice) == (grid.rhos, grid.top_ks, grid.advice)
    assert (advice.bank_id, advice.bank_revision, advice.base) == (grid.bank_id, grid.bank_revision, grid.base)
    for cell in grid.cells:
        more = advice.cell(cell.rho, cell.top_k)
        assert (more.ess, more.khat, more.largest_weight, more.low_rank_share) == (
            cell.ess, cell.khat, cell.largest_weight, cell.low_rank_share,
        )  # fmt: skip
        assert more.supported == (more.need == "none")
        assert [one.method for one in more.methods] == ["RESAMPLE"]
    assert {cell.need for cell in advice.cells} >= {"none", "rows"}
    assert [one.top_k for one in advice.ranges] == list(advice.top_ks)
    with pytest.raises(InvalidInput, match="no cell") as caught:
        advice.cell(0.123, 1)
    assert caught.value.field == "rho"


def test_presets_are_those_of_draws(client: Client, bank: BankInfo, advice: Advice) -> None:
    assert [one.preset for one in advice.presets] == ["as_trained", "uniform", "mode", "anti_mode"]
    for one in advice.presets:
        drawn = client.sample("toy", 1, preset=one.preset, bank=None if one.bank is None else bank.bank_id)
        assert (one.rho, one.top_k, one.base, one.law) == (drawn.rho, drawn.top_k, drawn.base, drawn.law)
        assert one.result in Result
        assert one.bank in (None, bank.bank_id)


def test_promises_of_screening_are_those_of_draws(client: Client) -> None:
    bank = client.build_bank("toy", 2048, seed=91)
    before = client.advise("toy", [-2.0, 0.0, 3.0], [1, 4], bank=bank.bank_id)
    assert {one.method for cell in before.cells for one in cell.methods} == {"RESAMPLE"}
    drawn = client.sample("toy", 1, rho=3.0, top_k=4, method="screened", bank=bank.bank_id, seed=1)
    after = client.advise("toy", [-2.0, 0.0, 3.0], [1, 4], bank=bank.bank_id)
    for cell in after.cells:
        screened = [one for one in cell.methods if one.method != "RESAMPLE"]
        assert bool(screened) == (cell.rho != 0.0)
        assert all((one.evaluations, one.khat) == (4000, None) for one in screened)
    (promised,) = [one.ess for one in after.cell(3.0, 4).methods if one.method == "SCREENED"]
    assert drawn.header.screening is not None
    assert promised == pytest.approx(drawn.header.screening.promised_ess, rel=1e-9)
    client.delete_bank(bank.bank_id)


def test_advice_is_frozen_and_both_clients_agree(address: str, bank: BankInfo, advice: Advice) -> None:
    with pytest.raises(FrozenInstanceError):
        advice.base = "other"  # type: ignore[misc]

    async def asked() -> Advice:
        async with AsyncClient(address) as other:
            return await other.advise("toy", bank=bank.bank_id)

    assert asyncio.run(asked()) == advice
    with Client(address) as client:
        squares = client.advise("toy", [1.0], [2], bank=bank.bank_id, effective_rank="squares").spectrum
    assert squares.effective_rank_mean < advice.spectrum.effective_rank_mean
    assert (squares.definition, advice.spectrum.definition) == ("squares", "singular_values")


def test_misuse_is_told_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(InvalidInput, match="'squares'") as caught:
        client.advise("toy", effective_rank="entropy")  # type: ignore[arg-type]
    assert caught.value.field == "effective_rank"


def test_an_older_server_is_told_apart() -> None:
    with pytest.raises(ServerFault, match="older"):
        decode_advice(bank_pb2.DescribePolarityResponse(bank_id="0" * 16))
    newer = bank_pb2.DescribePolarityResponse(spectrum=bank_pb2.Spectrum(), cells=[bank_pb2.PolarityCell(rho=1)])
    with pytest.raises(ServerFault, match="different versions"):
        decode_advice(newer)


def test_the_picture_is_a_png_of_the_size_asked_for(advice: Advice, tmp_path: Path) -> None:
    with Image.open(io.BytesIO(advice._repr_png_())) as shown:
        assert (shown.format, shown.size) == ("PNG", (1250, 750))
    advice.render(tmp_path / "advice.png", width=10.0, dpi=60.0)
    with Image.open(tmp_path / "advice.png") as written:
        assert (written.format, written.size) == ("PNG", (600, 360))
    for name in ("one.png", "other.png"):
        advice.render(tmp_path / name, dpi=50.0)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
    advice.render(tmp_path / "advice.svg")
    assert (tmp_path / "advice.svg").read_text().startswith("<?xml")
    with pytest.raises(InvalidInput, match=r"\.png") as caught:
        advice.render(tmp_path / "advice.jpg")
    assert caught.value.field == "path"


def test_the_picture_shows_every_cell_and_outlines_those_supported(advice: Advice) -> None:
    figure = advice.render()
    (axes,) = [one for one in figure.axes if one.get_images()]
    shown = axes.get_images()[0].get_array()
    ess = np.array([[advice.cell(rho, k).ess for k in advice.top_ks] for rho in advice.rhos])
    np.testing.assert_allclose(shown, np.log10(ess))
    lines = next(one for one in axes.collections if type(one).__name__ == "LineCollection")
    inside = np.array([[advice.cell(rho, k).supported for k in advice.top_ks] for rho in advice.rhos])
    padded = np.pad(inside, 1)
    expected = sum(int((padded != np.roll(padded, 1, axis)).sum()) for axis in (0, 1))
    assert len(lines.get_segments()) == expected
    hatched = next(one for one in axes.collections if type(one).__name__ == "PatchCollection")
    heavy = sum(cell.khat is not None and cell.khat >= 0.7 for cell in advice.cells)
    assert len(hatched.get_paths()) == heavy
    (box,) = [one for one in axes.figure.legends if "as_trained" in one.get_texts()[0].get_text()]
    texts = [text.get_text() for text in box.get_texts()]
    assert [text.split(":")[0] for text in texts] == ["as_trained", "uniform", "mode", "anti_mode"]


def test_no_label_of_the_picture_is_cut_off(advice: Advice) -> None:
    for width in (9.0, 14.0):
        figure = advice.render(width=width)
        figure.draw_without_rendering()
        inside = figure.get_tightbbox()
        assert min(inside.x0, inside.y0) >= 0
        assert inside.x1 <= figure.get_figwidth()
        assert inside.y1 <= figure.get_figheight()


def test_presets_refused_and_figures_that_are_not_there_are_drawn_too(client: Client, bank: BankInfo) -> None:
    found = client.advise("toy", [0.5, -30.0], [3, 1], bank=bank.bank_id)
    nothing = (math.nan,) * 4
    bare = replace(
        found,
        generator="",
        spectrum=replace(found.spectrum, log_volume_sd=nothing, log_sigma_mean=nothing, rank_share=(0.0,) * 4),
        presets=tuple(replace(one, problem="no bank", command="magnet bank build toy@1") for one in found.presets),
    )
    bare.render(dpi=40.0).draw_without_rendering()
    legends = [text.get_text() for part in bare.render().subfigs for one in part.legends for text in one.get_texts()]
    assert "mode: refused; magnet bank build toy@1" in legends


def test_without_matplotlib_the_way_to_it_is_said(advice: Advice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(Refused, match=r"pip install 'magnet-service\[pictures\]'"):
        advice.render()
