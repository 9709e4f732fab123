"""Where the trained closures shipped with the project are: in the package, or in the checkout."""

from __future__ import annotations

from pathlib import Path


def closures_dir() -> Path:
    """Return the directory with one subdirectory a shipped closure.

    The wheel holds it as ``closures/data/closures``; in a checkout it is ``data/closures``.
    """
    package = Path(__file__).resolve().parent
    inside = Path("data") / "closures"
    shipped = package / inside
    return shipped if shipped.is_dir() else package.parent / inside
