"""Figures of single cases: profiles in x at three times, and f with its reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from closures.metrics import Array, field
from closures.outcomes import REFERENCE, Case, Outcome
from closures.report.reconstruction import Sample
from closures.report.style import INK, SYMBOLS, Drawing, Look, blank, legend, note, outer_labels

#: How far beyond the reference a panel reaches, in units of the range of the reference.
MARGIN = 0.5

FIELDS = ("density", "momentum", "energy", "temperature", "heat_flux")


@dataclass(frozen=True)
class Showcase:
    """A case to be drawn: the reference and what each closure made of it.

    Attributes:
        case: the case.
        outcomes: closure -> outcome with its solution, the reference first.
    """

    case: Case
    outcomes: Mapping[str, Outcome]

    @property
    def reference(self) -> xr.Dataset:
        """The reference solution."""
        solution = self.outcomes[REFERENCE].solution
        assert solution is not None, "a reference that failed is no showcase"
        return solution

    @property
    def knudsen(self) -> str:
        """The Knudsen number in words, for titles."""
        eps = self.case.knudsen
        if eps is not None:
            return f"ε = {eps:.2g}"
        low, high = (float(bound(self.case.state.knudsen)) for bound in (np.min, np.max))
        return f"ε(x) from {low:.2g} to {high:.2g}"

    @property
    def title(self) -> str:
        """Family, seed and Knudsen number."""
        return f"{self.case.family}, seed {self.case.seed}, {self.knudsen}"


def profiles(show: Showcase, looks: Mapping[str, Look]) -> Drawing:
    """Draw rho, rho u, E, T and q at three times, one a column, and eps if it varies."""
    varies = show.case.knudsen is None
    rows, times = (*FIELDS, "knudsen") if varies else FIELDS, _three(show.reference.time.values)
    size = (3.4 * len(times) + 0.6, 1.45 * len(rows) + 0.9)
    figure, axes = blank(len(rows), len(times), size, sharex=True, sharey="row")
    for panels, name in zip(axes, rows, strict=True):
        panels[0].set_ylabel(SYMBOLS[name])
        for axis, time in zip(panels, times, strict=True):
            _draw_knudsen(axis, show) if name == "knudsen" else _draw(axis, show, name, time, looks)
        if name != "knudsen":
            _keep_near(panels[0], field(show.reference, name).values)
    for axis, time in zip(axes[0], times, strict=True):
        axis.set_title(f"$t = {time:.3g}$")
    axes[0, 0].set(xlim=(0.0, 1.0), xticks=(0.0, 0.5, 1.0))
    outer_labels(axes, "$x$")
    figure.align_ylabels(axes[:, 0])
    legend(figure, [looks[name].handle(_suffix(one)) for name, one in show.outcomes.items()])
    caption = (
        "Profiles of density, momentum, energy, temperature and heat flux. Every closure is drawn "
        "over the reference, so a curve inside the grey band agrees with it; what is far away is "
        "cut off. "
    )
    failures = _failures(show, looks)
    name = f"profiles-{show.case.name}"
    return Drawing(name, show.title, caption + failures, figure, in_page=False)


def _three(times: Array) -> Array:
    """The first, the middle and the last of times, each once."""
    return times[sorted({0, len(times) // 2, len(times) - 1})]


def _suffix(outcome: Outcome) -> str:
    """Return what the legend adds to the label of a closure that failed."""
    if not outcome.failed:
        return ""
    return " (failed)" if outcome.failed_at is None else f" (failed, t = {outcome.failed_at:.2g})"


def _failures(show: Showcase, looks: Mapping[str, Look]) -> str:
    failed = [looks[name].label for name, outcome in show.outcomes.items() if outcome.failed]
    return f"Failed before the last time: {', '.join(failed)}." if failed else ""


def _draw(axis: Axes, show: Showcase, name: str, time: float, looks: Mapping[str, Look]) -> None:
    """Draw one field at one time, of the closures that reached it."""
    for closure, outcome in show.outcomes.items():
        solution = outcome.solution
        if solution is None or not np.isclose(solution.time, time, rtol=1e-9).any():
            continue
        values = field(solution, name).sel(time=time, method="nearest")
        axis.plot(solution.x, values, **looks[closure].line())


def _keep_near(axis: Axes, values: Array) -> None:
    """Cut what is far beyond the range of the reference, as where a closure is about to fail."""
    low, high = float(values.min()), float(values.max())
    room = MARGIN * (high - low)
    bottom, top = axis.get_ylim()
    if room > 0.0:
        axis.set_ylim(max(bottom, low - room), min(top, high + room))


def _draw_knudsen(axis: Axes, show: Showcase) -> None:
    axis.semilogy(show.case.state.x, show.case.state.knudsen, color=INK)


def distributions(show: Showcase, samples: Sequence[Sample], looks: Mapping[str, Look]) -> Drawing:
    """Draw f of the reference and its reconstructions in chosen cells, and less the Maxwellian."""
    figure, axes = blank(2, len(samples), (10.8, 5.2), sharex="col")
    for (upper, lower), sample in zip(axes.T, samples, strict=True):
        _draw_sample(upper, sample, looks, np.zeros_like(sample.v))
        _draw_sample(lower, sample, looks, sample.maxwellian)
        upper.plot(sample.v, sample.maxwellian, color=INK, lw=0.9, ls=":")
        lower.axhline(0.0, color=INK, lw=0.9, ls=":")
        upper.set_title(f"{sample.label}, $x = {sample.x:.3g}$")
        upper.set_xlim(*sample.window)
        note(upper, rf"$\int |f-M| dv / \rho$ = {100 * sample.deviation:.2g} %")
    axes[0, 0].set_ylabel("$f$")
    axes[1, 0].set_ylabel("$f - M$")
    outer_labels(axes, "$v$")
    names = (REFERENCE, *(samples[0].reconstructions if samples else ()))
    handles: list[Any] = [looks[name].handle() for name in names]
    handles.append(Look("Maxwellian M", INK, ":", 0.9).handle())
    legend(figure, handles)
    time = float(show.reference.time[-1])
    caption = (
        f"The distribution of the reference at t = {time:.3g} and what each closure reconstructs "
        "from its moments, in the cells where it is farthest from the Maxwellian, typical, and "
        "nearest to it; below, the same less the Maxwellian."
    )
    return Drawing(f"distributions-{show.case.name}", show.title, caption, figure)


def _draw_sample(axis: Axes, sample: Sample, looks: Mapping[str, Look], subtract: Array) -> None:
    axis.plot(sample.v, sample.f - subtract, **looks[REFERENCE].line())
    for closure, f in sample.reconstructions.items():
        axis.plot(sample.v, f - subtract, **looks[closure].line())
