"""`python -m examples.survey --out build/survey`: all figures, one after another."""

from __future__ import annotations

from pathlib import Path

from examples.survey import figure_3, figure_4, figure_5, figure_7, figure_8, figure_9, figure_12
from examples.survey.command import options, write

__all__ = ["PICTURES", "main"]

PICTURES = {
    3: figure_3.picture,
    4: figure_4.picture,
    5: figure_5.picture,
    7: figure_7.picture,
    8: figure_8.picture,
    9: figure_9.picture,
    12: figure_12.picture,
}


def main() -> None:
    """Write every figure, and print what was measured."""
    parser = options("examples.survey", __doc__)
    parser.add_argument("--out", type=Path, default=Path("build/survey"), help="folder to write")
    given = parser.parse_args()
    for number, picture in PICTURES.items():
        write(picture, given.out / f"figure_{number}.png", given.width)


if __name__ == "__main__":
    main()
