"""The pure half of the clients: arguments to messages, messages to results, statuses to errors; nothing is sent."""

from __future__ import annotations

from google.longrunning.operations_pb2 import Operation

from magnet_client.codec.banks import (
    build_request,
    decode_bank,
    decode_banks,
    decode_outcome,
    decode_polarity,
    decode_progress,
    decode_rows,
    polarity_request,
    read_request,
)
from magnet_client.codec.conditions import plain_condition
from magnet_client.codec.generators import (
    decode_generated,
    decode_generator,
    decode_summary,
    decode_volumes,
    generate_request,
    generator_request,
    volume_request,
)
from magnet_client.codec.sampling import (
    decode_chunk,
    decode_header,
    decode_resolved,
    decode_sample,
    sample_request,
)
from magnet_client.codec.scalars import bank_id
from magnet_client.codec.slices import SliceAssembly, decode_density, density_request, slice_request
from magnet_client.codec.status import error_from_call, error_from_status
from magnet_client.codec.tensors import from_tensor, latents_to_tensor, to_tensor

__all__ = [
    "Operation",
    "SliceAssembly",
    "bank_id",
    "build_request",
    "decode_bank",
    "decode_banks",
    "decode_chunk",
    "decode_density",
    "decode_generated",
    "decode_generator",
    "decode_header",
    "decode_outcome",
    "decode_polarity",
    "decode_progress",
    "decode_resolved",
    "decode_rows",
    "decode_sample",
    "decode_summary",
    "decode_volumes",
    "density_request",
    "error_from_call",
    "error_from_status",
    "from_tensor",
    "generate_request",
    "generator_request",
    "latents_to_tensor",
    "plain_condition",
    "polarity_request",
    "read_request",
    "sample_request",
    "slice_request",
    "to_tensor",
    "volume_request",
]
