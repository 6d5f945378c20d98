"""One servicer a service: decode, check, call, encode."""

from __future__ import annotations

from magnet_service.rpc.servicers.bank import BankServicer
from magnet_service.rpc.servicers.generator import GeneratorServicer
from magnet_service.rpc.servicers.geometry import GeometryServicer
from magnet_service.rpc.servicers.operations import OperationsServicer
from magnet_service.rpc.servicers.sampling import SamplingServicer

__all__ = ["BankServicer", "GeneratorServicer", "GeometryServicer", "OperationsServicer", "SamplingServicer"]
