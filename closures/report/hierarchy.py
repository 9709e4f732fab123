"""Figure of what more moments bring and what they cost: closures of one name, joined by K."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from closures.outcomes import REFERENCE, Comparison, Summary, overall
from closures.report.style import DASHES, REFERENCE_GREY, Drawing, Look, blank, legend, plain

JOIN = "#8A8F98"
MARKERS = ("o", "s", "^")
"""One for each of `DASHES`: closures that share a colour differ in it."""


@dataclass(frozen=True)
class Point:
    """A closure in a family: K, mean error, milliseconds a case, and whether a case failed."""

    closure: str
    moments: int
    error: float
    milliseconds: float
    failed: bool


def hierarchies(comparison: Comparison) -> dict[str, list[str]]:
    """Return the closures of each name that occurs with several K, by K.

    Of two closures of one name and one K, such as two trained ones, the first is joined.
    """
    names: dict[str, dict[int, str]] = {}
    for spec, closure in comparison.closures.items():
        names.setdefault(closure.name, {}).setdefault(closure.moments, spec)
    return {
        name: [members[K] for K in sorted(members)]
        for name, members in names.items()
        if len(members) > 1
    }


def hierarchy_figure(comparison: Comparison, looks: Mapping[str, Look]) -> Drawing:
    """Draw the mean error against K and against the time of a case, a column for each family."""
    families, summary = comparison.families, comparison.summary()
    size = (3.3 * len(families) + 0.9, 6.0)
    figure, axes = blank(2, len(families), size, sharey="all", sharex="row")
    for column, family in zip(axes.T, families, strict=True):
        points = _points(comparison, {name: one[family] for name, one in summary.items()})
        for axis, horizontal in zip(column, ("moments", "milliseconds"), strict=True):
            for joined in hierarchies(comparison).values():
                _join(axis, [points[spec] for spec in joined if spec in points], horizontal)
            for point in points.values():
                _mark(axis, point, horizontal, looks[point.closure])
        _reference(column[1], summary[REFERENCE][family])
        column[0].set_title(family)
        column[0].set_xlabel("moments K beyond ρ, ρu, E")
        column[1].set_xlabel("time of a case, ms")
    axes[0, 0].set_yscale("log")
    axes[1, 0].set_xscale("log")
    # Powers of ten alone would be one or two; where they are few, matplotlib labels all between.
    axes[1, 0].xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes[1, 0].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes[1, 0].xaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes[:, 0]:
        axis.set_ylabel("mean relative error")
    legend(figure, [_handle(looks[closure]) for closure in comparison.closures])
    caption = (
        "Mean error of the three fields against the number of moments, and against the time that a "
        "case takes. Lines join closures of one name by K; a hollow mark is a mean over the cases "
        "that did not fail, where some did. The vertical line is the time of the reference."
    )
    return Drawing("hierarchy", "Error against moments and against cost", caption, figure)


def _points(comparison: Comparison, family: Mapping[str, Summary]) -> dict[str, Point]:
    """Return the closures that did not fail in every case."""
    return {
        spec: Point(spec, closure.moments, error, 1e3 * seconds, bool(family[spec]["failed"]))
        for spec, closure in comparison.closures.items()
        if (error := overall(family[spec])) and (seconds := family[spec]["seconds"])
    }


def _join(axis: Axes, points: list[Point], horizontal: str) -> None:
    for one, other in pairwise(points):
        x = [getattr(point, horizontal) for point in (one, other)]
        axis.plot(x, [one.error, other.error], color=JOIN, lw=1.0, zorder=1)


def _mark(axis: Axes, point: Point, horizontal: str, look: Look) -> None:
    options = _marker(look) | ({"markerfacecolor": "white"} if point.failed else {})
    axis.plot(getattr(point, horizontal), point.error, zorder=2, **options)


def _reference(axis: Axes, summary: Summary) -> None:
    if summary["seconds"]:
        axis.axvline(1e3 * summary["seconds"], color=REFERENCE_GREY, lw=3.0, zorder=0)


def _handle(look: Look) -> Line2D:
    return Line2D([], [], label=plain(look.label), **_marker(look))


def _marker(look: Look) -> dict[str, Any]:
    marker = MARKERS[DASHES.index(look.dash)]
    form = {"marker": marker, "ms": 6.5, "mew": 1.5, "ls": ""}
    return {"color": look.color, "gid": look.gid} | form
