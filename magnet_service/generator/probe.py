"""A probe: a few latents with the outputs that the original module gave, kept in a file beside its archive."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.errors import DamagedData

__all__ = ["Probe", "ProbeSource", "probe_beside", "probe_latents", "read_probe", "write_probe"]

ProbeSource = Literal["module", "interpreter", "onnxruntime"]

_ARRAYS = ("archive_sha256", "from_module", "latents", "outputs")
_CONDITIONS = (torch.float32, torch.int64)
_SEED = 20240809
_MAX_BYTES = 1 << 30
_DAMAGES = (zipfile.BadZipFile, OSError, ValueError, EOFError, KeyError, RuntimeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Probe:
    """Latents and the outputs to expect.

    Attributes:
        latents: float32 [rows, d].
        outputs: float32 [rows, *output_shape].
        source: who computed the outputs: the original module in Python, the reference interpreter, or onnxruntime.
        archive_sha256: hex digest of the archive it belongs to.
        conditions: of each row, as the program takes it [rows, ...]; None for an unconditional generator.
    """

    latents: Float[Tensor, "rows latent"]
    outputs: Float[Tensor, "rows ..."]
    source: ProbeSource
    archive_sha256: str
    conditions: Tensor | None = None

    def belongs_to(self, archive: Path) -> bool:
        """Return whether `archive` is the very file that this probe was written for."""
        return hashlib.sha256(archive.read_bytes()).hexdigest() == self.archive_sha256


def probe_latents(latent_dim: int, rows: int = 64) -> Float[Tensor, "rows latent"]:
    """Return the latents that probes are made of: standard normal, float32, the same on every call.

    Arguments:
        latent_dim: d.
        rows: how many.

    Returns:
        [rows, d].

    Raises:
        nothing.

    Accuracy: exact.
    """
    return torch.randn(rows, latent_dim, generator=torch.Generator().manual_seed(_SEED))


def probe_beside(archive: Path) -> Path:
    """Return where the probe of an exported archive lies: `a.probe.npz` beside `a.pt2`.

    Arguments:
        archive: the file.

    Returns:
        The path, whether or not there is such a file.

    Raises:
        nothing.

    Accuracy: exact.
    """
    return archive.with_name(f"{archive.stem}.probe.npz")


def write_probe(
    path: Path, archive: Path, latents: Tensor, outputs: Tensor, source: ProbeSource, conditions: Tensor | None = None
) -> Probe:
    """Write a probe and return it.

    Arguments:
        path: the file to write: `probe_beside(archive)`, or `probe.npz` in the folder of a version.
        archive: the archive that it belongs to, already written.
        latents: [rows, d].
        outputs: [rows, *output_shape].
        source: who computed the outputs.
        conditions: of each row [rows, ...]; None for an unconditional generator.

    Returns:
        The probe.

    Raises:
        OSError: a file cannot be read or written.

    Accuracy: float32.
    """
    digest = hashlib.sha256(archive.read_bytes()).digest()
    probe = Probe(latents.float(), outputs.float(), source, digest.hex(), conditions)
    np.savez(
        path,
        allow_pickle=False,
        archive_sha256=np.frombuffer(digest, dtype=np.uint8),
        from_module=np.array(source == "module"),
        from_onnxruntime=np.array(source == "onnxruntime"),
        latents=probe.latents.numpy(),
        outputs=probe.outputs.numpy(),
        **({} if conditions is None else {"conditions": conditions.numpy()}),
    )
    return probe


def read_probe(path: Path) -> Probe | None:
    """Read a probe; no array of objects, hence no pickle, is ever taken.

    Arguments:
        path: the file.

    Returns:
        The probe, or None where there is no such file.

    Raises:
        DamagedData: the file is not what `write_probe` writes.

    Accuracy: exact.
    """
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _read_array(archive, name) for name in _ARRAYS}
            written = "from_onnxruntime.npy" in archive.namelist()  # older probes are without
            conditional = "conditions.npy" in archive.namelist()
            conditions = torch.from_numpy(_read_array(archive, "conditions")) if conditional else None
            from_onnxruntime = written and bool(_read_array(archive, "from_onnxruntime"))
        latents, outputs = (torch.from_numpy(arrays[name]) for name in ("latents", "outputs"))
        digest = arrays["archive_sha256"].astype(np.uint8, casting="no").tobytes()
        from_module = bool(arrays["from_module"])
    except _DAMAGES as error:
        raise DamagedData(f"{path} is not readable as a probe ({error}); delete it or export again.") from error
    if latents.dtype != torch.float32 or outputs.dtype != torch.float32 or latents.ndim != 2:
        raise DamagedData(f"{path} holds arrays of another dtype or rank than a probe; delete it or export again.")
    if len(latents) != len(outputs) or len(latents) == 0 or len(digest) != 32:
        raise DamagedData(f"{path} holds {len(latents)} latents and {len(outputs)} outputs; delete it or export again.")
    if conditions is not None and (len(conditions) != len(latents) or conditions.dtype not in _CONDITIONS):
        raise DamagedData(f"{path} holds {len(conditions)} conditions of {len(latents)} latents; export again.")
    source: ProbeSource = "module" if from_module else "onnxruntime" if from_onnxruntime else "interpreter"
    return Probe(latents, outputs, source, digest.hex(), conditions)


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > _MAX_BYTES:
        raise ValueError(f"{name} is larger than {_MAX_BYTES} bytes")
    data = io.BytesIO(archive.read(member))
    # The shape in a header may promise more than the bytes hold: compare before anything is allocated.
    if np.lib.format.read_magic(data) != (1, 0):
        raise ValueError(f"{name} has another version of the array format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(data)
    if dtype.hasobject or data.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize != member.file_size:
        raise ValueError(f"{name} is not as long as its header says")
    data.seek(0)
    return np.lib.format.read_array(data, allow_pickle=False)
