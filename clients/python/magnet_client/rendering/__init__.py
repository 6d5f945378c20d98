"""Pictures of slices; the only part that needs matplotlib, imported when something is drawn."""

from __future__ import annotations

from magnet_client.rendering.hyperplanes import draw_hyperplanes
from magnet_client.rendering.line import draw_line
from magnet_client.rendering.plane import draw_plane

__all__ = ["draw_hyperplanes", "draw_line", "draw_plane"]
