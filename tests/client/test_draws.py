"""Draws on the client's side: pictures, files, one-line descriptions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magnet.v1 import sampling_pb2
from magnet_client import Draw, InvalidInput, Resolved, ServerFault
from magnet_client.codec import decode_sample, to_tensor
from magnet_client.draw import Result
from magnet_client.pictures import decode_png, sheet


def header() -> sampling_pb2.DrawHeader:
    return sampling_pb2.DrawHeader(
        resolved=sampling_pb2.SampleRequest(generator="rings@1", count=3, offset=5, seed=9, rho=0.5, top_k=2),
        rho=0.5,
        det_rho=0.25,
        top_k=2,
        base="normal(dim=4)",
        method="RESAMPLE",
        diagnostics=sampling_pb2.Diagnostics(ess=123.4, khat=0.25, largest_weight=0.01, distinct=3),
        result=sampling_pb2.RESULT_OK,
        advice="fine",
        law_in_words="uniform in the top-2 volume",
    )


def draw(rows: sampling_pb2.Rows) -> Draw:
    return decode_sample(sampling_pb2.SampleResponse(header=header(), rows=rows))


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def test_a_draw_gives_what_its_header_says() -> None:
    got = draw(sampling_pb2.Rows(latents=to_tensor(np.zeros((3, 4), np.float32))))
    assert (got.rho, got.det_rho, got.top_k, got.seed, got.ess, got.khat) == (0.5, 0.25, 2, 9, 123.4, 0.25)
    assert (got.offset, len(got), got.result, got.advice) == (5, 3, Result.OK, "fine")
    assert got.images is None
    assert got.bank_rows is None
    assert got.resolved == Resolved(
        generator="rings@1", count=3, offset=5, seed=9, rho=0.5, top_k=2,
        latents=False, log_volumes=False, weights=False,
    )  # fmt: skip
    assert repr(got) == (
        "<Draw of 3 from rings@1: uniform in the top-2 volume; rho 0.5, k 2, output; images none; "
        "ESS 123, k-hat 0.25, OK>"
    )


def test_khat_is_none_where_it_was_not_sent() -> None:
    bare = header()
    bare.diagnostics.ClearField("khat")
    assert decode_sample(sampling_pb2.SampleResponse(header=bare)).khat is None


def test_a_verdict_that_is_unknown_is_a_fault() -> None:
    bare = header()
    bare.result = sampling_pb2.RESULT_UNSPECIFIED
    with pytest.raises(ServerFault):
        decode_sample(sampling_pb2.SampleResponse(header=bare))


@pytest.mark.parametrize("shape", [(28, 28), (5, 7, 3)])
def test_png_images_are_those_sent_as_uint8(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    got = draw(sampling_pb2.Rows(png=[png(image) for image in images]))
    assert len(got) == 3
    np.testing.assert_array_equal(got.images, images)


def test_a_damaged_png_is_a_fault_of_the_server() -> None:
    with pytest.raises(ServerFault):
        decode_png([b"no picture"])


def test_npz_holds_every_array_and_the_request(tmp_path: Path) -> None:
    images = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    volumes = np.array([0.5, -np.inf, 1.5])
    got = draw(sampling_pb2.Rows(images=to_tensor(images), log_volumes=to_tensor(volumes)))
    with np.load(got.save(tmp_path / "x.npz"), allow_pickle=False) as read:
        np.testing.assert_array_equal(read["images"], images)
        np.testing.assert_array_equal(read["log_volumes"], volumes)
        assert Resolved.from_json(str(read["resolved"])) == got.resolved
        assert set(read.files) == {"images", "log_volumes", "resolved"}


def test_a_sheet_holds_every_image_in_its_place(tmp_path: Path) -> None:
    images = np.full((5, 32, 32), 10, np.uint8) * np.arange(1, 6, dtype=np.uint8)[:, None, None]
    got = draw(sampling_pb2.Rows(images=to_tensor(images)))
    path = got.save(tmp_path / "x.png", columns=3)
    with Image.open(path) as opened:
        picture = np.asarray(opened)
    assert picture.shape == (2 * 66 + 2, 3 * 66 + 2)  # magnified twice, two pixels between
    for index in range(5):
        top, left = 2 + index // 3 * 66, 2 + index % 3 * 66
        assert (picture[top : top + 64, left : left + 64] == 10 * (index + 1)).all()
    assert (picture[68:, 134:] == 255).all()


@pytest.mark.parametrize(
    "shape", [(2, 1, 8, 8), (2, 8, 8), (2, 8, 8, 1), (2, 3, 8, 8), (2, 8, 8, 3), (2, 4, 8, 8), (2, 8, 8, 4)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_sheets_take_every_layout(shape: tuple[int, ...], dtype: type) -> None:
    picture = sheet(np.arange(np.prod(shape)).reshape(shape).astype(dtype))
    assert picture.mode == ("RGB" if 3 in shape else "RGBA" if 4 in shape else "L")


@pytest.mark.parametrize(("shape", "mode"), [((2, 1, 8, 4), "L"), ((2, 3, 8, 4), "RGB")])
def test_a_width_of_four_is_not_taken_for_a_channel_each(shape: tuple[int, ...], mode: str) -> None:
    assert sheet(np.zeros(shape, np.uint8)).mode == mode


def test_float_sheets_survive_what_is_not_finite() -> None:
    images = np.array([[[np.nan, np.inf], [-np.inf, 1.0]], [[0.0, 0.0], [0.0, 0.0]]], np.float32)
    assert np.asarray(sheet(images)).min() == 0


def test_what_cannot_be_saved_says_what_can(tmp_path: Path) -> None:
    vectors = draw(sampling_pb2.Rows(images=to_tensor(np.zeros((3, 2), np.float32))))
    bare = draw(sampling_pb2.Rows(latents=to_tensor(np.zeros((3, 4), np.float32))))
    images = draw(sampling_pb2.Rows(images=to_tensor(np.zeros((3, 4, 4), np.uint8))))
    for one, name, columns, says in [
        (vectors, "x.png", None, "npz"),
        (bare, "x.png", None, "images='uint8'"),
        (images, "x.jpg", None, ".png"),
        (images, "x.png", 0, "at least 1"),
    ]:
        with pytest.raises(InvalidInput, match=says):
            one.save(tmp_path / name, columns=columns)
    assert not list(tmp_path.iterdir())
