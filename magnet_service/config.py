"""Settings of the server: command-line flag, else environment `MAGNET_*`, else file, else default."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from magnet_service.errors import InvalidInput

__all__ = ["BUNDLED", "LogFormat", "LogLevel", "Settings", "load_settings"]

BUNDLED = Path(__file__).resolve().parent / "bundled"
"""The repository of generators that come with the package; always the last one looked at."""


_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?) ?((?P<unit>[KMGT])(I?B)?)?")


class LogLevel(StrEnum):
    """Least severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """One line an event: aligned for people, or JSON for programs."""

    CONSOLE = "console"
    JSON = "json"


def _default_store() -> str:
    return str(Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "magnet" / "banks")


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "magnet" / "banks"


def _usable_cores() -> int:
    # Only Linux tells the cores of this process; elsewhere all of the machine's count.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _split(value: object) -> object:
    return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


def _expanded(path: Path) -> Path:
    return path.expanduser().absolute()


def _place(value: object) -> object:
    return value if isinstance(value, str) and "://" in value else str(_expanded(Path(str(value))))


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip().upper())
    if match is None:
        raise PydanticCustomError("size", "Write a number of bytes, or one with K, M, G or T behind it, as 512M")
    return int(float(match["number"]) * 1024 ** " KMGT".index(match["unit"] or " "))


Bytes = Annotated[int | None, BeforeValidator(_bytes)]
Folder = Annotated[Path, AfterValidator(_expanded)]


class Settings(BaseSettings):
    """Everything about a server that an operator may choose; frozen.

    Read by `load_settings`, whose errors name the setting at fault.
    """

    model_config = SettingsConfigDict(env_prefix="MAGNET_", frozen=True, extra="forbid", validate_default=True)

    config: Path | None = Field(None, description="TOML file with any of these settings; also MAGNET_CONFIG.")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; loopback unless set otherwise.")
    port: int = Field(50051, ge=0, le=65535, description="TCP port; 0 picks a free one.")
    repositories: Annotated[tuple[Folder, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description="Folders of generators, first match wins; the bundled ones come last. In MAGNET_REPOSITORIES "
        "separated as in PATH.",
    )
    store: Annotated[str, BeforeValidator(_place)] = Field(
        default_factory=_default_store,
        description="Where the banks lie: a folder, or a URL that fsspec knows, as s3://bucket/banks.",
    )
    cache: Folder = Field(
        default_factory=_default_cache,
        description="Folder for columns of banks that are read often; servers of one machine share it.",
    )
    cache_bytes: Bytes = Field(
        20 * 2**30,
        ge=0,
        description="Bytes above which columns of the banks not used for longest are forgotten, or with K, M, G or T.",
    )
    builder: bool = Field(
        False, description="Whether this server may build and delete banks; else it only reads those of the store."
    )
    workers: str = Field(
        "here",
        description="What computes rows of banks: here (between requests), local:N (processes) or ray:ADDRESS.",
    )
    grow_rows: int = Field(
        0, ge=0, le=1_000_000_000, description="Rows to which an idle builder grows each bank it can; 0 for none."
    )
    grow_bytes: Bytes = Field(
        2**30,
        ge=0,
        description="Bytes that an idle builder may add to the store since its start, or with K, M, G or T.",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")
    threads: int = Field(
        default_factory=_usable_cores,
        ge=1,
        le=1024,
        description="Threads of one computation; numbers' last bits depend on it. Default: the cores of this process.",
    )
    tile_rows: int = Field(16, ge=1, le=1024, description="Rows computed together; last bits depend on it.")
    queue_limit: int = Field(64, ge=1, le=100_000, description="Requests that may wait for the device, in requests.")
    max_count: int = Field(10_000, ge=1, le=10_000_000, description="Largest count of one draw, in rows.")
    max_message_bytes: int = Field(
        64 * 2**20, ge=2**16, le=2**31 - 1, description="Largest message received or sent, in bytes."
    )
    max_bank_rows: int = Field(10_000_000, ge=1, le=10_000_000_000, description="Largest bank, in rows.")
    max_tiles: int = Field(1_000_000, ge=1, le=100_000_000, description="Most tiles of one slice, in tiles.")
    max_memory: Bytes = Field(
        None,
        ge=2**20,
        description="Memory that one computation may take besides the weights, in bytes, or with K, M, G or T (powers "
        "of 1024), 1M at least. Default: 80 % of what is free on the device at the start.",
    )
    drain_seconds: float = Field(
        10.0, ge=0, le=3600, allow_inf_nan=False, description="Time for calls in flight to end at a stop, in seconds."
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error.")
    log_format: LogFormat = Field(LogFormat.CONSOLE, description="console or json.")

    @property
    def generator_folders(self) -> tuple[Path, ...]:
        """The repositories in the order in which a name is looked up, the bundled one last."""
        return (*self.repositories, BUNDLED)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Orders the sources: flags, environment, file."""
        file = init_settings().get("config") or os.environ.get("MAGNET_CONFIG")
        if not file:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=Path(file))


def load_settings(**flags: Any) -> Settings:
    """Reads the settings from flags, environment, file and defaults, in this order.

    Arguments:
        flags: settings by name; None means not given.

    Returns:
        The settings, all checked.

    Raises:
        InvalidInput: a value out of range, an unknown name in the file, or no such file; `field` names the setting.

    Accuracy: exact.

    Example:
        >>> load_settings(port=0, threads=1).port
        0
    """
    given = {name: value for name, value in flags.items() if value is not None}
    file = given.get("config") or os.environ.get("MAGNET_CONFIG")
    if file and not Path(file).is_file():
        raise InvalidInput(f"There is no file {file}: name a TOML file, or leave config unset.", field="config")
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(Settings.model_fields))
            raise InvalidInput(f"{name} is no setting. Write one of: {known}.", field=name) from error
        what = Settings.model_fields[str(first["loc"][0])].description if first["loc"] else ""
        raise InvalidInput(f"{name}: {first['msg']} (got {first['input']!r}). {what}", field=name) from error
    except (SettingsError, ValueError) as error:  # a file that is no TOML, an environment value that does not decode
        raise InvalidInput(f"The settings cannot be read: {error}", field="config") from error
