"""Films of a case: its profiles in time, as GIF or MP4."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.animation import FFMpegWriter, PillowWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D

from closures.metrics import Array
from closures.outcomes import REFERENCE
from closures.report.style import SYMBOLS, Look, blank, legend, plain
from closures.snapshots import Profile
from kinetic.errors import InvalidInput

KINDS = ("gif", "mp4")
FIELDS = ("density", "momentum", "energy", "temperature", "heat_flux")
FRAMES_PER_SECOND = 4
DPI = 100


def check_kind(kind: str | None) -> None:
    """Refuse a film that cannot be made here.

    Raises:
        InvalidInput: MP4 without the program ffmpeg.
    """
    if kind == "mp4" and shutil.which("ffmpeg") is None:
        allowed = "needs the program ffmpeg, which is not on the PATH; gif does without"
        raise InvalidInput("report.animation", kind, allowed)


def field(profile: Profile, closure: str, name: str) -> Array:
    """Return one of `FIELDS` of a closure, (times, cells)."""
    own = {key: values.astype(float) for key, values in profile.solutions[closure].items()}
    rho, u, T = (own[key] for key in ("density", "velocity", "temperature"))
    if name == "momentum":
        return rho * u
    if name == "energy":
        return 0.5 * rho * (u * u + profile.dimension * T)
    return own[name]


def animate(profile: Profile, looks: Mapping[str, Look], folder: Path, kind: str) -> Path:
    """Write a film of the fields of a case to ``animation-CASE.KIND`` in `folder`."""
    figure, axes = blank(2, 3, (10.2, 5.4), sharex=True)
    canvas = FigureCanvasAgg(figure)
    lines = {
        (closure, name): axis.plot([], [], **looks[closure].line())[0]
        for axis, name in zip(axes.flat, FIELDS, strict=False)
        for closure in profile.solutions
    }
    for axis, name in zip(axes.flat, FIELDS, strict=False):
        axis.set_ylabel(SYMBOLS[name])
        _scale(axis, profile, name)
    axes.flat[-1].set_visible(False)
    legend(figure, [looks[closure].handle() for closure in profile.solutions])
    _show(lines, profile, 0)
    figure.supxlabel(_caption(profile, 0), fontsize=10)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, not for each frame
    path = folder / f"animation-{profile.name}.{kind}"
    partial = path.with_name(f"partial-{path.name}")
    writer = (PillowWriter if kind == "gif" else FFMpegWriter)(fps=FRAMES_PER_SECOND)
    with writer.saving(figure, str(partial), DPI):
        for step in range(len(profile.times)):
            figure.supxlabel(_caption(profile, step), fontsize=10)
            _show(lines, profile, step)
            canvas.draw()
            writer.grab_frame()
    return partial.replace(path)


def _caption(profile: Profile, step: int) -> str:
    return f"{plain(profile.title)}    $t = {profile.times[step]:.3f}$"


def _show(lines: Mapping[tuple[str, str], Line2D], profile: Profile, step: int) -> None:
    """Draw the fields at one time; a closure that has failed by then is not drawn."""
    for (closure, name), line in lines.items():
        values = field(profile, closure, name)
        if step < len(values):
            line.set_data(profile.x, values[step])
        else:
            line.set_data([], [])


def _scale(axis: Axes, profile: Profile, name: str) -> None:
    """Let a panel hold the reference at all times, or everything where there is none."""
    chosen = (REFERENCE,) if REFERENCE in profile.solutions else tuple(profile.solutions)
    values = np.concatenate([field(profile, closure, name).ravel() for closure in chosen])
    low, high = float(values.min()), float(values.max())
    room = 0.15 * (high - low) or 0.1 * abs(high) or 1.0
    axis.set(xlim=(0.0, 1.0), ylim=(low - room, high + room))
