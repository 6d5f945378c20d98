from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from magnet_service.errors import InvalidInput
from magnet_service.sampling import Stream, uniforms

SEEDS = st.integers(0, 2**64 - 1)


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox-4x64 with ten rounds as its paper writes it, in Python integers."""
    size = 2**64
    c = [counter >> (64 * i) & (size - 1) for i in range(4)]
    k = list(key)
    for turn in range(10):
        if turn:
            k = [(k[0] + 0x9E3779B97F4A7C15) % size, (k[1] + 0xBB67AE8584CAA73B) % size]
        p, q = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(q >> 64) ^ c[1] ^ k[0], q % size, (p >> 64) ^ c[3] ^ k[1], p % size]
    return c


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(Stream), st.integers(0, 2**63 - 100), st.integers(1, 9))
def test_words_are_philox_of_key_and_row(seed: int, stream: Stream, row: int, words: int) -> None:
    blocks = -(-words // 4)
    raw = [word for block in range(blocks) for word in philox(row * blocks + block, (seed, int(stream)))]
    expected = [((word >> 12) + 0.5) / 2**52 for word in raw[:words]]
    assert uniforms(seed, stream, row, 1, words)[0].tolist() == expected


@settings(max_examples=40)
@given(SEEDS, st.integers(0, 2**40), st.integers(0, 20), st.integers(0, 20), st.integers(1, 30))
def test_a_page_is_a_part_of_the_longer_one(seed: int, start: int, skip: int, rows: int, words: int) -> None:
    longer = uniforms(seed, Stream.LATENTS, start, skip + rows, words)
    assert (uniforms(seed, Stream.LATENTS, start + skip, rows, words) == longer[skip:]).all()


def test_streams_and_seeds_are_unrelated() -> None:
    pages = [uniforms(seed, stream, 0, 2000, 1)[:, 0] for seed in (0, 1) for stream in Stream]
    correlation = np.corrcoef(pages) - np.eye(len(pages))
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)


def test_numbers_are_uniform_and_inside_the_open_interval() -> None:
    page = uniforms(3, Stream.RESAMPLE, 0, 50_000, 3)
    assert page.min() > 0.0
    assert page.max() < 1.0
    assert (2**52 - 1 + 0.5) / 2**52 < 1.0
    assert stats.kstest(page.reshape(-1), "uniform").pvalue > 0.001


@pytest.mark.parametrize("seed", [-1, 2**64, True])
def test_other_seeds_are_refused(seed: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        uniforms(seed, Stream.LATENTS, 0, 1, 1)
    assert caught.value.field == "seed"


@pytest.mark.parametrize(("start", "rows", "words"), [(-1, 1, 1), (2**63 + 1, 1, 1), (0, -1, 1), (0, 1, 0)])
def test_other_pages_are_refused(start: int, rows: int, words: int) -> None:
    with pytest.raises(InvalidInput):
        uniforms(0, Stream.LATENTS, start, rows, words)
