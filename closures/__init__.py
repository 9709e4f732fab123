"""Learned moment closures of kinetic equations, and the finite-volume solver that advances them.

Equation and scaling are those of `kinetic`. A closure carries moments beyond density, momentum and
energy, and decodes them to a distribution from which every flux follows:

    >>> import closures
    >>> solution = closures.solve(problem="wave", knudsen=0.1, closure="entropy")
    >>> solution.density.sel(time=0.1)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from closures.comparison import compare as compare
    from closures.library import load as load
    from closures.solution import solve as solve

#: Where each public name lives. They are imported on first use, so that importing `closures`, as
#: every start of the command line does, does not load PyTorch (PEP 562).
_PUBLIC: dict[str, str] = {
    "solve": "closures.solution",
    "load": "closures.library",
    "compare": "closures.comparison",
    "train": "closures.training",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'closures' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
