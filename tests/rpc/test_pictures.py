"""Outputs as bytes and as PNG files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from magnet_service.errors import InvalidInput
from magnet_service.generator import GeneratorCard
from magnet_service.rpc.pictures import png_bytes, png_files, to_bytes


def card(layout: str, low: float = -1.0, high: float = 1.0) -> GeneratorCard:
    return GeneratorCard(name="one", latent_dim=2, layout=layout, value_range=(low, high))


@pytest.mark.parametrize(
    ("layout", "shape", "expected"),
    [
        ("HW", (2, 4, 5), (2, 4, 5)),
        ("HW", (2, 1, 4, 5), (2, 4, 5)),
        ("CHW", (2, 1, 4, 5), (2, 4, 5)),
        ("CHW", (2, 3, 4, 5), (2, 4, 5, 3)),
        ("HWC", (2, 4, 5, 3), (2, 4, 5, 3)),
        ("HWC", (2, 4, 5, 1), (2, 4, 5)),
        ("vector", (2, 7), (2, 7)),
    ],
)
def test_channels_come_last_and_single_ones_go(layout: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert to_bytes(np.zeros(shape, np.float32), card(layout)).shape == expected


def test_the_range_is_mapped_and_held() -> None:
    values = np.array([[0.0, 0.5, 1.0, -3.0, 9.0, np.nan, np.inf, -np.inf]], np.float32)
    assert to_bytes(values, card("vector", 0.0, 1.0)).tolist() == [[0, 128, 255, 0, 255, 0, 255, 0]]


@pytest.mark.parametrize(("layout", "shape"), [("HW", (3, 1, 5, 4)), ("CHW", (3, 3, 5, 4)), ("HWC", (3, 5, 4, 4))])
def test_png_is_lossless_and_the_same_each_time(layout: str, shape: tuple[int, ...]) -> None:
    values = np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)
    pixels = to_bytes(values, card(layout))
    files = png_files(pixels, card(layout))
    assert files == png_files(pixels, card(layout))
    for file, row in zip(files, pixels, strict=True):
        assert (np.asarray(Image.open(io.BytesIO(file))) == row).all()


@pytest.mark.parametrize(("layout", "shape"), [("vector", (3, 9)), ("CHW", (3, 2, 5, 4)), ("CHW", (3, 7, 5, 4))])
def test_png_of_what_is_no_picture(layout: str, shape: tuple[int, ...]) -> None:
    pixels = to_bytes(np.zeros(shape, np.float32), card(layout))
    with pytest.raises(InvalidInput, match="IMAGES_FLOAT32") as caught:
        png_files(pixels, card(layout))
    assert caught.value.field == "outputs.images"


@pytest.mark.parametrize(
    ("layout", "shape"), [("CHW", (3, 512, 512)), ("HWC", (512, 512, 3)), ("HW", (1024, 1024)), ("HW", (900, 1))]
)
def test_no_file_is_larger_than_said(layout: str, shape: tuple[int, ...]) -> None:
    noise = np.random.RandomState(0).uniform(-1, 1, (1, *shape)).astype(np.float32)
    [file] = png_files(to_bytes(noise, card(layout)), card(layout))
    assert len(file) <= png_bytes(shape, card(layout)) < len(file) + 2500
