from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from magnet_service.errors import Cancelled, DamagedData, Refused
from magnet_service.generator import Generator
from magnet_service.sampling import Normal
from magnet_service.sampling.screening.features import features
from magnet_service.sampling.screening.surrogate import Surrogate, guessed, standardised
from tests.sampling.screening.surrogates import ENGINE, PRE_ACTIVATION, noise

PRIOR = Normal(3)
LATENTS = PRIOR.rows(8, 0, 300)


def scored(surrogate: Surrogate, net: Generator, latents: np.ndarray = LATENTS) -> np.ndarray:
    found = surrogate.scores(net, ENGINE, latents)
    return np.hstack([found.log_volumes, found.log_ranks])


def test_scores_are_the_mean_of_the_networks(net: Generator, learned: Surrogate) -> None:
    seen = features(net, torch.from_numpy(LATENTS), PRE_ACTIVATION).double().numpy()
    held = np.clip((seen[:, learned.kept] - learned.centre) / learned.scale, -6.0, 6.0)
    outputs = []
    for member in learned.members:
        parts, rows = [part.double().numpy() for part in member], held
        for place in range(0, len(parts), 2):
            rows = rows @ parts[place].T + parts[place + 1]
            if place + 2 < len(parts):
                rows = rows / (1.0 + np.exp(-rows))
        outputs.append(rows)
    mean = np.mean(outputs, axis=0)
    found = learned.scores(net, ENGINE, LATENTS)
    assert found.log_volumes == pytest.approx(mean[:, :3] * learned.log_scale + learned.log_centre, abs=1e-4)
    assert found.log_ranks == pytest.approx(np.log(1.0 / (1.0 + np.exp(-mean[:, 3:]))), abs=1e-5)
    assert found.tilt(-1.5, 2) == pytest.approx(-1.5 * found.log_volumes[:, 1] + found.log_ranks[:, 1])


def test_a_row_at_its_place_of_the_tile_has_the_same_bytes(net: Generator, learned: Surrogate) -> None:
    whole = scored(learned, net)
    assert (scored(learned, net, LATENTS[64:]) == whole[64:]).all()
    assert (scored(learned, net, LATENTS[128:131]) == whole[128:131]).all()
    others = np.concatenate([PRIOR.rows(9, 0, 60), LATENTS[60:]])
    assert (scored(learned, net, others)[60:] == whole[60:]).all()
    threads = replace(ENGINE, threads=2)
    assert (learned.scores(net, threads, LATENTS).log_volumes == whole[:, :3]).all()


def test_no_rows_have_no_scores(net: Generator, learned: Surrogate) -> None:
    assert learned.scores(net, ENGINE, LATENTS[:0]).log_volumes.shape == (0, 3)


def test_latents_far_away_get_a_finite_guess(net: Generator, learned: Surrogate) -> None:
    far = np.array([[1e6, -1e6, 1e6], [3e38, 3e38, -3e38]], np.float32)
    assert np.isfinite(scored(learned, net, far)).all()


def test_features_are_held_within_six_deviations() -> None:
    seen = torch.tensor([[1.0, 100.0, float("nan"), float("inf"), float("-inf")]])
    found = standardised(seen, torch.full((5,), 1.0), torch.full((5,), 2.0))
    assert found.tolist() == [[0.0, 6.0, 0.0, 6.0, -6.0]]


def test_one_network_by_hand() -> None:
    member = tuple(torch.tensor(part) for part in ([[2.0], [0.0]], [0.0, 1.0], [[1.0, 3.0]], [0.5]))
    silu = [2.0 / (1.0 + np.exp(-2.0)), 1.0 / (1.0 + np.exp(-1.0))]
    assert guessed(member, torch.ones(1, 1)).item() == pytest.approx(silu[0] + 3.0 * silu[1] + 0.5)


def test_it_comes_back_from_its_bytes(net: Generator, learned: Surrogate) -> None:
    data = learned.to_bytes()
    back = Surrogate.from_bytes(data)
    assert back.to_bytes() == data
    assert back.digest == learned.digest != noise(net, 3).digest
    assert (back.bank_id, back.revision, back.columns) == ("bank", 2500, 3)
    assert back.residual(2) == learned.residual(2)
    assert (scored(back, net) == scored(learned, net)).all()


def arrays_of(surrogate: Surrogate) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(surrogate.to_bytes())) as file:
        return dict(file)


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["empty", "cut", "flipped", "text", "pickle", "no members", "no origin", "list"])
def test_damaged_bytes_are_told(kind: str, learned: Surrogate) -> None:
    data, arrays = learned.to_bytes(), arrays_of(learned)
    middle = len(data) // 2
    listed = np.frombuffer(json.dumps(["origin"]).encode(), np.uint8)
    damaged = {
        "empty": b"",
        "cut": data[:middle],
        "flipped": data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :],
        "text": b"a surrogate",
        "pickle": b"\x80\x04K\x01.",
        "no members": packed({key: array for key, array in arrays.items() if not key.startswith("member")}),
        "no origin": packed({key: array for key, array in arrays.items() if key != "origin"}),
        "list": packed(arrays | {"origin": listed}),
    }
    with pytest.raises(DamagedData, match="this one is no surrogate"):
        Surrogate.from_bytes(damaged[kind], "this one")


def test_objects_are_never_unpickled(learned: Surrogate) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return pytest.fail, ("a pickle was read",)

    objects = np.array([Trap()], dtype=object)
    with pytest.raises(DamagedData):
        Surrogate.from_bytes(packed(arrays_of(learned) | {"centre": objects}))


def test_features_of_another_version_are_refused(learned: Surrogate) -> None:
    old = replace(learned, origin=learned.origin | {"features": "0"})
    with pytest.raises(Refused, match="features of version 0") as caught:
        Surrogate.from_bytes(old.to_bytes())
    assert caught.value.reason == "OTHER_ENGINE"


def test_a_k_beyond_it_is_refused(learned: Surrogate) -> None:
    learned.check_top_k(3)
    with pytest.raises(Refused, match="top_k 3 or less") as caught:
        learned.check_top_k(4)
    assert (caught.value.reason, caught.value.field) == ("NO_SURROGATE", "top_k")


def test_scoring_stops_when_told(net: Generator, learned: Surrogate) -> None:
    with pytest.raises(Cancelled):
        learned.scores(net, ENGINE, LATENTS, lambda: True)
