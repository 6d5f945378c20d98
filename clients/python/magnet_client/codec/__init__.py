"""The pure half of the clients: arguments to messages, messages to results, statuses to errors; nothing is sent."""

from __future__ import annotations

from google.longrunning.operations_pb2 import Operation

from magnet_client.codec.advice import advise_request, decode_advice
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
from magnet_client.codec.distances import decode_distances, distances_request
from magnet_client.codec.generators import (
    decode_generated,
    decode_generator,
    decode_summary,
    decode_volumes,
    generate_request,
    generator_request,
    volume_request,
)
from magnet_client.codec.neighbourhoods import (
    complexity_request,
    decode_complexity,
    decode_log_density,
    log_density_request,
)
from magnet_client.codec.regions import (
    affine_rows_request,
    decode_affine_rows,
    decode_hamming,
    decode_nearest,
    decode_patterns,
    decode_region,
    hamming_request,
    nearest_request,
    patterns_request,
    region_request,
)
from magnet_client.codec.sampling import (
    decode_chunk,
    decode_header,
    decode_resolved,
    decode_sample,
    sample_request,
)
from magnet_client.codec.scalars import bank_id
from magnet_client.codec.slices import (
    SliceAssembly,
    decode_hyperplane_density,
    hyperplane_density_request,
    slice_request,
)
from magnet_client.codec.status import error_from_call, error_from_status
from magnet_client.codec.tensors import from_tensor, latents_to_tensor, to_tensor

__all__ = [
    "Operation",
    "SliceAssembly",
    "advise_request",
    "affine_rows_request",
    "bank_id",
    "build_request",
    "complexity_request",
    "decode_advice",
    "decode_affine_rows",
    "decode_bank",
    "decode_banks",
    "decode_chunk",
    "decode_complexity",
    "decode_distances",
    "decode_generated",
    "decode_generator",
    "decode_hamming",
    "decode_header",
    "decode_hyperplane_density",
    "decode_log_density",
    "decode_nearest",
    "decode_outcome",
    "decode_patterns",
    "decode_polarity",
    "decode_progress",
    "decode_region",
    "decode_resolved",
    "decode_rows",
    "decode_sample",
    "decode_summary",
    "decode_volumes",
    "distances_request",
    "error_from_call",
    "error_from_status",
    "from_tensor",
    "generate_request",
    "generator_request",
    "hamming_request",
    "hyperplane_density_request",
    "latents_to_tensor",
    "log_density_request",
    "nearest_request",
    "patterns_request",
    "plain_condition",
    "polarity_request",
    "read_request",
    "region_request",
    "sample_request",
    "slice_request",
    "to_tensor",
    "volume_request",
]
