"""Figures of concurrent learning: a run round by round, and its error against that of chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from closures.learn.status import read_status, table
from closures.learn.store import LabelStore
from closures.report.html import render, write_page
from closures.report.style import PALETTE, Drawing, blank, legend, settings
from closures.report.tables import flat
from kinetic.errors import InvalidInput
from kinetic.files import read_json

LOOKS = {"random": (PALETTE[1], "s", "drawn at random"), "indicator": (PALETTE[0], "o", "selected")}
"""Colour, marker and label of the two ways to choose what is labelled."""

Curve = Sequence[Mapping[str, Any]]
"""Points {labels, error}, the error being that of every decade of the Knudsen number."""


def curve_figure(curves: Mapping[str, Sequence[Curve]]) -> Drawing:
    """Draw the error of the worst decade, and of each, against the number of labels.

    Args:
        curves: of each way to choose the labels, one for each seed.
    """
    decades = list(next(iter(curves.values()))[0][0]["error"])
    panels = {"worst decade": None, **{decade_label(one): one for one in decades}}
    figure, axes = blank(1, len(panels), (2.3 * len(panels) + 0.8, 3.2))
    for axis, (title, decade) in zip(axes[0], panels.items(), strict=True):
        for name, runs in curves.items():
            _draw_runs(axis, name, runs, decade)
        axis.set(title=title, xlabel="labelled windows", ylim=(0.0, None))
    axes[0, 0].set_ylabel("error on held-out gases, %")
    legend(figure, axes[0, 0].get_lines()[:: len(next(iter(curves.values()))) + 1])
    caption = (
        "Error of closures learned from windows that the ensemble's disagreement selected, and "
        "from as many drawn at random: thin lines are runs of different seeds, thick ones their "
        "mean. The held-out gases fill the explored space evenly."
    )
    return Drawing("learning-curve", "Error against labels", caption, figure)


def decade_label(exponent: str) -> str:
    """How a decade of the Knudsen number is written."""
    low = int(exponent)
    return rf"$10^{{{low}}} \leq \varepsilon < 10^{{{low + 1}}}$"


def _draw_runs(axis: Any, name: str, runs: Sequence[Curve], decade: str | None) -> None:
    color, marker, label = LOOKS[name]
    labels = [point["labels"] for point in runs[0]]
    errors = np.array([[100 * _error(point, decade) for point in run] for run in runs])
    axis.plot(labels, errors.mean(axis=0), color=color, marker=marker, lw=2.0, ms=5, label=label)
    for one in errors:
        axis.plot(labels, one, color=color, lw=0.7, alpha=0.5)


def _error(point: Mapping[str, Any], decade: str | None) -> float:
    errors = point["error"]
    return float(max(errors.values()) if decade is None else errors[decade])


Rows = Sequence[Mapping[str, Any]]
"""Of a run, see `closures.learn.status.Row`."""


def write_report(folder: Path) -> Path:
    """Write ``figures/`` and ``report.html`` of a run, finished or not; return the page.

    Raises:
        InvalidInput: `folder` is not the directory of a run.
    """
    status = read_status(folder)
    (folder / "figures").mkdir(exist_ok=True)
    with settings():
        figures = [draw(status.rows) for draw in (gases_figure, by_decade_figure) if status.rows]
        drawings = [(drawing, drawing.save(folder / "figures")) for drawing in figures]
    failures = LabelStore(folder / "labels").failures()
    configuration = _configuration(folder / "configuration.json")
    page = render(
        "learning.html.j2",
        {},
        drawings=drawings,
        table=table(status.rows),
        state=status.state,
        failures=failures,
        configuration=dict(flat(configuration)),
        facts=_facts(status.rows),
        viewer=None,
    )
    return write_page(folder / "report.html", page)


def _configuration(file: Path) -> dict[str, Any]:
    """The configuration that a run was begun with.

    Raises:
        InvalidInput: it is damaged.
    """
    try:
        _, configuration = read_json(file)
        return dict(configuration)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput("hydra.run.dir", file, f"is damaged: {error}") from error


def _facts(rows: Rows) -> dict[str, str]:
    if not rows:
        return {}
    last, seconds = rows[-1], [sum(row["seconds"].values()) for row in rows]
    return {
        "rounds": str(len(rows)),
        "explored": str(last["total_explored"]),
        "labelled": f"{last['total_labelled']} ({100 * last['share']:.2g} %)",
        "wall time": f"{sum(seconds):.0f} s",
    }


def gases_figure(rows: Rows) -> Drawing:
    """Draw what became of the gases of each round, and where the time went."""
    figure, axes = blank(1, 3, (9.6, 3.0))
    number = [row["round"] for row in rows]
    kinds = ("accurate", "candidate", "failed")
    axes[0, 0].stackplot(number, [[row[k] for row in rows] for k in kinds], labels=kinds, alpha=0.8)
    axes[0, 0].set_ylabel("gases explored")
    axes[0, 1].plot(number, [100 * row["share"] for row in rows], color=PALETTE[1], marker="o")
    axes[0, 1].set(ylabel="labelled of all explored, %", yscale="log")
    phases = ("explore", "label", "train", "validate")
    spent = [[row["seconds"].get(phase, 0.0) for row in rows] for phase in phases]
    axes[0, 2].stackplot(number, spent, labels=phases, alpha=0.8)
    axes[0, 2].set_ylabel("seconds")
    for axis in axes[0]:
        axis.set_xlabel("round")
    for axis in axes[0, ::2]:
        axis.legend(loc="upper left")
    caption = (
        "Left: the explored gases of each round, by class. Middle: the share of labelled gases in "
        "all that were explored so far. Right: the wall time of each round."
    )
    return Drawing("gases", "Gases and time", caption, figure)


def by_decade_figure(rows: Rows) -> Drawing:
    """Draw the worst indicator and the validation error of each decade, round by round."""
    figure, axes = blank(1, 2, (7.6, 3.2))
    names = {"worst": "worst indicator, %", "error": "validation error, %"}
    for axis, (name, label) in zip(axes[0], names.items(), strict=True):
        for place, decade in enumerate(rows[0][name]):
            known = [(row["round"], 100 * row[name][decade]) for row in rows if row[name][decade]]
            x, y = np.array(known).reshape(-1, 2).T
            axis.plot(x, y, color=PALETTE[place], marker="o", ms=4, label=decade_label(decade))
        axis.set(xlabel="round", ylabel=label, yscale="log")
    legend(figure, axes[0, 0].get_lines())
    caption = (
        "By decade of the Knudsen number: the largest indicator of gases drawn at random, and the "
        "error of the closures on labels that they did not learn from."
    )
    return Drawing("learning-decades", "Decades of the Knudsen number", caption, figure)
