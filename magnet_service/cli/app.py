"""The tree of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from magnet_service import __version__
from magnet_service.cli import (
    advise,
    bank,
    bank_files,
    bank_upkeep,
    distances,
    evaluate,
    fields,
    generator,
    health,
    patterns,
    regions,
    sample,
    serve,
    slices,
)
from magnet_service.cli.failures import FailureReporting

__all__ = ["app"]

app = typer.Typer(
    name="magnet",
    cls=FailureReporting,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(generator.app, name="generator")
bank.app.command("import")(bank_files.import_file)
bank.app.command("export")(bank_files.export_banks)
app.add_typer(bank.app, name="bank")
bank.app.command("verify")(bank_upkeep.verify)
bank.app.command("compact")(bank_upkeep.compact)
bank.app.command("copy")(bank_upkeep.copy)
app.command("advise")(advise.advise)
app.command("sample")(sample.sample)
app.command("slice")(slices.slice_command)
app.command("complexity")(fields.complexity)
app.command("density")(fields.density)
app.command("distances")(distances.distances)
app.command("region")(regions.region)
app.command("rows")(regions.rows)
app.command("patterns")(patterns.patterns)
app.command("evaluate")(evaluate.evaluate)
app.command("serve")(serve.serve)
app.command("health")(health.health)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def magnet(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Draws from a pretrained ReLU generator where you want on its manifold.

    Exit codes: 0 done, 1 it could not be done, 2 the command was written wrongly. Errors are one line on stderr.
    """
