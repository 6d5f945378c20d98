"""What `magnet slice` prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from magnet_client import HyperplaneDensity, SliceHeader, Tessellation
from magnet_client.tile_densities import tile_log_volumes
from magnet_service.cli.terminal import STDOUT, grid, sheet_of, short_law

__all__ = ["print_slice"]


def print_slice(
    found: Tessellation | HyperplaneDensity, words: str, halvings: int, out: Path | None, top_k: int, rho: float
) -> None:
    """Print what is known of a slice.

    Arguments:
        found: the tiles, or where boundaries lie.
        words: where the latents come from.
        halvings: of a window of ours.
        out: the file that was written.
        top_k: k of log-volumes and densities; 0 for d.
        rho: power of v_k in the tiles' law.
    """
    header = found.header
    figures, tiles = header.statistics, "intervals" if header.axes == 1 else "tiles"
    size = "lengths" if header.axes == 1 else "areas"
    STDOUT.print(
        sheet_of(
            [
                ("slice", f"{'line' if header.axes == 1 else 'plane'} of {header.generator} {words}"),
                ("condition", "" if header.condition is None else header.condition),
                ("latents at", _points(header)),
                ("window", _window(header) + _shrunk(halvings)),
                (tiles, f"{header.tiles:,}" + _structure(header)),
                ("extent", _extent(header)),
                (size, f"mean {figures.area_mean:.4g}, sd {figures.area_sd:.4g}"),
                ("corners", "" if header.axes == 1 else f"mean {figures.corners_mean:.2f}"),
                ("eccentricity", "" if header.axes == 1 else f"mean {figures.eccentricity_mean:.4g}"),
                *(_norms(found) if isinstance(found, Tessellation) else []),
                *(_densities(found, top_k, rho) if isinstance(found, Tessellation) else []),
                ("merged", f"{header.merged:,} by the tie rule" if header.merged else ""),
            ]
        )
    )
    rows = [
        (layer.name, layer.operation, f"{layer.units:,}", f"{layer.bending:,}", f"{layer.tiles:,}", f"{added:,}")
        for layer, added in zip(header.layers, figures.added, strict=True)
    ]
    cut = header.tiles - (header.layers[-1].tiles if header.layers else 1)
    if cut:
        rows.append(("decision boundary", "", "", "", f"{header.tiles:,}", f"{cut:,}"))
    if rows:
        STDOUT.print(grid("", ("layer", "operation", "units>", "bending>", f"{tiles}>", "added>"), rows))
    if out is not None:
        STDOUT.print(f"wrote {out}", markup=False, soft_wrap=True)


def _structure(header: SliceHeader) -> str:
    return "" if header.axes == 1 else f", {header.edges:,} edges, {header.vertices:,} vertices"


def _extent(header: SliceHeader) -> str:
    if not header.truncated:
        return f"COMPLETE, up to {header.target}"
    return (
        f"TRUNCATED before {header.stopped_at}: it would make more than {header.max_tiles:,} tiles, or need more "
        "memory than the server gives; take a smaller --window, or raise --max-tiles"
    )


def _norms(found: Tessellation) -> list[tuple[str, str]]:
    if found.truncated:
        return []
    facts = [("norm", f"{found.spectral_norms.min():.4g} to {found.spectral_norms.max():.4g}")]
    if found.axes == 2:
        facts.append(("stretch", f"{found.stretches.min():.4g} to {found.stretches.max():.4g}"))
    return facts


def _densities(found: Tessellation, top_k: int, rho: float) -> list[tuple[str, str]]:
    facts, header = [], found.header
    if found.log_singular_values is not None:
        logs, k = tile_log_volumes(found, top_k)
        top = "" if k == found.log_singular_values.shape[1] else f", top {k}"
        facts.append(("log-volume", f"{logs.min():.4g} to {logs.max():.4g} nats ({header.precision}{top})"))
    if found.log_singular_values is not None and found.log_prior is not None:
        density = found.log_density(top_k)
        finite = density.values[np.isfinite(density.values)]
        spread = f"{finite.min():.4g} to {finite.max():.4g} nats" if len(finite) else "none"
        whole = density.top_k == density.columns
        facts.append(("log density" if whole else density.label, spread + ", of one preimage" * whole))
    if found.masses is not None:
        masses = found.masses_at(rho, top_k)
        facts.append(("masses", f"{masses.law}, at most {masses.masses.max():.4g} a tile (error {masses.error:.1g})"))
        facts.append(("of the window", "" if masses.window is None else f"probability {masses.window:.6g}"))
        share = f"{masses.left_out:.2%} of the prior, on tiles of rank below {masses.top_k}"
        facts.append(("left out", share if masses.left_out else ""))
    placed = found.log_prior is not None or found.masses is not None
    return [("prior", short_law(header.prior)), *facts] if placed else facts


def _points(header: SliceHeader) -> str:
    if header.through is None:
        return ""
    return "; ".join(", ".join(f"{round(number, 12):.4g}" for number in point) for point in header.through.tolist())


def _window(header: SliceHeader) -> str:
    corners = header.window
    low, high = corners.min(axis=0), corners.max(axis=0)
    spans = [f"{left:.4g} to {right:.4g}" for left, right in zip(low.tolist(), high.tolist(), strict=True)]
    plain = len(corners) == 2**header.axes and ((corners == low) | (corners == high)).all()
    return ("" if plain else f"{len(corners)} corners within ") + " by ".join(spans)


def _shrunk(halvings: int) -> str:
    if not halvings:
        return ""
    return f"; 1/{2**halvings} of what bounds the latents, about the first, so that the tiles are few enough"
