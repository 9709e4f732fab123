"""Validated, frozen groups of options: the machinery beneath every configuration of the project.

A configuration is a tree of frozen dataclasses derived from `Options`. The annotation of each field
carries the check that its value must pass, ``points: Annotated[int, integer(8, 4096)] = 81``, so an
instance that exists is valid, however it was made. A check is a function ``(key, value) -> accepted
value`` that raises `InvalidInput` under the dotted `key`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, ClassVar, Self, get_type_hints

from kinetic.errors import InvalidInput, check_choice, nearest

Check = Callable[[str, Any], Any]


def integer(low: int, high: int) -> Check:
    """Accept whole numbers in [low, high], also written as ``81.0``; booleans are not numbers."""
    allowed = f"must be a whole number from {low} to {high}"

    def check(key: str, value: Any) -> int:
        """Return `value` as an int, or raise `InvalidInput`."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidInput(key, value, allowed)
        return value

    return check


def positive(low: float, high: float) -> Check:
    """Accept real, finite numbers in [low, high], where low > 0; booleans are not numbers."""
    allowed = f"must be a number from {low:g} to {high:g}"

    def check(key: str, value: Any) -> float:
        """Return `value` as a float, or raise `InvalidInput`."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high:  # also false for NaN
            raise InvalidInput(key, value, allowed)
        return float(value)

    return check


def flag(key: str, value: Any) -> bool:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise InvalidInput(key, value, "must be true or false")
    return value


def text(key: str, value: Any) -> str:
    """Accept a non-empty string or a path, returned as a string."""
    accepted = str(value) if hasattr(value, "__fspath__") else value
    if not isinstance(accepted, str) or not accepted.strip():
        raise InvalidInput(key, value, "must be a non-empty string")
    return accepted


def choice(names: Collection[str]) -> Check:
    """Accept one of `names`."""

    def check(key: str, value: Any) -> str:
        """Return `value` if it is a name; see `kinetic.errors.check_choice`."""
        return check_choice(key, value, names)

    return check


def several(check_one: Check) -> Check:
    """Accept a non-empty list of distinct values that pass `check_one`, returned as a tuple."""

    def check(key: str, value: Any) -> tuple[Any, ...]:
        """Return the entries that `check_one` accepted, or raise `InvalidInput`."""
        if not isinstance(value, list | tuple) or not value:
            raise InvalidInput(key, value, "must be a list with at least one entry")
        accepted = tuple(check_one(key, entry) for entry in value)
        if len(set(accepted)) < len(accepted):
            raise InvalidInput(key, list(value), "must not name anything twice")
        return accepted

    return check


def optional(check_one: Check) -> Check:
    """Accept None, or what `check_one` accepts."""

    def check(key: str, value: Any) -> Any:
        """Return None, or what `check_one` accepted."""
        return None if value is None else check_one(key, value)

    return check


def _checks(kind: Any) -> dict[str, Check]:
    """Return the check of every field: the one it is annotated with, or that of a nested group."""
    return _read_checks(kind)


@cache
def _read_checks(kind: Any) -> dict[str, Check]:
    """Return what `_checks` does; kept, as it takes long to read annotations."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: _check_of(hints[field.name]) for field in dataclasses.fields(kind)}


def _check_of(hint: Any) -> Check:
    return hint.__metadata__[0] if hasattr(hint, "__metadata__") else hint.accept


class Options:
    """Base of the option groups: frozen dataclasses whose annotations hold the checks.

    Class attributes:
        PREFIX: dotted name of the group in the configuration, empty for the whole of it.
        SCALAR: the field that a bare value stands for, so that ``problem=wave`` may be written for
            ``problem.name=wave``.
    """

    PREFIX: ClassVar[str] = ""
    SCALAR: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        for name, check in _checks(type(self)).items():
            accepted = check(self.key(name), getattr(self, name))
            object.__setattr__(self, name, accepted)

    @classmethod
    def key(cls, name: str) -> str:
        """Return the dotted key of the field `name`, e.g. ``"velocity.points"``."""
        return f"{cls.PREFIX}.{name}" if cls.PREFIX else name

    @classmethod
    def accept(cls, key: str, value: Any) -> Self:
        """Check for a field that holds this group: an instance, a mapping, or a bare `SCALAR`."""
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls.from_mapping(value)
        if cls.SCALAR is not None and value is not None:
            return cls.from_mapping({cls.SCALAR: value})
        raise InvalidInput(key, value, "must be a group with the keys " + ", ".join(_checks(cls)))

    @classmethod
    def from_mapping(cls, values: Mapping[Any, Any]) -> Self:
        """Build the group from nested mappings, such as a configuration file holds.

        Raises:
            InvalidInput: a key is unknown or a value is not allowed.
        """
        known = _checks(cls)
        for name in values:
            if name not in known:
                allowed = "unknown key; known here: " + ", ".join(known)
                raise InvalidInput(
                    cls.key(str(name)), values[name], allowed + nearest(str(name), known)
                )
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, the inverse of `from_mapping`."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]
