"""Figures of a whole comparison: errors against the Knudsen number, learned moments, training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from closures.library import LearnedClosure, LearnedReducedClosure
from closures.metrics import FIELDS, Array
from closures.network.closure import NetworkClosure
from closures.outcomes import Comparison, Outcome
from closures.report.style import (
    SYMBOLS,
    Drawing,
    Look,
    blank,
    legend,
    outer_labels,
    plain,
)

#: What the stages of training are called, and what their curves show.
STAGES = {
    "training": (
        "Training of the moments",
        "The loss while the moments were learned: a mean of the share of the information on f "
        "beyond the Maxwellian that the reconstruction loses, KL(f ‖ f̂)/KL(f ‖ M).",
    ),
    "fluxes": (
        "Training of the fluxes",
        "The loss while the fluxes of a closure of networks were learned: their squared error, "
        "relative to the deviation of the moments from equilibrium.",
    ),
    "rollout": (
        "Training through the solver",
        "The error of the closed equations while what is learned of them was adjusted: mean over "
        "trajectories, fields and times; in training over windows that grow, in validation over "
        "whole trajectories.",
    ),
}
#: Range of c = (v - u) / sqrt(T) in which w(c) is drawn.
REACH = 5.0
#: Height of a row of crosses, in heights of a panel.
ROW = 0.035
#: The |c| that set the scale.
CORE = 3.0


def error_figure(comparison: Comparison, looks: Mapping[str, Look]) -> Drawing:
    """Draw the error of every case against its Knudsen number, with medians of each decade.

    A family whose Knudsen number varies in x, or is the same in all cases, is drawn by closure.
    """
    families = comparison.families
    size = (3.5 * len(families) + 0.9, 2.5 * len(FIELDS) + 0.9)
    figure, axes = blank(len(FIELDS), len(families), size, sharex="col", sharey="row")
    for panels, name in zip(axes, FIELDS, strict=True):
        panels[0].set_ylabel(f"relative error of {SYMBOLS[name]}")
        for axis, family in zip(panels, families, strict=True):
            outcomes = {closure: comparison.of(closure, family) for closure in comparison.closures}
            axis.set_yscale("log")
            draw = _against_knudsen if _has_axis(outcomes) else _by_closure
            draw(axis, outcomes, name, looks)
        if any(one.failed for one in comparison.outcomes):
            _leave_room(panels[0], len(comparison.closures))
    for axis, family in zip(axes[0], families, strict=True):
        axis.set_title(family)
    legend(figure, [looks[closure].handle() for closure in comparison.closures])
    caption = (
        "Relative L2 error over x at the last time. Each dot is a case; lines join the medians of "
        "the decades of ε, bars are medians over a family whose ε varies in x or is the same in "
        "all cases. Crosses at the upper edge are cases that failed."
    )
    return Drawing("errors", "Error against Knudsen number", caption, figure)


def _has_axis(outcomes: Mapping[str, Sequence[Outcome]]) -> bool:
    """Whether the cases have constant Knudsen numbers that differ."""
    numbers = {one.case.knudsen for group in outcomes.values() for one in group}
    return None not in numbers and len(numbers) > 1


def _points(outcomes: Sequence[Outcome], name: str) -> Array:
    """Return the error of each case, NaN where it failed; zero, which has no logarithm, as NaN."""
    values = [math.nan if one.errors is None else one.errors[name] or math.nan for one in outcomes]
    return np.array(values)


def _against_knudsen(
    axis: Axes, outcomes: Mapping[str, Sequence[Outcome]], name: str, looks: Mapping[str, Look]
) -> None:
    axis.set_xscale("log")
    axis.set_xlabel(rf"{SYMBOLS['knudsen']}" if name == FIELDS[-1] else "")
    eps = np.array([one.case.knudsen for one in next(iter(outcomes.values()))], float)
    for row, (closure, group) in enumerate(outcomes.items()):
        values, look = _points(group, name), looks[closure]
        axis.scatter(eps, values, **_dots(look))
        axis.plot(*decade_medians(eps, values), **look.line(lw=1.8), marker="o", ms=4)
        failed = np.array([one.failed for one in group])
        _mark_failures(axis, eps[failed], look, row)
    axis.set_xlim(*whole_decades(eps))


def _dots(look: Look) -> dict[str, Any]:
    """The keyword arguments of `Axes.scatter`, a dot a case."""
    return {"s": 9, "color": look.color, "alpha": 0.45, "linewidths": 0, "gid": look.gid}


def whole_decades(eps: Array) -> tuple[float, float]:
    """Return the powers of ten between which all of eps lies."""
    exponents = np.log10(eps)
    return 10.0 ** np.floor(exponents.min()), 10.0 ** np.ceil(exponents.max())


def decade_medians(eps: Array, values: Array) -> tuple[Array, Array]:
    """Return the medians of eps and of the finite values in each decade of eps that has any."""
    known = np.isfinite(values)
    eps, values = eps[known], values[known]
    decades = np.floor(np.log10(eps))
    middle = [
        (np.median(eps[decades == decade]), np.median(values[decades == decade]))
        for decade in np.unique(decades)
    ]
    x, y = np.array(middle).reshape(-1, 2).T
    return x, y


def _by_closure(
    axis: Axes, outcomes: Mapping[str, Sequence[Outcome]], name: str, looks: Mapping[str, Look]
) -> None:
    for place, (closure, group) in enumerate(outcomes.items()):
        values, look = _points(group, name), looks[closure]
        # Spread evenly in the order of the cases: nothing random in a figure.
        x = place + np.linspace(-0.3, 0.3, len(group) + 2)[1:-1]
        axis.scatter(x, values, **_dots(look))
        if np.isfinite(values).any():
            median = np.nanmedian(values)
            axis.plot([place - 0.36, place + 0.36], [median, median], **look.line(lw=2.4))
        _mark_failures(axis, x[[one.failed for one in group]], look, row=0)
    axis.set_xticks(range(len(outcomes)), [plain(looks[closure].label) for closure in outcomes])
    for label in axis.get_xticklabels():
        label.set(rotation=35, ha="right", rotation_mode="anchor")
    axis.set_xlim(-0.6, len(outcomes) - 0.4)


def _leave_room(axis: Axes, rows: int) -> None:
    """Extend a logarithmic axis upwards by what rows of crosses need."""
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom, top * (top / bottom) ** (ROW * rows / (1.0 - ROW * rows)))


def _mark_failures(axis: Axes, x: Array, look: Look, row: int) -> None:
    """Put crosses at the upper edge of a panel, a row for each closure."""
    (crosses,) = axis.plot(
        x,
        np.full(len(x), 0.98 - ROW * row),
        transform=axis.get_xaxis_transform(),
        color=look.color,
        gid=look.gid,
        ls="",
        marker="x",
        ms=5,
        clip_on=False,
    )
    crosses.set_in_layout(False)


def features_figure(name: str, closure: Any, look: Look) -> Drawing:
    """Draw the functions w(c) of a closure, odd ones above even ones if they have parity."""
    c = np.linspace(-REACH, REACH, 481)
    kinds = _functions(closure, torch.as_tensor(c))
    columns = max(values.shape[1] for _, values in kinds)
    size = (2.1 * columns + 0.7, 1.9 * len(kinds) + 0.7)
    figure, axes = blank(len(kinds), columns, size, sharex=True, sharey=True)
    for panels, (label, values) in zip(axes, kinds, strict=True):
        panels[0].set_ylabel(label)
        for k, axis in enumerate(panels):
            _draw_feature(axis, c, values[:, k : k + 1], look)
    shown = max(float(np.abs(values[np.abs(c) <= CORE]).max()) for _, values in kinds)
    axes[0, 0].set(xlim=(-REACH, REACH), ylim=(-1.1 * shown, 1.1 * shown))
    figure.supxlabel("$c = (v - u) / \\sqrt{T}$", fontsize=10)
    caption = (
        "The functions of the scaled peculiar velocity whose averages this closure carries, "
        "orthonormal under the unit Maxwellian, which is drawn in grey (not to scale). What leaves "
        f"the panels does so beyond |c| = {CORE:g}, where there is hardly any gas."
    )
    return Drawing(f"moments-{name}", f"Moments of {look.label}", caption, figure)


def _functions(closure: Any, c: Tensor) -> list[tuple[str, Array]]:
    """Labels and values of the functions w at c, those of one label a row of panels."""
    if isinstance(closure, NetworkClosure):
        w, across = closure.networks.moments(c).detach().numpy(), closure.dimension - 1
        cuts = _cuts(across, np.stack(np.split(w, 2))) if across else {"w(c)": w}
        halves = ((name, np.array_split(values, 2, axis=1)) for name, values in cuts.items())
        return [(f"${name}$", half) for name, pair in halves for half in pair if half.shape[1]]
    w, parity = closure.features.matrix(c).detach().numpy(), closure.features.parity.numpy()
    cuts = {"w(c)": w} if w.ndim == 2 else _cuts(closure.across, w)
    kinds = [
        (f"${name}$, {kind}", values[:, parity == sign])
        for kind, sign in (("odd", -1), ("even", 1))
        for name, values in cuts.items()
    ]
    return [(label, values) for label, values in kinds if values.shape[1]]


def _cuts(across: int, w: Array) -> dict[str, Array]:
    """w = a + b s of the pairs (2, n, K) on lines |c_perp| = const, by what they are called."""
    a, b = w
    return {
        f"w(c_1, {reach})": a + b * (reach**2 - across) / math.sqrt(2 * across) for reach in (0, 2)
    }


def _draw_feature(axis: Axes, c: Array, values: Array, look: Look) -> None:
    """Draw one function over the unit Maxwellian, or hide a panel without one."""
    if values.shape[1] == 0:
        axis.set_visible(False)
        return
    maxwellian = 0.3 * np.exp(-0.5 * c * c)
    axis.fill_between(
        c, maxwellian, color="#E6E9ED", lw=0, transform=axis.get_xaxis_transform(), zorder=0
    )
    axis.axhline(0.0, color="#8A8F98", lw=0.6)
    axis.plot(c, values[:, 0], color=look.color, lw=1.6)


def dissipation_figure(
    name: str, closure: LearnedClosure | LearnedReducedClosure, look: Look
) -> Drawing:
    """Draw the damping and the diffusivity of each moment, and friction, against eps."""
    assert closure.dissipation is not None
    eps = torch.logspace(-3.5, 1.5, 101, dtype=torch.float64)
    with torch.no_grad():
        values = [one.numpy() for one in closure.dissipation(eps)]
    parity = closure.features.parity.tolist()
    friction = getattr(closure, "friction", None)
    panels = 2 if friction is None else 3
    figure, axes = blank(1, panels, (3.0 * panels + 1.6, 3.2))
    for axis, each, label in zip(
        axes[0], values, ("damping $a_k$", "diffusivity $d_k$"), strict=False
    ):
        _span_a_decade(axis, each)
        for k, one in enumerate(each):
            order = k if parity[k] < 0 else k - parity.count(-1.0)
            fade = 1.0 - 0.75 * order / max(1, parity.count(parity[k]) - 1)
            dashes = "-" if parity[k] < 0 else "--"
            axis.loglog(eps, one, color=look.color, ls=dashes, alpha=fade, label=f"$w_{{{k + 1}}}$")
        axis.set_ylabel(label)
    outer_labels(axes, "Knudsen number ε")
    caption = (
        "What acts on the moments of " + look.label + " beside transport and collisions: damping "
        "∂ₜWₖ = −aₖWₖ and diffusion ∂ₓ(ρT dₖ∂ₓmₖ). Odd moments solid, even ones dashed."
    )
    if friction is not None:
        with torch.no_grad():
            axes[0, 2].loglog(eps, friction(eps), color=look.color)
        axes[0, 2].set_ylabel("friction $b$")
        caption += " Friction −ρ b Aθ draws log f in the tails to a Maxwellian."
    axes[0, -1].legend(
        *axes[0, 1].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.02, 0.5)
    )
    return Drawing(f"dissipation-{name}", f"Dissipation of {look.label}", caption, figure)


def _span_a_decade(axis: Axes, values: Array) -> None:
    """Let an empty axis reach a decade around positive values that hardly differ."""
    low, high = float(values.min()), float(values.max())
    if high < 10.0 * low:
        middle = math.sqrt(low * high)
        axis.set_ylim(middle / math.sqrt(10.0), middle * math.sqrt(10.0))


def training_figure(
    name: str, histories: Mapping[str, Mapping[str, Any]], looks: Mapping[str, Look]
) -> Drawing:
    """Draw the loss of each closure in one of `STAGES`, on training and on validation data."""
    figure, axes = blank(1, len(histories), (3.9 * len(histories) + 0.6, 3.2), sharey=True)
    for axis, (closure, history) in zip(axes[0], histories.items(), strict=True):
        look = looks[closure]
        axis.semilogy(
            history["step"], history["train"], **look.line(lw=0.9, alpha=0.55), label="training"
        )
        axis.semilogy(
            history["step"], history["validation"], **look.line(lw=1.9), label="validation"
        )
        axis.set_title(plain(look.label))
        axis.margins(y=0.25)
        axis.legend(loc="upper right", ncols=2)
    axes[0, 0].set_ylabel("loss")
    outer_labels(axes, "step")
    title, caption = STAGES[name]
    return Drawing(name, title, caption, figure)
