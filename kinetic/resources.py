"""Where the configuration files are: inside the installed package, or in the checkout."""

from __future__ import annotations

from pathlib import Path


def config_dir() -> Path:
    """Return the directory of the Hydra configuration files.

    The wheel holds them as ``kinetic/conf``; in a checkout they are in ``conf`` beside the package.
    """
    package = Path(__file__).resolve().parent
    shipped = package / "conf"
    return shipped if shipped.is_dir() else package.parent / "conf"
