"""Prints the requirements of the base install and of the extras named, one a line, from pyproject.toml."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

__all__ = ["requirements"]


def requirements(project: Path, extras: list[str]) -> list[str]:
    """The dependencies of the base and of the extras, sorted.

    Arguments:
        project: pyproject.toml.
        extras: names under [project.optional-dependencies].

    Returns:
        Requirement strings without the project itself.

    Raises:
        KeyError: an extra that the file does not name.
    """
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    lines = set(table["dependencies"])
    for extra in extras:
        lines |= set(table["optional-dependencies"][extra])
    return sorted(line for line in lines if not line.startswith(table["name"]))


if __name__ == "__main__":
    print("\n".join(requirements(Path("pyproject.toml"), sys.argv[1:])))
