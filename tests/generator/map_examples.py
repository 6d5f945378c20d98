"""Examples of the operators that work on feature maps: convolutions, pooling, resampling."""

from __future__ import annotations

from magnet_service.generator.program import Argument, Constant
from tests.generator.example import Example, draw, one

__all__ = ["convolutions", "pooling", "resampling"]

MAP, SIGNAL, VOLUME = (2, 5, 6), (2, 7), (2, 3, 4, 3)
W, B = Constant("w"), Constant("b")


def convolutions() -> list[Example]:
    found = []
    for dims, shape in ((1, SIGNAL), (2, MAP), (3, VOLUME)):
        ones, kernel = (1,) * dims, (3, 2, 2)[:dims]
        step = (2, 1, 1)[:dims]
        plain = {"w": draw(4, 1, *kernel), "b": draw(4)}
        turned = {"w": draw(2, 3, *kernel), "b": draw(6)}
        shared: dict[str, Argument] = {
            "weight": W,
            "bias": B,
            "stride": step,
            "padding": ones,
            "dilation": ones,
            "groups": 2,
        }
        found += [
            one(f"conv{dims}d.default", shape, plain, first="input", **shared),
            one(f"conv{dims}d.padding", shape, {"w": draw(4, 2, *kernel)}, first="input", weight=W, padding="same"),
            one(
                f"conv_transpose{dims}d.{'default' if dims == 1 else 'input'}",
                shape,
                turned,
                first="input",
                **shared,
                output_padding=tuple(value - 1 for value in step),
            ),
        ]
    full: dict[str, Argument] = {
        "weight": W,
        "bias": B,
        "stride": (2, 1),
        "padding": (1, 0),
        "dilation": (1, 2),
        "transposed": True,
        "output_padding": (1, 0),
        "groups": 2,
    }
    constants = {"w": draw(2, 3, 3, 2), "b": draw(6)}
    flags: dict[str, Argument] = {"benchmark": False, "deterministic": False, "cudnn_enabled": True, "allow_tf32": True}
    found.append(one("convolution.default", MAP, constants, first="input", **full))
    found.append(one("_convolution.default", MAP, constants, first="input", **full, **flags))
    return found


def pooling() -> list[Example]:
    found = []
    for dims, shape in ((1, SIGNAL), (2, MAP), (3, VOLUME)):
        kernel = (3, 2, 2)[:dims]
        shared: dict[str, Argument] = {"kernel_size": kernel, "stride": (2, 1, 1)[:dims], "padding": (1,) * dims}
        found += [
            one(f"avg_pool{dims}d.default", shape, **shared, ceil_mode=True, count_include_pad=False),
            one(f"max_pool{dims}d.default", shape, **shared, dilation=(1,) * dims, ceil_mode=True),
            one(f"max_pool{dims}d_with_indices.default", shape, None, ("out", "places"), **shared),
        ]
    return [
        *found,
        one("adaptive_avg_pool1d.default", SIGNAL, output_size=(3,)),
        one("adaptive_avg_pool2d.default", MAP, output_size=(3, 2)),
        one("_adaptive_avg_pool2d.default", MAP, output_size=(2, 4)),
        one("mean.dim", MAP, dim=(-1, 1), keepdim=True),
        one("sum.dim_IntList", MAP, dim=(2,), keepdim=False),
    ]


def resampling() -> list[Example]:
    found = []
    for name, shape, scales in (
        ("upsample_nearest1d", SIGNAL, ("scales",)),
        ("upsample_nearest2d", MAP, ("scales_h", "scales_w")),
        ("upsample_nearest3d", VOLUME, ("scales_d", "scales_h", "scales_w")),
        ("_upsample_nearest_exact1d", SIGNAL, ("scales",)),
        ("_upsample_nearest_exact2d", MAP, ("scales_h", "scales_w")),
        ("upsample_linear1d", SIGNAL, ("scales",)),
        ("upsample_bilinear2d", MAP, ("scales_h", "scales_w")),
        ("upsample_trilinear3d", VOLUME, ("scales_d", "scales_h", "scales_w")),
        ("upsample_bicubic2d", MAP, ("scales_h", "scales_w")),
    ):
        factors = (1.7, 2.4, 1.5)[: len(scales)]
        size = tuple(int(extent * factor) for extent, factor in zip(shape[1:], factors, strict=True))
        align: dict[str, Argument] = {} if "nearest" in name else {"align_corners": len(scales) == 2}
        found.append(one(f"{name}.vec", shape, first="input", output_size=None, scale_factors=factors, **align))
        found.append(
            one(f"{name}.default", shape, output_size=size, **align, **dict(zip(scales, factors, strict=True)))
        )
    return [
        *found,
        one("pad.default", MAP, pad=(1, 2, 0, 1), mode="circular"),
        one("constant_pad_nd.default", MAP, pad=(1, 2, -1, 1, 1, 0), value=0.7),
        one("reflection_pad1d.default", SIGNAL, padding=(2, 1)),
        one("reflection_pad2d.default", MAP, padding=(2, 1, 0, 3)),
        one("replication_pad1d.default", SIGNAL, padding=(2, 1)),
        one("replication_pad2d.default", MAP, padding=(2, 1, 0, 3)),
    ]
