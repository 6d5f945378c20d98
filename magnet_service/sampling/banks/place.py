"""A place for objects: a local folder, or one at any URL that fsspec knows. Every object is whole or absent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from io import IOBase
from pathlib import Path
from urllib.parse import unquote, urlsplit

from magnet_service.errors import InvalidInput

__all__ = ["Place", "place_of"]


class Place(ABC):
    """A folder of objects. Objects of one name are replaced whole, and `create` tells exactly one writer that it won.

    Attributes:
        name: last part of its path, for messages.
        url: where it is, for messages and logs.
    """

    name: str
    url: str

    @abstractmethod
    def child(self, name: str) -> Place:
        """The folder of that name inside this one, which need not exist."""

    @abstractmethod
    def names(self) -> list[str]:
        """Names of the objects directly inside, sorted; none where there is no such folder."""

    @abstractmethod
    def folders(self) -> list[str]:
        """Names of the folders directly inside, sorted; none where there is no such folder."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of an object; FileNotFoundError where there is none."""

    @abstractmethod
    def opened(self, name: str) -> AbstractContextManager[IOBase]:
        """An object of which only parts are read, while a `with` block runs; FileNotFoundError where there is none."""

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Stores an object in place of the one before; durable on return."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Stores an object if there is none of that name, and tells whether it did; durable on return."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes an object; one that is not there is no error."""

    @abstractmethod
    def remove_all(self) -> None:
        """Removes the folder with all that it holds; one that is not there is no error."""

    @abstractmethod
    def tidy(self) -> None:
        """Removes what killed writers left half written; for the one writer of the folder."""


def place_of(where: str | Path | Place) -> Place:
    """The place that a path or a URL names.

    Arguments:
        where: a path, a `file://` URL, or `PROTOCOL://...` of any file system that fsspec knows, as `s3://bucket/banks`.

    Returns:
        The place; nothing is looked at or made yet.

    Raises:
        InvalidInput: no such protocol, or one whose package is not installed; field `store`.

    Accuracy:
        Not applicable.
    """
    # Imported here: both know this module.
    from magnet_service.sampling.banks.local_place import LocalPlace
    from magnet_service.sampling.banks.remote_place import RemotePlace

    if isinstance(where, Place):
        return where
    if isinstance(where, Path) or "://" not in where:
        return LocalPlace(Path(where))
    parts = urlsplit(where)
    if parts.scheme != "file":
        return RemotePlace.at(where)
    if parts.netloc not in ("", "localhost"):
        raise InvalidInput(f"the store is {where!r}: write file:///PATH, the host left out", field="store")
    return LocalPlace(Path(unquote(parts.path)))
