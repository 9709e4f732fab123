"""The report of several runs: what they vary, how errors follow it, and their profiles."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, ClassVar

from markupsafe import Markup
from matplotlib.axes import Axes

from closures.joined import Result, Run, profiles, read_runs
from closures.outcomes import REFERENCE
from closures.report.animation import KINDS, animate, check_kind
from closures.report.html import render, viewer, write_page
from closures.report.page import labels_of
from closures.report.style import Drawing, Look, blank, legend, looks, plain, settings
from closures.report.tables import NONE, flat, number, percent
from closures.snapshots import Profile
from kinetic.errors import InvalidInput
from kinetic.options import Options, choice, optional, text

#: Keys that do not make a problem another one, or whose members stand in the table as closures.
APART = ("closure.", "compare.closures", "output.")


#: What keys are called along an axis.
NAMES = {"knudsen": "Knudsen number ε"}


def directories(key: str, value: Any) -> tuple[str, ...]:
    """Accept a list of directories, each once."""
    if not isinstance(value, list | tuple) or not value:
        allowed = "name directories of runs or sweeps: closures report DIR..."
        raise InvalidInput(key, value, allowed)
    return tuple(dict.fromkeys(text(key, one) for one in value))


@dataclass(frozen=True)
class ReportOptions(Options):
    """Which runs are joined, and whether their cases become films too."""

    PREFIX: ClassVar[str] = "report"

    runs: Annotated[tuple[str, ...], directories]
    animation: Annotated[str | None, optional(choice(KINDS))] = None


@dataclass(frozen=True)
class ReportConfig(Options):
    """Everything that defines a joined report (``closures report``)."""

    report: ReportOptions


@dataclass(frozen=True)
class Row:
    """One closure in one family of one run: its settings, mean error, failures and time."""

    run: str
    settings: tuple[str, ...]
    family: str
    closure: str
    mean: str
    failed: int
    cases: int
    milliseconds: str


@dataclass(frozen=True)
class Quantity:
    """Something of results that is drawn: the attribute, its unit, and how it is called."""

    attribute: str
    unit: float
    title: str
    label: str
    caption: str

    def mean(self, group: Sequence[Result]) -> float | None:
        """Return its mean over the results that have it, in its unit."""
        mean = _mean([getattr(one, self.attribute) for one in group])
        return None if mean is None else mean / self.unit


ERROR = Quantity(
    "error", 1.0, "errors", "mean relative error", "error of density, momentum and energy"
)
TIME = Quantity("seconds", 1e-3, "times", "time of a case, ms", "time of a case")


def report(config: ReportConfig | Mapping[str, Any], folder: Path) -> Path:
    """Write report.html, figures/ and, if asked for, films of several runs to `folder`.

    Returns:
        The path of the page.

    Raises:
        InvalidInput: a directory has no runs, a file in it is damaged, or a film cannot be made.
    """
    if not isinstance(config, ReportConfig):
        config = ReportConfig.from_mapping(config)
    check_kind(config.report.animation)
    runs = read_runs(config.report.runs)
    shown = profiles(runs)
    results = [one for run in runs for one in run.results]
    counts = {one.closure: one.moments for one in results if one.closure != REFERENCE}
    appearance = looks(labels_of(counts))
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    with settings():
        drawings = [sweep_figure(runs, appearance)] if quantities(results) else []
        drawn = [(one, Markup(one.save(figures))) for one in drawings]
        for one in shown if config.report.animation else ():
            animate(one, appearance, figures, config.report.animation or "")
    page = _render(runs, folder, appearance, drawn, shown)
    return write_page(folder / "report.html", page)


def _render(
    runs: Sequence[Run],
    folder: Path,
    appearance: Mapping[str, Look],
    drawn: Sequence[tuple[Drawing, Markup]],
    shown: Sequence[Profile],
) -> str:
    varied = varied_keys(runs)
    keys = [key for key in varied if not key.startswith(APART)]
    results = [one for run in runs for one in run.results]
    present = {one.closure for one in results}
    return render(
        "runs.html.j2",
        {closure: look for closure, look in appearance.items() if closure in present},
        drawn=drawn,
        facts={
            "Runs": str(len(runs)),
            "Closures": str(len(present - {REFERENCE})),
            "Solutions": str(len(results)),
            "Failures": str(sum(one.reason is not None for one in results)),
            "Varied": ", ".join(keys + ["closure"] * (len(keys) < len(varied))) or "nothing",
        },
        keys=keys,
        rows=list(table(runs)),
        runs=[(run, _link(run, folder)) for run in runs],
        setups=varied,
        titles=[one.title for one in shown],
        judged=judged(results),
        compared=any(REFERENCE in one.solutions and len(one.solutions) > 1 for one in shown),
        heading=_titled(quantities(results)),
        viewer=viewer(shown, appearance),
    )


def _link(run: Run, folder: Path) -> str | None:
    """Where the page of a run lies, seen from that of all."""
    page = run.folder / "report.html"
    here = folder.resolve()
    return Path(os.path.relpath(page, here)).as_posix() if page.is_file() else None


def varied_keys(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the keys in which configurations differ, with the value of each run.

    A key that some runs lack, as the kinetic solver those of closures, differs if others set it.
    """
    known = [dict(flat(run.configuration)) for run in runs]
    keys = dict.fromkeys(key for one in known for key in one)
    values = {key: [one.get(key, NONE) for one in known] for key in keys}
    unset = {NONE, "null"}
    return {key: own for key, own in values.items() if len(set(own)) > 1 and set(own) - unset}


def table(runs: Sequence[Run]) -> Iterator[Row]:
    """Yield a row for each run, family and closure."""
    varied = {key: own for key, own in varied_keys(runs).items() if not key.startswith(APART)}
    for place, run in enumerate(runs):
        own = tuple(values[place] for values in varied.values())
        for (family, closure), group in _grouped(run.results).items():
            milliseconds = _mean([one.seconds for one in group])
            yield Row(
                run.name,
                own,
                family,
                closure,
                percent(_mean([one.error for one in group])),
                sum(one.reason is not None for one in group),
                len(group),
                NONE if milliseconds is None else number(1e3 * milliseconds),
            )


def _grouped(results: Sequence[Result]) -> dict[tuple[str, str], list[Result]]:
    found: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        found.setdefault((one.family, one.closure), []).append(one)
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def axis_of(runs: Sequence[Run]) -> tuple[str, list[float] | None]:
    """Return the key along which runs are drawn, and its values; none if it is the run itself.

    That is the Knudsen number, or else the first key with a number in every run.
    """
    keys = {key: own for key, own in varied_keys(runs).items() if not key.startswith(APART)}
    for key in sorted(keys, key=lambda one: one != "knudsen"):
        try:
            return key, [float(value) for value in keys[key]]
        except ValueError:
            continue
    return "run", None


def judged(results: Sequence[Result]) -> bool:
    """Return whether a closure was compared with the reference."""
    return any(one.closure != REFERENCE and one.error is not None for one in results)


def quantities(results: Sequence[Result]) -> list[Quantity]:
    """Return what there is to draw."""
    timed = any(one.seconds is not None for one in results)
    return [ERROR] * judged(results) + [TIME] * timed


def sweep_figure(runs: Sequence[Run], looks: Mapping[str, Look]) -> Drawing:
    """Draw mean errors and times of the closures, as far as known, over what runs vary, by family.

    Raises:
        ValueError: neither is known.
    """
    key, values = axis_of(runs)
    results = [one for run in runs for one in run.results]
    families, rows = list(dict.fromkeys(one.family for one in results)), quantities(results)
    if not rows:
        raise ValueError("runs without errors and times cannot be drawn")
    size = (max(3.6 * len(families) + 1.2, 8.4), 1.2 + 2.2 * len(rows))
    figure, axes = blank(len(rows), len(families), size, sharex="all", sharey="row")
    places = [float(i) for i in range(len(runs))] if values is None else values
    present = {one: look for one, look in looks.items() if any(r.closure == one for r in results)}
    for column, family in zip(axes.T, families, strict=True):
        column[0].set_title(plain(family))
        for axis, row in zip(column, rows, strict=True):
            for closure, look in present.items():
                own = [_grouped(run.results).get((family, closure), []) for run in runs]
                if closure != REFERENCE or row is TIME:
                    _curve(axis, places, [row.mean(group) for group in own], look, own)
            axis.set_yscale("log")
        column[-1].set_xlabel(NAMES.get(key, key))
        _horizontal(column[-1], runs, values)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(row.label)
    legend(figure, [look.handle() for look in present.values()])
    over = f"over {NAMES.get(key, key)}"
    caption = (
        f"Mean {' and mean '.join(row.caption for row in rows)}, {over}; a hollow mark is a mean "
        "over the cases that did not fail, where some did."
    )
    return Drawing("sweep", f"{_titled(rows)} {over}", caption, figure)


def _titled(rows: Sequence[Quantity]) -> str:
    """A heading, such as Errors and times."""
    return " and ".join(row.title for row in rows).capitalize()


def _curve(
    axis: Axes,
    places: Sequence[float],
    values: Sequence[float | None],
    look: Look,
    own: Sequence[Sequence[Result]],
) -> None:
    """Draw one closure, in the order of the axis, with a mark for each run."""
    known = sorted(
        (place, value, any(one.reason is not None for one in group))
        for place, value, group in zip(places, values, own, strict=True)
        if value
    )
    if not known:
        return
    x, y, failed = zip(*known, strict=True)
    axis.plot(x, y, **look.line(lw=min(look.width, 2.4)))
    for place, value, hollow in zip(x, y, failed, strict=True):
        face = "white" if hollow else look.color
        axis.plot(place, value, color=look.color, gid=look.gid, marker="o", ms=5, mfc=face)


def _horizontal(axis: Axes, runs: Sequence[Run], values: Sequence[float] | None) -> None:
    """Scale the axis of runs: by their names, or by values, which may span decades."""
    if values is None:
        axis.set_xticks(range(len(runs)), [plain(run.name) for run in runs])
        for label in axis.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
    elif min(values) > 0.0 and max(values) >= 8.0 * min(values):
        axis.set_xscale("log")
