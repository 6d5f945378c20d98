"""`magnet generator list|show|add|verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magnet_client import GeneratorInfo
from magnet_service.cli.connection import connected
from magnet_service.cli.generator_files import RANK_LATENTS, Verified, add_file, verify_name
from magnet_service.cli.generator_sheet import generator_sheets
from magnet_service.cli.options import Address, GeneratorName, Json, Local, Repositories, Store, Timeout, interval
from magnet_service.cli.terminal import STDOUT, grid, print_json, short_law

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Generators: the pretrained networks that are drawn from.")

_Repository = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder of generators; the first of MAGNET_REPOSITORIES, else one in your data folder."
    ),
]


_PATIENCE = 600.0  # seconds: a large generator takes minutes to verify and to measure
_Store = Annotated[str | None, typer.Option(metavar="PLACE", help="Folder or URL of the banks, for AUTO's k.")]
_RankLatents = Annotated[
    int, typer.Option(help="Measure rank and spectrum at this many latents of the prior, 0 to 1024.")
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
            short_law(one.prior),
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
    rank_latents: _RankLatents = RANK_LATENTS,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Describes one generator: what goes in and comes out, its graph, rank, spectrum, and AUTO at rho 1."""
    with connected(address, local, repository, store, _PATIENCE if timeout is None else timeout) as client:
        found = client.generator(generator, rank_latents, auto_top_k=True)
    if json:
        print_json(found)
    else:
        _print(found)


@app.command()
def add(
    name: Annotated[str, typer.Argument(show_default=False, help="Its name: a-z, 0-9, - and _.")],
    file: Annotated[Path, typer.Argument(show_default=False, help="A .pt2 archive of torch.export, or an .onnx file.")],
    prior: Annotated[
        str | None,
        typer.Option(help="Law of the latents: normal, uniform(low=-1, high=1), ball(radius=3) ... \\[normal]"),
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
    condition: Annotated[
        str | None,
        typer.Option(metavar="KIND:N", help="Of a conditional one: one_hot:CLASSES, index:CLASSES or vector:NUMBERS."),
    ] = None,
    condition_labels: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Names of those classes, in order.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="One sentence.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, by its SPDX name.")] = None,
    source: Annotated[str | None, typer.Option(help="Where it comes from.")] = None,
    latent_node: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Inner value to take as the latent (StyleGAN's w), named as `show` lists it."
        ),
    ] = None,
    features: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Feature network of its outputs, for --manifold features.")
    ] = None,
    new_version: Annotated[
        bool, typer.Option("--new-version", help="Add the next version of a generator that exists.")
    ] = False,
    rank_latents: _RankLatents = RANK_LATENTS,
    repository: _Repository = None,
    store: _Store = None,
    json: Json = False,
) -> None:
    """Verifies a .pt2 or .onnx file and copies it into a repository; a running server holds it at once.

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
        condition=condition,
        condition_labels=condition_labels,
        description=description,
        licence=licence,
        source=source,
        latent_node=latent_node,
        features=features,
        new_version=new_version,
        rank_latents=rank_latents,
        store=store,
    )
    _print_verified(verified, json)


@app.command()
def verify(
    generator: GeneratorName,
    rank_latents: _RankLatents = RANK_LATENTS,
    repository: _Repository = None,
    store: _Store = None,
    json: Json = False,
) -> None:
    """Loads a generator from its file in this process and verifies it again, as `add` did.

    Its outputs are compared with those of the original module where they came with the file, else with a plain
    interpreter of the file; its Jacobian with autograd; and rows are moved and given other neighbours to see whether
    their bits stay. `show` prints the same as a server found it.
    """
    _print_verified(verify_name(repository, generator, rank_latents=rank_latents, store=store), json)


def _print_verified(verified: Verified, json: bool) -> None:
    if json:
        print_json({**vars(verified.info), "folder": verified.folder})
        return
    _print(verified.info)
    STDOUT.print(f"[bold green]verified[/] {verified.info.name}@{verified.info.version} in ", end="")
    STDOUT.print(verified.folder, markup=False, soft_wrap=True)


def _print(found: GeneratorInfo) -> None:
    for sheet in generator_sheets(found):
        STDOUT.print(sheet)
        STDOUT.print()
