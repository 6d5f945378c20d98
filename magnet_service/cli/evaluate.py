"""`magnet evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from magnet_client.words import ManifoldWord, MethodWord
from magnet_service.cli.conditions import read_condition
from magnet_service.cli.connection import settings
from magnet_service.cli.failures import needs_server_parts
from magnet_service.cli.options import GeneratorName, Json
from magnet_service.cli.signals import ended_by_sigterm
from magnet_service.cli.terminal import STDERR, STDOUT, grid, number, print_json
from magnet_service.errors import InvalidInput

if TYPE_CHECKING:
    from magnet_service.evaluation import Evaluation
    from magnet_service.generator.condition import Condition

__all__ = ["evaluate"]

_GRID = "The grid"
_JUDGE = "What judges"
_PLACE = "Where things lie"


def evaluate(
    generator: GeneratorName,
    classifier: Annotated[
        Path, typer.Option(metavar="C.pt2", help="Classifier of its images; .pt2 or .onnx.", rich_help_panel=_JUDGE)
    ],
    real: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGES.npz",
            help="Real images: one array, images, uint8 or in the output range. Else draws as trained stand in.",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    neighbours: Annotated[
        int, typer.Option(help="k of precision, recall, density and coverage.", rich_help_panel=_JUDGE)
    ] = 5,
    rho: Annotated[
        str | None,
        typer.Option(metavar="R,R,..", help="Exponents of v_k; 0 is always among them.", rich_help_panel=_GRID),
    ] = None,
    psi: Annotated[
        str | None,
        typer.Option(metavar="P,P,..|none", help="Truncations of the prior, below 1.", rich_help_panel=_GRID),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,..|none",
            help="Shares of latents kept, those of the smallest Jacobian norm.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Draws at each point.", rich_help_panel=_GRID)] = 2_000,
    top_k: Annotated[
        int, typer.Option(help="k of v_k, the same at every rho; 0: AUTO's at the ends.", rich_help_panel=_GRID)
    ] = 0,
    method: Annotated[
        MethodWord, typer.Option(help="How draws at rho other than 0 come about.", rich_help_panel=_GRID)
    ] = "resample",
    manifold: Annotated[ManifoldWord, typer.Option(help="Where volumes are taken.", rich_help_panel=_GRID)] = "output",
    condition: Annotated[
        str | None,
        typer.Option(metavar="LABEL|INDEX|X,Y,..", help="Of a conditional generator.", rich_help_panel=_GRID),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draws.", rich_help_panel=_GRID)] = 1,
    bank_rows: Annotated[
        int | None,
        typer.Option(
            help="Rows of the prior's bank, built where they are missing; all at hand, or 20,480, if not given."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for report.html.")] = Path("evaluation"),
    repository: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Folder of generators; may be repeated.", rich_help_panel=_PLACE),
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="PLACE", help="Folder or URL of the banks.", rich_help_panel=_PLACE)
    ] = None,
    json: Json = False,
) -> None:
    """Says whether polarity helps a generator: class shares, precision, recall and distance over a grid of rho.

    Truncation psi and truncation by Jacobian norm are measured beside it, and the report says which is better. Computes
    in this process; needs `pip install 'magnet-service[server,evaluate]'`.

    Example: magnet evaluate fashion --classifier classifier.pt2 --real fashion.npz --rho=-1,0,1 --out evaluation
    """
    try:
        from magnet_service import evaluation
        from magnet_service.generator import Manifold
        from magnet_service.registry import Registry
        from magnet_service.sampling import Method
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error
    given = {"rhos": _numbers(rho, "rho"), "psis": _numbers(psi, "psi"), "keeps": _numbers(keep, "keep")}
    request = evaluation.EvaluationRequest(
        **{name: values for name, values in given.items() if values is not None},
        count=count,
        top_k=top_k,
        manifold=Manifold(manifold),
        seed=seed,
        neighbours=neighbours,
        bank_rows=bank_rows,
        condition=None if condition is None else _condition(condition),
        method=Method(method.upper()),
    )
    here = settings(repositories=repository or None, store=store)
    registry = Registry(
        here.generator_folders,
        here.store,
        device=here.device,
        threads=here.threads,
        tile_rows=here.tile_rows,
        max_count=max(here.max_count, count),
        max_memory=here.max_memory,
    )
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
        console=STDERR,
        transient=True,
        disable=json or not STDERR.is_terminal,
    )
    with ended_by_sigterm(), bar:
        task = bar.add_task(f"evaluation of {generator}", total=len(request.settings))
        found = evaluation.evaluate(
            registry,
            generator,
            request,
            classifier,
            real,
            on_rows=lambda done, total: bar.update(task, description="rows of the bank", completed=done, total=total),
            on_point=lambda done, total, name: bar.update(task, description=name, completed=done, total=total),
        )
        written = evaluation.write_report(found, out)
    if json:
        print_json(found.evaluation)
        return
    _print(found.evaluation)
    STDOUT.print(f"wrote {written}", markup=False, soft_wrap=True)


def _print(found: Evaluation) -> None:
    methods = found.method != "RESAMPLE"
    columns = (
        "",
        *(["method"] if methods else []),
        "ESS>",
        "k-hat>",
        "result",
        "tv>",
        "precision>",
        "recall>",
        "Frechet>",
        "p(top)>",
        "log |J|>",
    )
    rows = (
        (
            row.setting.name,
            *([row.method or "-"] if methods else []),
            number(row.ess, 0),
            number(row.khat),
            row.result,
            number(row.tv.value, 3),
            number(row.precision.value, 3),
            number(row.recall.value, 3),
            number(row.frechet.value),
            number(row.top_probability.value, 3),
            number(None if row.log_norm is None else row.log_norm.value),
        )
        for row in found.rows
    )
    STDOUT.print(grid("", columns, rows))
    STDOUT.print(f"k {found.top_k}; compared with {found.reference}", markup=False, style="dim")
    for sentence in found.verdict:
        STDOUT.print(sentence, markup=False)


def _numbers(text: str | None, field: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    if text == "none":
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput(f"write --{field}=0.5,0.7, numbers with commas; not {text!r}", field=field) from None


def _condition(text: str) -> Condition:
    from magnet_service.generator.condition import Condition

    match read_condition(text):
        case int() as index:
            return Condition(index=index)
        case str() as label:
            return Condition(label=label)
        case vector:
            return Condition(vector=tuple(float(number) for number in vector))
