"""Arrays on the wire."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from magnet.v1 import types_pb2
from magnet_client import InvalidInput, ServerFault
from magnet_client.codec import from_tensor, latents_to_tensor, to_tensor

DTYPES = ["u1", "<f4", ">f4", "<f8", ">f8", "<i4", "<i8", ">i8"]


# Threads of servers of other tests may draw random numbers meanwhile, which is taken for the strategy's doing.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@given(st.sampled_from(DTYPES).flatmap(lambda d: arrays.arrays(d, arrays.array_shapes(min_dims=1, min_side=0))))
def test_arrays_come_back_equal_writable_and_in_native_order(array: np.ndarray) -> None:
    back = from_tensor(types_pb2.Tensor.FromString(to_tensor(array).SerializeToString()))
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_bytes_are_little_endian_and_row_major() -> None:
    tensor = to_tensor(np.array([[1, 2], [3, 4]], ">i4").T)
    assert list(tensor.shape) == [2, 2]
    assert tensor.data == b"\1\0\0\0\3\0\0\0\2\0\0\0\4\0\0\0"


def test_an_array_that_has_no_type_on_the_wire_is_refused() -> None:
    with pytest.raises(InvalidInput, match="complex128"):
        to_tensor(np.zeros(3, np.complex128))


@pytest.mark.parametrize(
    "tensor",
    [
        types_pb2.Tensor(type=types_pb2.Tensor.TYPE_FLOAT32, shape=[3], data=b"1234"),
        types_pb2.Tensor(type=types_pb2.Tensor.TYPE_UNSPECIFIED, shape=[4], data=b"1234"),
        types_pb2.Tensor(type=types_pb2.Tensor.TYPE_UINT8, shape=[-2, -2], data=b"1234"),
    ],
)
def test_a_malformed_answer_is_a_fault_of_the_server(tensor: types_pb2.Tensor) -> None:
    with pytest.raises(ServerFault, match="do not belong together"):
        from_tensor(tensor)


def test_latents_keep_float32_and_become_float64_otherwise() -> None:
    assert latents_to_tensor(np.zeros((2, 3), np.float32)).type == types_pb2.Tensor.TYPE_FLOAT32
    assert latents_to_tensor([[0, 1], [2, 3]]).type == types_pb2.Tensor.TYPE_FLOAT64
    np.testing.assert_array_equal(from_tensor(latents_to_tensor([[0, 1], [2, 3]])), [[0, 1], [2, 3]])


@pytest.mark.parametrize(
    ("latents", "says"),
    [
        ([1.0, 2.0], r"\[rows, d\]"),
        ([[1.0, 2.0], [3.0]], r"\[rows, d\]"),
        ([["a", "b"]], "real numbers"),
        ([[1j]], "real numbers"),
        ([[0.0], [float("nan")]], "row 1"),
        ([[float("inf")]], "row 0"),
    ],
)
def test_latents_that_cannot_be_are_refused_before_sending(latents: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        latents_to_tensor(latents)
    assert caught.value.field == "latents"
