"""Learned moment closures of kinetic equations, and the finite-volume solver that advances them.

Equation and scaling are those of `kinetic`. A closure carries moments beyond density, momentum and
energy, and decodes them to a distribution from which every flux follows:

    >>> import closures
    >>> solution = closures.solve(problem="wave", knudsen=0.1, closure="entropy")
    >>> solution.density.sel(time=0.1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinetic.lazy import lazy_names

if TYPE_CHECKING:
    from closures.comparison import compare as compare
    from closures.library import load as load
    from closures.solution import solve as solve

#: Where each public name lives. They are imported on first use, so that importing `closures`, as
#: every start of the command line does, does not load PyTorch.
_PUBLIC: dict[str, str] = {
    "solve": "closures.solution",
    "load": "closures.library",
    "compare": "closures.comparison",
    "train": "closures.training",
}

__all__ = list(_PUBLIC)
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
