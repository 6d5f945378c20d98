"""`magnet serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from magnet_service.cli.connection import settings
from magnet_service.cli.failures import needs_server_parts
from magnet_service.cli.terminal import STDOUT

__all__ = ["serve"]

_FILES = "Files"
_BANKS = "Banks"
_COMPUTE = "Computing"
_LIMITS = "Limits"
_LOGS = "Logs"


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 picks a free one. [50051]")] = None,
    port_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write host:port to this file once the server answers; it has no variable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="PATH", help="TOML file of settings; flags and MAGNET_* win over it.")
    ] = None,
    repository: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Folder of generators; may be repeated. The bundled ones are always there. In MAGNET_REPOSITORIES "
            "separated as in PATH.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="Folder or URL of the banks, as s3://bucket/banks.", rich_help_panel=_FILES),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for columns of banks that are read often.", rich_help_panel=_FILES),
    ] = None,
    cache_bytes: Annotated[
        str | None, typer.Option(metavar="BYTES", help="Most that it may hold, as 20G. [20G]", rich_help_panel=_FILES)
    ] = None,
    builder: Annotated[
        bool | None,
        typer.Option(
            "--builder", help="Build and delete banks too; else only read those of the store.", rich_help_panel=_BANKS
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            help="What computes banks: here (between requests), local:N or ray:ADDRESS. \\[here]",
            rich_help_panel=_BANKS,
        ),
    ] = None,
    grow_rows: Annotated[
        int | None,
        typer.Option(help="Rows to which an idle builder grows each bank; 0 for none. [0]", rich_help_panel=_BANKS),
    ] = None,
    grow_bytes: Annotated[
        str | None,
        typer.Option(metavar="BYTES", help="Most that it adds to the store, as 10G. [1G]", rich_help_panel=_BANKS),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N. \\[auto]", rich_help_panel=_COMPUTE)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of one computation. \\[this process's cores]", rich_help_panel=_COMPUTE)
    ] = None,
    tile_rows: Annotated[
        int | None, typer.Option(help="Rows computed together. [16]", rich_help_panel=_COMPUTE)
    ] = None,
    queue_limit: Annotated[
        int | None, typer.Option(help="Requests that may wait for the device. [64]", rich_help_panel=_LIMITS)
    ] = None,
    max_count: Annotated[
        int | None, typer.Option(help="Largest count of one draw, in rows. [10000]", rich_help_panel=_LIMITS)
    ] = None,
    max_message_bytes: Annotated[
        int | None, typer.Option(help="Largest message, in bytes. [64 MiB]", rich_help_panel=_LIMITS)
    ] = None,
    max_bank_rows: Annotated[
        int | None, typer.Option(help="Largest bank, in rows. [10000000]", rich_help_panel=_LIMITS)
    ] = None,
    max_tiles: Annotated[
        int | None, typer.Option(help="Most tiles of one slice. [1000000]", rich_help_panel=_LIMITS)
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES",
            help="Memory of one computation, as 2G. [80 % of what is free on the device]",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    drain_seconds: Annotated[
        float | None, typer.Option(help="Time for calls in flight to end at a stop. [10]", rich_help_panel=_LIMITS)
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error. \\[info]", rich_help_panel=_LOGS)
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="console or json. \\[console]", rich_help_panel=_LOGS)] = None,
) -> None:
    """Starts a server and stays until SIGINT or SIGTERM, which let calls in flight end first.

    Every flag but --port-file is also an environment variable, as MAGNET_PORT; that of --repository is
    MAGNET_REPOSITORIES.
    """
    chosen = settings(
        host=host,
        port=port,
        config=config,
        repositories=repository or None,
        store=store,
        cache=cache,
        cache_bytes=cache_bytes,
        builder=builder,
        workers=workers,
        grow_rows=grow_rows,
        grow_bytes=grow_bytes,
        device=device,
        threads=threads,
        tile_rows=tile_rows,
        queue_limit=queue_limit,
        max_count=max_count,
        max_message_bytes=max_message_bytes,
        max_bank_rows=max_bank_rows,
        max_tiles=max_tiles,
        max_memory=max_memory,
        drain_seconds=drain_seconds,
        log_level=log_level,
        log_format=log_format,
    )
    try:
        from magnet_service.rpc.server import run
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error

    def ready(address: str) -> None:
        if port_file is not None:
            _write_whole(port_file, address + "\n")
        STDOUT.print(f"magnet serves at [bold]{address}[/] (banks in {chosen.store})", soft_wrap=True)

    run(chosen, ready)


def _write_whole(path: Path, text: str) -> None:
    # Whoever waits for the file must never read half of it.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
