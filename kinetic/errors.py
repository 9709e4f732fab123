"""The two ways a run ends badly: a refused input, and a solution that became non-physical."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr


class InvalidInput(ValueError):  # noqa: N818 - a public name of the project
    """A value given by the user is not allowed; `str()` is one line with key, value and remedy.

    Attributes:
        key: the configuration key, column or file that holds the value, e.g. ``"velocity.points"``.
        value: the offending value.
        allowed: what is allowed instead, in words.
    """

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(key, value, allowed)
        self.key = key
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        return " ".join(f"{self.key}={self.value}: {self.allowed}".split())


class NonPhysicalState(ArithmeticError):  # noqa: N818 - a public name of the project
    """The solution left the set of physical states (not finite, or rho <= 0 or T <= 0).

    Attributes:
        time: dimensionless time at which it was found.
        cell: index of the first offending cell.
        values: the values there, e.g. ``{"rho": -0.1, "u": 0.0, "T": 1.0}``.
        reason: what is wrong with them.
        solution: the snapshots computed before the failure, set by the driver that holds them.
    """

    def __init__(self, time: float, cell: int, values: Mapping[str, float], reason: str) -> None:
        super().__init__(time, cell, dict(values), reason)
        self.time = time
        self.cell = cell
        self.values = dict(values)
        self.reason = reason
        self.solution: xr.Dataset | None = None

    def __str__(self) -> str:
        state = ", ".join(f"{name}={value:.6g}" for name, value in self.values.items())
        return f"non-physical state at t={self.time:.6g}, cell {self.cell}: {state}: {self.reason}"


def nearest(name: str, choices: Collection[str]) -> str:
    """Return ``"; did you mean 'wave'?"`` for the choice most like `name`, or an empty string."""
    matches = get_close_matches(name, list(choices), n=1)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def check_choice(key: str, value: object, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`.

    Raises:
        InvalidInput: it is not; the message lists the choices and names the nearest.
    """
    if isinstance(value, str) and value in choices:
        return value
    allowed = "must be one of " + ", ".join(choices)
    raise InvalidInput(key, value, allowed + nearest(str(value), choices))
