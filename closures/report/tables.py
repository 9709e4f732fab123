"""Tables of the report: what they say, as text; the template only arranges it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import floor, log10
from typing import Any

from closures.metrics import FIELDS
from closures.outcomes import REFERENCE, Comparison, Summary, overall
from closures.structure import PROPERTIES, Finding

NONE = "–"
TINY = 1e-300

WORSE = 2.0
"""A decade is marked where the error is this many times the mean of the family."""

PROPERTY_NOTES = {
    "realizability": "Every gas has a reconstruction f̂: the share of random gases without one.",
    "positivity": "f̂ > 0: its least value times √T/ρ (a number below 1e-300 is shown as 0).",
    "equilibrium": "A uniform gas stays: the largest relative change of ρ, ρu, E.",
    "reflection": "A mirrored gas has the mirrored solution: the largest relative difference.",
    "hyperbolicity": "The flux Jacobian in the local frame has real eigenvalues: the largest "
    "imaginary part, relative to the fastest speed.",
    "entropy": "∫∫ f̂ log f̂ dv dx does not increase in a step of a periodic gas: the largest "
    "increase per mass; a dash where f̂ is negative and has none.",
}
"""What each property of `closures.structure` says, and what its value is."""


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


@dataclass(frozen=True)
class Decade:
    """The mean error of a closure in a decade of eps, in percent, and whether it stands out."""

    mean: str
    failed: int
    cases: int
    worse: bool


def decade_rows(comparison: Comparison) -> dict[str, tuple[list[str], dict[str, list[Decade]]]]:
    """Return for each family of constant eps the decades, and the rows closure -> entries.

    The decades are those of all families, so that columns are the same; not every one has cases.
    """
    summary, decades = comparison.summary(), comparison.decades()
    spans = sorted(
        {_span(one) for own in decades.values() for each in own.values() for one in each}
    )
    found = {}
    for family in comparison.families:
        rows = {}
        for closure, families in decades.items():
            if family in families:
                known = {_span(one): one for one in families[family]}
                usual = summary[closure][family]
                rows[closure] = [_decade(known.get(span), usual) for span in spans]
        if rows:
            found[family] = [f"{first:g} – {last:g}" for first, last in spans], rows
    return found


def _span(decade: Summary) -> tuple[float, float]:
    return float(decade["from"] or 0.0), float(decade["to"] or 0.0)


def _decade(own: Summary | None, family: Summary) -> Decade:
    if own is None:
        return Decade(NONE, 0, 0, False)
    mean, usual = overall(own), overall(family)
    worse = mean is not None and usual is not None and mean > WORSE * usual
    return Decade(percent(mean), int(own["failed"] or 0), int(own["cases"] or 0), worse)


@dataclass(frozen=True)
class Kept:
    """Whether a closure has a property, and the value measured, in words and to sort by."""

    passes: bool
    value: str
    number: float | str


def structure_rows(comparison: Comparison) -> dict[str, list[Kept]]:
    """Return closure -> one entry for each of `PROPERTIES`."""
    return {
        closure: [_kept(findings[name]) for name in PROPERTIES]
        for closure, findings in comparison.structure.items()
    }


def _kept(finding: Finding) -> Kept:
    if finding.value is None:
        return Kept(finding.passes, NONE, NONE)
    return Kept(finding.passes, scientific(finding.value), finding.value)


def scientific(value: float) -> str:
    """Return a number with two digits, times a power of ten unless it is near one.

    >>> [scientific(value) for value in (0.32, -1.8e-6, 1e-310)]
    ['0.32', '−1.8·10⁻⁶', '0']
    """
    if abs(value) < TINY:
        return "0"
    if 0.01 <= abs(value) < 100.0:
        return f"{value:.2g}".replace("-", "−")
    digits, _, power = f"{value:.1e}".partition("e")
    exponent = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits}·10{exponent}".replace("-", "−")


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
