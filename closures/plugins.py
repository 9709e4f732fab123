"""Closures of other packages, found by name among the entry points of a group.

A package that declares, in its pyproject.toml,

    [project.entry-points."closures.plugins"]
    mine = "package.module:make"

gives all commands the closure ``mine``: ``make(moments, gas)`` returns a `closures.closure.Closure`
of the gas (`closures.gas.Gas`) with so many moments, or with as many as it likes if that is None.
It may raise `kinetic.InvalidInput` for what it does not have. No code of a package runs unless a
closure of it is named, and no plugin takes the place of a closure of this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from kinetic.errors import InvalidInput

if TYPE_CHECKING:
    from closures.closure import Closure
    from closures.gas import Gas

GROUP = "closures.plugins"

MEMBERS = (
    *("name", "dimension", "moments", "extent", "c", "conductivity", "dissipation"),
    *("to", "decode", "distribution", "particles", "encode"),
)
"""What a `Closure` must have."""


def found() -> dict[str, EntryPoint]:
    """Return the plugins that are installed, by name."""
    return {one.name: one for one in entry_points(group=GROUP)}


def split(spec: str) -> tuple[str, int | None] | None:
    """Return name and number of moments of ``NAME`` or ``NAME-MOMENTS``, None if no plugin."""
    known = found()
    if spec in known:
        return spec, None
    matched = re.fullmatch(r"(.+)-([0-9]{1,4})", spec)
    return (matched[1], int(matched[2])) if matched and matched[1] in known else None


def make(name: str, moments: int | None, gas: Gas, key: str = "closure") -> Closure:
    """Return the closure of a plugin that is installed.

    Raises:
        InvalidInput: under `key`, if it cannot be loaded or what it makes is no closure of the gas.
    """
    plugin = found()[name]
    try:
        closure = plugin.load()(moments, gas)
    except InvalidInput:
        raise
    except Exception as error:  # the code of others may raise anything
        reason = f"the plugin {plugin.value} failed: {type(error).__name__}: {error}"
        raise InvalidInput(key, name, reason) from error
    missing = [member for member in MEMBERS if not hasattr(closure, member)]
    if missing:
        allowed = f"the plugin {plugin.value} made no closure: it lacks {', '.join(missing)}"
        raise InvalidInput(key, name, allowed)
    if closure.dimension != gas.dimension:
        allowed = f"the plugin {plugin.value} made one of velocity.dim={closure.dimension}"
        raise InvalidInput(key, name, f"{allowed}; the problem has {gas.dimension}")
    if moments is not None and closure.moments != moments:
        raise InvalidInput(f"{key}.moments", moments, f"{name} has {closure.moments}")
    return closure


def versions(specs: Iterable[str]) -> dict[str, str]:
    """Return the version of the package of each plugin among the names of closures."""
    known = found()
    named = {spec: part[0] for spec in specs if (part := split(spec))}
    return {
        spec: dist.version if (dist := known[name].dist) else "" for spec, name in named.items()
    }
