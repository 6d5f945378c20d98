"""`magnet generator list|show|add|verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magnet_client import GeneratorInfo
from magnet_service.cli.connection import connected
from magnet_service.cli.generator_files import Verified, add_file, verify_name
from magnet_service.cli.options import Address, GeneratorName, Json, Local, Repositories, Store, Timeout, interval
from magnet_service.cli.terminal import STDOUT, grid, number, print_json, sheet_of

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Generators: the pretrained networks that are drawn from.")

_Repository = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder of generators; the first of MAGNET_REPOSITORIES, else one in your data folder."
    ),
]


@app.command("list")
def list_generators(
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Lists the generators that a server holds."""
    with connected(address, local, repository, store, timeout) as client:
        found = client.generators()
    if json:
        print_json(found)
        return
    facts = [
        (
            one.name,
            ", ".join(map(str, one.versions)),
            one.prior,
            " x ".join(map(str, one.output_shape)),
            one.digest[:12],
            one.description or one.problem,
        )
        for one in found
    ]
    STDOUT.print(grid("", ("name", "versions", "prior", "output", "sha256", "description"), facts))


@app.command()
def show(
    generator: GeneratorName,
    rank_latents: Annotated[
        int, typer.Option(help="Measure rank and spectrum at this many prior latents, 0 to 1024.")
    ] = 0,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Describes one generator: what goes in, what comes out, its operations, units and rank."""
    with connected(address, local, repository, store, timeout) as client:
        found = client.generator(generator, rank_latents)
    if json:
        print_json(found)
    else:
        _print(found)


@app.command()
def add(
    name: Annotated[str, typer.Argument(show_default=False, help="Its name: a-z, 0-9, - and _.")],
    file: Annotated[Path, typer.Argument(show_default=False, help="A .pt2 archive of torch.export.")],
    prior: Annotated[
        str | None,
        typer.Option(help="Law of the latents: normal, uniform(low=-1, high=1), ball(radius=3) ... [normal]"),
    ] = None,
    output_range: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Lowest and highest output. [-1,1]")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="HW, CHW, HWC or vector; guessed from the shape if not given.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Names of the classes in the training data.")
    ] = None,
    training_shares: Annotated[
        str | None, typer.Option(metavar="P,Q,...", help="Share of each class in the training data.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="One sentence.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, by its SPDX name.")] = None,
    source: Annotated[str | None, typer.Option(help="Where it comes from.")] = None,
    new_version: Annotated[
        bool, typer.Option("--new-version", help="Add the next version of a generator that exists.")
    ] = False,
    repository: _Repository = None,
    json: Json = False,
) -> None:
    """Verifies a .pt2 file and copies it into a repository; a running server holds it at once.

    No pickle in it is ever read. Its outputs are compared with a reference and its Jacobian with autograd.
    """
    verified = add_file(
        repository,
        name,
        file,
        prior=prior,
        output_range=interval(output_range, "output_range"),
        layout=layout,
        labels=labels,
        training_shares=training_shares,
        description=description,
        licence=licence,
        source=source,
        new_version=new_version,
    )
    _print_verified(verified, json)


@app.command()
def verify(generator: GeneratorName, repository: _Repository = None, json: Json = False) -> None:
    """Loads a generator from its file and verifies it again, as `add` did."""
    _print_verified(verify_name(repository, generator), json)


def _print_verified(verified: Verified, json: bool) -> None:
    if json:
        print_json({**vars(verified.info), **{name: value for name, value in vars(verified).items() if name != "info"}})
    else:
        _print(verified.info)
        words = {True: "yes", False: "no", None: "not measured"}
        place = words[verified.bits_depend_on_position]
        neighbours = words[verified.bits_depend_on_neighbours]
        facts = [
            ("bits depend on", f"a row's place: {place}; its neighbours: {neighbours}"),
            ("folder", verified.folder),
        ]
        STDOUT.print(sheet_of(facts))
        STDOUT.print(f"[bold green]verified[/] {verified.info.name}@{verified.info.version}")


def _print(found: GeneratorInfo) -> None:
    shape = " x ".join(map(str, found.output_shape))
    rank = ""
    if found.rank is not None:
        spread = found.rank.log_volume_sd
        rank = (
            f"{found.rank.rank_min} to {found.rank.rank_max}, median {found.rank.rank_median} of {found.latent_dim}, "
            f"over {found.rank.latents} latents; sd of log v_k {number(spread[0])} (k=1) to {number(spread[-1])} "
            f"(k={len(spread)}) nats"
        )
    shares = found.training_shares or (None,) * len(found.labels)
    labels = ", ".join(
        name if share is None else f"{name} {share:.1%}" for name, share in zip(found.labels, shares, strict=True)
    )
    low, high = found.value_range
    verified = (
        f"against the {found.verified_against}: outputs within {found.forward_error:.1e}, "
        f"Jacobian within {found.jacobian_error:.1e}"
    )
    smooth = "smooth inside: " + ", ".join(found.smooth_inside)
    STDOUT.print(
        sheet_of(
            [
                ("generator", f"{found.name}@{found.version} (versions {', '.join(map(str, found.versions))})"),
                ("description", found.description),
                ("latents", found.prior),
                ("outputs", f"{shape}, {found.layout}, {low:g} to {high:g}"),
                ("labels", labels),
                ("licence", found.licence),
                ("source", found.source),
                ("sha256", found.digest),
                ("weights", f"{found.parameters:,}"),
                ("units", f"{found.units:,}"),
                ("affine until", found.piecewise_affine_until if found.piecewise_affine else smooth),
                ("rank", rank),
                ("verified", verified),
            ]
        )
    )
    columns = ("node", "operation", "kind", "shape", "units>")
    nodes = [
        (
            node.name,
            node.operation,
            node.kind,
            " x ".join(map(str, node.shape)),
            f"{node.units:,}" if node.units else "",
        )
        for node in found.operations
    ]
    STDOUT.print(grid("", columns, nodes), end="")
