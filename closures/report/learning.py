"""Figures of concurrent learning: a run round by round, and its error against that of chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from closures.report.style import PALETTE, Drawing, blank, legend

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
