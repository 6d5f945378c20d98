"""Which device a server computes on."""

from __future__ import annotations

import torch

from magnet_service.errors import InvalidInput

__all__ = ["device_found"]


def device_found(device: str) -> str:
    """The device of a setting, for `auto` the first GPU if there is one; InvalidInput (`device`) for one not there."""
    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    index = torch.device(device).index or 0
    count = torch.cuda.device_count()
    if index >= count:
        raise InvalidInput(
            f"device is {device!r}, but torch finds {count} CUDA devices here; write cpu or auto.", field="device"
        )
    return f"cuda:{index}"
