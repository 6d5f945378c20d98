"""`python -m examples.demo --out demo`: banks, draws, pictures and `summary.json`, through the SDK over real gRPC."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from examples.demo.balance import choose
from examples.demo.charts import contact_sheet, ess_chart, share_chart
from examples.demo.classifier import Classifier
from examples.demo.server import served
from examples.demo.shares import Evidence, Figures, Interval, figures
from magnet_client import BankInfo, Client, Draw, Generated

Law = Literal["prior", "uniform"]

GENERATOR = "fashion"
PAGE = 2_048
SEED = 7
console = Console(width=max(80, Console().width))


def main(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    count: Annotated[int, typer.Option(help="Images to draw by each recipe.")] = 100,
    rows: Annotated[int, typer.Option(help="Rows of the prior's bank; that of the uniform base has half.")] = 20_480,
) -> None:
    """Draws from the bundled long-tailed generator by every recipe and measures its class shares."""
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    with served(out / "store", out / "server.log") as address, Client(address) as client:
        console.print(f"server at [bold]{address}[/], banks in {out / 'store'}")
        wanted: dict[Law, int] = {"prior": rows, "uniform": rows // 2}
        banks = {law: build(client, law, size) for law, size in wanted.items()}
        # A bank of an earlier run may be larger than what is asked for here.
        sizes = {law: bank.revision for law, bank in banks.items()}
        classifier = Classifier()
        evidence = {law: label(client, classifier, bank) for law, bank in banks.items()}
        generator = client.generator(GENERATOR)
        rare = tuple(int(c) for c in np.argsort(generator.training_shares)[:3])
        classes = len(generator.labels)
        # One half of the prior's bank chooses (rho, k), the other half judges it.
        recipe = choose(evidence["prior"].part(slice(0, sizes["prior"] // 2)), classes)
        common: dict[str, Any] = {"seed": SEED, "images": "uint8"}
        draws = {
            name: client.sample(GENERATOR, count, preset=name, **common)
            for name in ("as_trained", "uniform", "mode", "anti_mode")
        }
        draws["balanced"] = client.sample(GENERATOR, count, rho=recipe.rho, top_k=recipe.top_k, **common)
        judged: dict[str, Figures] = {}
        for name, draw in draws.items():
            law = law_of(draw)
            judging = evidence[law].part(slice(sizes[law] // 2, None))
            judged[name] = figures(judging, judging.log_weights(draw.rho, draw.top_k), rare, classes)
        columns = banks["prior"].columns
        grid = client.describe_polarity(GENERATOR, top_ks=sorted({1, 2, 3, 5, 10, columns}))
    curves = {
        k: ([c.rho for c in grid.cells if c.top_k == k], [c.ess for c in grid.cells if c.top_k == k])
        for k in sorted({c.top_k for c in grid.cells})
    }
    sheets = {name: (f"rho {d.rho:g}, k {d.top_k or '-'}, ESS {d.ess:,.0f}", bytes_of(d)) for name, d in draws.items()}
    contact_sheet(out / "contact_sheet.png", sheets)
    share_chart(out / "class_shares.png", generator.labels, generator.training_shares, judged)
    ess_chart(out / "ess.png", sizes["prior"], curves)
    summary = {
        "rare_classes": list(rare),
        "labels": list(generator.labels),
        "seconds": round(time.monotonic() - started, 1),
        "draws": [entry(name, draw, judged[name], sizes[law_of(draw)]) for name, draw in draws.items()],
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    console.print(table(draws, judged))
    names = ", ".join(generator.labels[c] for c in rare)
    written = "contact_sheet.png, class_shares.png, ess.png, summary.json"
    console.print(f"rare classes: {names}. Wrote {written} to {out}/ in {summary['seconds']:.0f} s; server stopped.")


def build(client: Client, base: Law, rows: int) -> BankInfo:
    """Builds the bank of one base law, with a progress bar."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        task = bar.add_task(f"bank, base {base}", total=rows, rate="")
        return client.build_bank(
            GENERATOR,
            rows,
            base=base,
            on_progress=lambda p: bar.update(task, completed=p.rows_done, rate=f"{p.rows_per_second:.0f} rows/s"),
        )


def label(client: Client, classifier: Classifier, bank: BankInfo) -> Evidence:
    """Runs every row of a bank through the generator and labels the images."""
    rows = client.read_bank(bank.bank_id)
    parts = [
        bytes_of(client.generate(GENERATOR, rows.latents[start : start + PAGE], images="uint8"))
        for start in range(0, len(rows.latents), PAGE)
    ]
    return Evidence(rows.log_volumes.astype(np.float64), classifier.label(np.concatenate(parts)))


def law_of(draw: Draw) -> Law:
    """Which of the two banks is behind a draw; the prior's for draws that read none."""
    return "uniform" if draw.resolved.base == "uniform" else "prior"


def bytes_of(answer: Draw | Generated) -> NDArray[np.uint8]:
    """The images of an answer that was asked for bytes, [rows, 28, 28]."""
    return np.asarray(answer.images, dtype=np.uint8)


def entry(name: str, draw: Draw, judged: Figures, bank_size: int) -> dict[str, Any]:
    """One draw for summary.json."""
    return {
        "name": name,
        "rho": draw.rho,
        "det_rho": draw.det_rho,
        "base": draw.base,
        "top_k": draw.top_k,
        "manifold": draw.manifold,
        "bank_size": bank_size,
        "ess": draw.ess,
        "khat": draw.khat,
        "distinct": draw.distinct,
        "result": str(draw.result),
        "class_shares": list(judged.class_shares),
        "class_share_intervals": [[i.low, i.high] for i in judged.class_intervals],
        "tv": judged.tv.value,
        "tv_low": judged.tv.low,
        "tv_high": judged.tv.high,
        "rare_share": judged.rare_share.value,
        "rare_share_interval": [judged.rare_share.low, judged.rare_share.high],
        "top_probability": judged.top_probability.value,
        "top_probability_interval": list(asdict(judged.top_probability).values())[1:],
    }


def table(draws: dict[str, Draw], judged: dict[str, Figures]) -> Table:
    """The figures for a terminal of 80 columns."""
    result = Table(
        title="class figures over held-out bank rows, with 95 % intervals",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    result.add_column("draw", no_wrap=True)
    for column in ("rho", "k", "ESS", "k-hat", "result", "tv to uniform", "rare share", "p(top)"):
        result.add_column(column, justify="left" if column == "result" else "right", no_wrap=True)
    for name, draw in draws.items():
        f = judged[name]
        result.add_row(
            name,
            f"{draw.rho:g}",
            str(draw.top_k or "-"),
            f"{draw.ess:,.0f}",
            "-" if draw.khat is None else f"{draw.khat:.2f}",
            str(draw.result),
            _with_interval(f.tv),
            _with_interval(f.rare_share),
            f"{f.top_probability.value:.3f}",
        )
    return result


def _with_interval(estimate: Interval) -> str:
    low, high = (f"{bound:.2f}".removeprefix("0") for bound in (estimate.low, estimate.high))
    return f"{estimate.value:.3f} {low}-{high}"


if __name__ == "__main__":
    typer.run(main)
