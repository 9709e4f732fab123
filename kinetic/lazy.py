"""Public names that are imported on first use (PEP 562).

Importing a package, as every start of its command line does, then costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, public: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its name.
        public: the module where each public name lives; a name may be that of the module itself.
    """

    def find(name: str) -> Any:
        """Return the object that is called `name`, importing its module."""
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(public[name])
        return module if module.__name__ == f"{package}.{name}" else getattr(module, name)

    return find, lambda: sorted(public)
