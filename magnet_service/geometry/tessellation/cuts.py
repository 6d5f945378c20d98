"""Functions that split tiles, what a split of them will make, and what it made."""

from __future__ import annotations

from dataclasses import dataclass

from magnet_service.geometry.tessellation.subdivision import Floats, Integers, Places, Subdivision, Words

__all__ = ["Cuts", "Split", "SplitPlan"]


@dataclass(frozen=True)
class Cuts:
    """Functions, affine on every tile, that split tiles where they reach a level.

    Attributes:
        values: [vertices, width], at the vertices.
        columns: [functions], the column of `values` that holds each of them.
        levels: [functions].
        floors: [functions], what rounding may make of 0: no further from its level a value is taken to be there.
        labels: [functions, 3], for the edges they make.
        allowed_edges: [edges, words] bits of the functions that may cross an edge; no rows for all.
        allowed_tiles: the same for tiles.
    """

    values: Floats
    columns: Integers
    levels: Floats
    floors: Floats
    labels: Integers
    allowed_edges: Words
    allowed_tiles: Words


@dataclass(frozen=True)
class SplitPlan:
    """What a split will make, counted before anything of it is made.

    Attributes:
        cuts: the functions.
        crossing_starts, crossing_functions, crossing_ordinals, places, made: crossings of each edge.
        chord_starts, chords, counts: chords of each tile.
        merged: how often the tie rule took two for one so far.
    """

    cuts: Cuts
    crossing_starts: Places
    crossing_functions: Integers
    crossing_ordinals: Integers
    places: Floats
    made: Places
    chord_starts: Places
    chords: Integers
    counts: Places
    merged: int

    @property
    def tiles(self) -> int:
        """Tiles after the split, at most."""
        return len(self.counts) + int(self.counts[:, :2].sum())

    @property
    def vertices(self) -> int:
        """Vertices after the split, at most."""
        return len(self.cuts.values) + int(self.made.sum() + self.counts[:, 1].sum())


@dataclass(frozen=True)
class Split:
    """A subdivision after a split, and where its vertices come from.

    Attributes:
        subdivision: the new one; vertices that were there keep their numbers.
        first_inner: the first new vertex inside of a tile of before; those in between lie on edges of before.
        parents, shares: of the new vertices: (1 - share) times the first parent and share times the second. A parent's
            number is below the vertex's own.
        functions: [new vertices, 2], the functions that reach their level there, -1 for none.
        sources: [edges], the function that made each, -1 for pieces of the edges of before.
        origins: [tiles], the tile of before that each comes from.
        merged: how often the tie rule took two for one.
    """

    subdivision: Subdivision
    first_inner: int
    parents: Integers
    shares: Floats
    functions: Integers
    sources: Integers
    origins: Places
    merged: int
