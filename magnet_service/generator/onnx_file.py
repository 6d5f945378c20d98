"""The bytes of an ONNX file: read, parsed and looked over before any of its graph is given a meaning."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import DecodeError, Message
from onnx import ModelProto

from magnet_service.errors import DamagedData, InvalidInput, RefusedArchive

__all__ = ["read_model", "standard_opset"]

_OLDEST, _NEWEST = 7, 26
_STANDARD = ("", "ai.onnx")
_EXPORT_AGAIN = "Export it again with torch.onnx.export."


def read_model(path: Path, max_bytes: int) -> ModelProto:
    """Read a file as the protobuf message that ONNX is.

    Arguments:
        path: the file.
        max_bytes: bound on its size.

    Returns:
        The message; nothing in it was looked at but that it holds a graph.

    Raises:
        InvalidInput: there is no such file (field `file`).
        RefusedArchive: it is larger than `max_bytes`.
        DamagedData: it is no protobuf message, cut short, nested too deeply, or holds no graph.

    Accuracy: exact.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise RefusedArchive(f"{path} takes {size} bytes, more than the {max_bytes} allowed; raise the limit.")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be opened ({error}); name an .onnx file.", field="file") from error
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise DamagedData(f"{path} is not an ONNX file, or was cut short ({error}). {_EXPORT_AGAIN}") from error
    if not model.HasField("graph") or not model.graph.node:
        raise DamagedData(f"{path} holds no graph: it is not an ONNX file, or was cut short. {_EXPORT_AGAIN}")
    _check_text(model, path)
    return model


def _check_text(message: Message, path: Path) -> None:
    """Refuse names that are not UTF-8: the parser hands them on as bytes, which equal no other name."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            for text in [value] if isinstance(value, str | bytes) else value:
                if isinstance(text, bytes):
                    raise DamagedData(
                        f"{path}: {field.full_name} holds {text[:40]!r}, which is no text. {_EXPORT_AGAIN}"
                    )
        elif field.type == field.TYPE_MESSAGE:
            for inner in [value] if isinstance(value, Message) else value:
                _check_text(inner, path)


def standard_opset(versions: dict[str, int], where: str) -> int:
    """Return the version of the standard operator set among imported ones.

    Arguments:
        versions: by domain, as the file imports them.
        where: who imports them, for messages.

    Returns:
        The version.

    Raises:
        RefusedArchive: older than 7 or newer than those known.
        DamagedData: none is imported.

    Accuracy: exact.
    """
    found = [versions[domain] for domain in _STANDARD if domain in versions]
    if not found:
        raise DamagedData(f"{where} imports no version of the standard operator set. {_EXPORT_AGAIN}")
    if not _OLDEST <= found[0] <= _NEWEST:
        raise RefusedArchive(
            f"{where} uses opset {found[0]}, and {_OLDEST} to {_NEWEST} are read: export it again with "
            f"torch.onnx.export(..., opset_version=17).",
            reason="OPSET_VERSION",
        )
    return found[0]
