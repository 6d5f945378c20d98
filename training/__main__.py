"""List the scripts of this folder, in the order in which they run: `python -m training --help`."""

from __future__ import annotations

import argparse

__all__ = ["main"]

SCRIPTS = {
    "classifier": "the classifier that evaluation and demo use",
    "fashion": "the convolutional GAN on long-tailed Fashion-MNIST",
    "rings": "the plane WGAN",
    "export": "archives and generator.toml of the repository form",
    "evaluate": "the model cards",
}


def main() -> None:
    """Print what each script makes; each is run by its own name."""
    listed = "\n".join(f"  python -m training.{name:<11} {made}" for name, made in SCRIPTS.items())
    argparse.ArgumentParser(
        prog="python -m training",
        description=f"{__doc__}\n\n{listed}\n\nEach takes --help.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    print(listed)


if __name__ == "__main__":
    main()
