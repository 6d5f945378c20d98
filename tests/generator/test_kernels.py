"""The product and the sub-pixel form against torch's own layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from magnet_service.generator import Generator, Precision
from magnet_service.generator.operations.kernels import product


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5), (1, 1, 5), (0, 5)])
def test_the_product_is_a_linear_layer(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    source = torch.Generator().manual_seed(1)
    value = torch.randn(shape, generator=source).to(dtype)
    weight, bias = torch.randn(6, 5, generator=source).to(dtype), torch.randn(6, generator=source).to(dtype)
    near = {"rtol": 1e-5, "atol": 1e-5} if dtype != torch.bfloat16 else {"rtol": 0.02, "atol": 0.05}
    torch.testing.assert_close(product(value, weight, bias), functional.linear(value, weight, bias), **near)
    turned = weight.t().contiguous().t()
    torch.testing.assert_close(product(value, turned), functional.linear(value, weight), **near)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("kernel", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_transposed_convolutions_with_few_outputs(stride: int, kernel: int, padding: int, bias: bool) -> None:
    torch.manual_seed(stride * 100 + kernel * 10 + padding)
    layer = nn.ConvTranspose2d(3, 2, kernel, stride, padding, bias=bias).double().eval()
    module = nn.Sequential(nn.Unflatten(1, (3, 3, 4)), layer)
    generator = Generator.from_module(module, 36).to(precision=Precision.FLOAT64)
    assert any("phases" in constants for constants in generator.constants)
    latents = torch.randn(5, 36, dtype=torch.float64)
    torch.testing.assert_close(generator.forward(latents), module(latents).detach(), rtol=1e-12, atol=1e-12)
    _, tangents = generator.push(latents[:1])
    expected = torch.func.jacrev(lambda z: module(z[None]).flatten())(latents[0]).detach()
    torch.testing.assert_close(tangents[0].T, expected, rtol=1e-12, atol=1e-12)


def test_an_output_padding_is_left_to_torch() -> None:
    layer = nn.ConvTranspose2d(3, 2, 3, 2, 1, output_padding=1).eval()
    generator = Generator.from_module(nn.Sequential(nn.Unflatten(1, (3, 3, 4)), layer), 36)
    assert not any("phases" in constants for constants in generator.constants)
