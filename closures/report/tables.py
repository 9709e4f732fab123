"""Tables of the report: what they say, as text; the template only arranges it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import floor, log10
from typing import Any

from closures.metrics import FIELDS
from closures.outcomes import REFERENCE, Comparison, Summary, overall

NONE = "–"


@dataclass(frozen=True)
class Row:
    """One closure in one family: errors in percent, failures, milliseconds a case, speed.

    Attributes:
        closure: the closure.
        mean: mean error of the three fields.
        errors: error of each field.
        failed, cases: numbers of cases.
        milliseconds: wall time of one case.
        speed: how many times faster than the reference.
        best: whether no closure of the family has a smaller mean error, with no failure.
    """

    closure: str
    mean: str
    errors: tuple[str, ...]
    failed: int
    cases: int
    milliseconds: str
    speed: str
    best: bool


def accuracy(comparison: Comparison) -> dict[str, list[Row]]:
    """Return the rows of each family, the reference last."""
    summary = comparison.summary()
    return {
        family: [
            _row(closure, {name: families[family] for name, families in summary.items()})
            for closure in (*comparison.closures, REFERENCE)
        ]
        for family in comparison.families
    }


def _row(closure: str, family: Mapping[str, Summary]) -> Row:
    own, reference = family[closure], family[REFERENCE]
    means = {
        name: mean
        for name, summary in family.items()
        if name != REFERENCE and not summary["failed"] and (mean := overall(summary)) is not None
    }
    seconds, base = own["seconds"], reference["seconds"]
    return Row(
        closure,
        percent(overall(own)),
        tuple(percent(own[name]) for name in FIELDS),
        int(own["failed"] or 0),
        int(own["cases"] or 0),
        NONE if seconds is None else number(1e3 * seconds),
        NONE if not seconds or base is None else f"{number(base / seconds)} ×",
        bool(means) and min(means, key=means.__getitem__) == closure,
    )


def percent(fraction: float | None) -> str:
    """Return a fraction in percent, without the sign, or a dash for None."""
    return NONE if fraction is None else number(100.0 * fraction)


def number(value: float) -> str:
    """Return a number with two significant digits, or three from 100 on, never with an exponent.

    >>> [number(value) for value in (0.0123, 1.96, 34.6, 1234.5)]
    ['0.012', '2.0', '35', '1234']
    """
    if value == 0.0 or not abs(value) < 1e15:
        return f"{value:g}"
    digits = max(0, 1 - floor(log10(abs(float(f"{value:.2g}")))))
    return f"{value:.{digits}f}"


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the value of every leaf of nested mappings, as on a command line."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_plain, value)) + "]"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
