"""Errors as one line on stderr and an exit code; no traceback for what was to be expected."""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from magnet_client import InvalidInput, MagnetError
from magnet_service import errors
from magnet_service.cli.terminal import STDERR

__all__ = ["FailureReporting", "needs_server_parts"]

_OPTIONS = {
    "output.range": "output-range",
    "output.layout": "layout",
    "labels.names": "labels",
    "condition.kind": "condition",
    "condition.classes": "condition",
    "condition.width": "condition",
    "condition.labels": "condition-labels",
    "labels.training_shares": "training-shares",
    "repositories": "repository",
}
"""Fields whose options are called otherwise."""


class FailureReporting(TyperGroup):
    """A group of commands that reports every expected error of a command: exit code 2 for misuse, else 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (MagnetError, errors.MagnetError) as error:
            _report(error)
            misuse = isinstance(error, InvalidInput | errors.InvalidInput)
            raise typer.Exit(2 if misuse else 1) from None
        except OSError as error:
            STDERR.print(f"[bold red]error[/] {escape(str(error))}", soft_wrap=True, highlight=False)
            raise typer.Exit(1) from None


def needs_server_parts(error: ModuleNotFoundError, *, local: bool = False) -> errors.Refused:
    """Return what to raise where a command computes here, because of --local or always, without the server's parts."""
    ways = "pip install 'magnet-service[server]'"
    if local:
        ways += ", or leave --local out and name a server with --address"
    return errors.Refused(
        f"This command computes on this machine and needs {error.name}: {ways}.",
        reason="SERVER_PARTS_MISSING",
    )


def _report(error: MagnetError | errors.MagnetError) -> None:
    option = "" if error.field is None else "--" + _OPTIONS.get(error.field, error.field).replace("_", "-")
    named = error.field is not None and (error.field in error.message or option in error.message)
    place = f"{option}: " if option and not named else ""
    request_id = getattr(error, "request_id", None)
    suffix = f" [request {request_id}]" if request_id and error.reason == "INTERNAL" else ""
    message = error.message.replace(error.field, option) if error.field in _OPTIONS else error.message
    text = " ".join(f"{place}{message}{suffix}".split())
    STDERR.print(f"[bold red]error[/] {escape(text)}", soft_wrap=True, highlight=False)
