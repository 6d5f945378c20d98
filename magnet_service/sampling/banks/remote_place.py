"""Objects at a URL, by fsspec: S3 and what else has a package that fsspec knows."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from typing import Any, final
from urllib.parse import urlsplit

import fsspec

from magnet_service.errors import InvalidInput, Refused, Unreachable
from magnet_service.sampling.banks.place import Place

__all__ = ["RemotePlace"]

# What the clients of object stores raise beside OSError, by protocol; classes are looked up where they are installed.
_FOREIGN = {
    "s3": ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError"),
    "gs": ("gcsfs.retry:HttpError", "google.auth.exceptions:GoogleAuthError"),
    "abfs": ("azure.core.exceptions:AzureError",),
}
_OF_BUCKETS = frozenset({*_FOREIGN, "s3a", "gcs", "abfss", "az"})
_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ClientAuthenticationError"}
)


@final
class RemotePlace(Place):
    """A prefix of an object store.

    `put` and `create` are one request each, which object stores carry out whole or not at all; `create` asks for the
    condition that the object is absent (S3: If-None-Match, of 2024; stores without it are refused by their client).

    Arguments:
        system: from fsspec, without a cache of listings.
        path: the prefix as the system writes it, without the protocol.
    """

    def __init__(self, system: fsspec.AbstractFileSystem, path: str) -> None:
        self._system = system
        self._path = path.rstrip("/")
        self.name = self._path.rsplit("/", 1)[-1]
        self.url = system.unstrip_protocol(self._path)
        protocols = (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)
        self._foreign: tuple[type[Exception], ...] = (
            OSError,
            *(_found(path) for known in protocols for path in _FOREIGN.get(known, ())),
        )

    @staticmethod
    def at(url: str) -> RemotePlace:
        """The place at a URL; InvalidInput (field `store`) for one of no known protocol or without a bucket."""
        try:
            # Listings must be as the store is now: other machines write to it.
            system, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise _no_store(url, str(error).rstrip(".")) from error
        parts = urlsplit(url)
        if parts.scheme in _OF_BUCKETS and not parts.netloc:
            raise _no_store(url, "it names no bucket")
        return RemotePlace(system, path)

    def child(self, name: str) -> RemotePlace:
        """As `Place.child`."""
        return RemotePlace(self._system, f"{self._path}/{name}")

    def names(self) -> list[str]:
        """As `Place.names`."""
        return sorted(self._inside("file"))

    def folders(self) -> list[str]:
        """As `Place.folders`."""
        return sorted(self._inside("directory"))

    def read(self, name: str) -> bytes:
        """As `Place.read`."""
        with self._reached():
            data: bytes = self._system.cat_file(f"{self._path}/{name}")
        return data

    @contextmanager
    def opened(self, name: str) -> Iterator[IOBase]:
        """As `Place.opened`: a request for each part, none for more than is asked for."""
        with self._reached(), self._system.open(f"{self._path}/{name}", "rb", cache_type="none") as file:
            yield file

    def put(self, name: str, data: bytes) -> None:
        """As `Place.put`."""
        with self._reached(writing=True):
            self._system.pipe_file(f"{self._path}/{name}", data)

    def create(self, name: str, data: bytes) -> bool:
        """As `Place.create`."""
        try:
            with self._reached(writing=True):
                self._system.pipe_file(f"{self._path}/{name}", data, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        """As `Place.remove`."""
        try:
            with self._reached():
                self._system.rm_file(f"{self._path}/{name}")
        except FileNotFoundError:
            return

    def remove_all(self) -> None:
        """As `Place.remove_all`."""
        try:
            with self._reached():
                self._system.rm(self._path, recursive=True)
        except FileNotFoundError:
            return

    def tidy(self) -> None:
        """Nothing: an object store shows no object before it is whole."""

    def _inside(self, kind: str) -> Iterator[str]:
        try:
            with self._reached():
                found: list[dict[str, Any]] = self._system.ls(self._path, detail=True)
        except FileNotFoundError:
            self._check_bucket()
            return
        for entry in found:
            # A store may list the prefix itself, where somebody made a "folder" of it.
            path = str(entry["name"]).rstrip("/")
            if entry["type"] == kind and path != self._path:
                yield path.rsplit("/", 1)[-1]

    def _check_bucket(self) -> None:
        """Tells a prefix that holds nothing from a bucket that is not there."""
        try:
            with self._reached():
                self._system.info(self._path.split("/", 1)[0])
        except FileNotFoundError as error:
            raise self._gone() from error

    def _gone(self) -> Unreachable:
        bucket = self._path.split("/", 1)[0]
        return Unreachable(f"the store {self.url} is gone: there is no {bucket!r}; make it, or name another store")

    @contextmanager
    def _reached(self, *, writing: bool = False) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except FileNotFoundError as error:
            if writing:
                raise self._gone() from error
            raise
        except PermissionError as error:
            raise Refused(
                f"{self.url} cannot be used with these credentials: {error}", field="store", reason="STORE_DENIED"
            ) from error
        except self._foreign as error:
            if type(error).__name__ in _NO_CREDENTIALS:
                raise Refused(
                    f"{self.url} needs credentials and there are none: {error}. Set them as its own tools read them "
                    "(S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the role of the machine)",
                    field="store",
                    reason="NO_CREDENTIALS",
                ) from error
            raise Unreachable(f"the store at {self.url} cannot be reached now: {error}") from error


def _no_store(url: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"the store is {url!r}: {why}. Write a path, file:///PATH or s3://BUCKET/PREFIX "
        "(pip install 'magnet-service[s3]')",
        field="store",
    )


def _found(path: str) -> type[Exception]:
    module, name = path.split(":")
    try:
        found: type[Exception] = getattr(importlib.import_module(module), name)
    except ImportError:
        return OSError
    return found
