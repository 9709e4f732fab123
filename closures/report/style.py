"""How figures look: one colour for each closure in all of them, symbols, and the files written."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from closures.outcomes import REFERENCE

#: Colours that are told apart in every form of colour blindness, the palest two left out
#: (M. Okabe and K. Ito, Color Universal Design, 2008).
PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (4, 1.2)), (0, (1.5, 1)))
BORDERS = ("solid", "dashed", "dotted")
INK = "#222222"
REFERENCE_GREY = "#B9BDC3"

SYMBOLS = {
    "density": r"$\rho$",
    "momentum": r"$\rho u$",
    "energy": r"$E$",
    "temperature": r"$T$",
    "heat_flux": r"$q$",
    "knudsen": r"$\varepsilon$",
}

#: PNG, PDF and SVG are functions of their content alone: no dates, no random identifiers.
SETTINGS: Any = {
    "svg.hashsalt": "kinetic-closures",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 10.0,
    "axes.edgecolor": "#8A8F98",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E7E9EC",
    "grid.linewidth": 0.6,
    "xtick.color": "#5A5F68",
    "ytick.color": "#5A5F68",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.dpi": 150,
}
NO_DATES: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
}


@dataclass(frozen=True)
class Look:
    """Label and line of a closure, the same in all figures.

    `key` is what the page knows it by: everything drawn of it has the class ``closure-KEY`` there.
    """

    label: str
    color: str
    dash: Any = "-"
    width: float = 1.3
    key: str = ""

    @property
    def border(self) -> str:
        """The dash as a style of a border in the page."""
        return BORDERS[DASHES.index(self.dash)]

    @property
    def dasharray(self) -> str:
        """The dash as lengths of strokes and gaps in an SVG."""
        return "" if self.dash == "-" else " ".join(f"{self.width * n:.3g}" for n in self.dash[1])

    @property
    def gid(self) -> str:
        """The identifier of what matplotlib draws of it, see `inline_svg`."""
        return f"closure-{self.key}"

    def line(self, **changes: Any) -> dict[str, Any]:
        """Return the keyword arguments of `Axes.plot`."""
        return {"color": self.color, "ls": self.dash, "lw": self.width, "gid": self.gid} | changes

    def handle(self, suffix: str = "") -> Line2D:
        """Return an entry of a legend."""
        return Line2D([], [], label=plain(self.label + suffix), **self.line())


def plain(text: str) -> str:
    """Return a name that matplotlib writes as it is, whatever dollar signs are in it."""
    return text.replace("$", r"\$")


#: The reference lies under the curves of the closures, wide enough to show where they agree.
REFERENCE_LOOK = Look("kinetic reference", REFERENCE_GREY, width=5.0, key=REFERENCE)

#: Colours that the page chooses itself, for light and for dark surroundings.
THEMED = {
    INK.lower(): "ink",
    "#ffffff": "card",
    "#8a8f98": "axis",
    "#e7e9ec": "grid",
    "#5a5f68": "soft",
    "#e6e9ed": "shade",
    REFERENCE_GREY.lower(): "reference",
}


def looks(labels: Mapping[str, str]) -> dict[str, Look]:
    """Return the look of every closure, in the order of `labels` (closure -> label).

    Later lines are thinner, so that those beneath show where curves coincide.
    """
    widths = np.linspace(2.2, 1.1, len(labels))
    return {REFERENCE: REFERENCE_LOOK} | {
        spec: Look(label, *_line(i), float(width), key=f"{i}")
        for i, ((spec, label), width) in enumerate(zip(labels.items(), widths, strict=True))
    }


def _line(i: int) -> tuple[str, Any]:
    """Colour and dash of closure i."""
    return PALETTE[i % len(PALETTE)], DASHES[i // len(PALETTE) % len(DASHES)]


def settings() -> AbstractContextManager[None]:
    """Return the context in which figures are made and saved."""
    return mpl.rc_context(SETTINGS)


@dataclass(frozen=True)
class Drawing:
    """A figure of the report: its name in files, and what the page says about it.

    Attributes:
        name: stem of its files.
        title: a short title.
        caption: what is to be seen in it.
        figure: the figure.
        in_page: whether the page shows it, or it is in files only.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    in_page: bool = True

    def save(self, folder: Path) -> str:
        """Write PNG and PDF to `folder`, and return the figure as SVG to stand in a page."""
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # laid out once, not again for each format
        for suffix in ("png", "pdf"):
            self.figure.savefig(folder / f"{self.name}.{suffix}", metadata=NO_DATES[suffix])
        text = io.StringIO()
        self.figure.savefig(text, format="svg", metadata=NO_DATES["svg"])
        return inline_svg(text.getvalue(), self.name)


def inline_svg(text: str, name: str) -> str:
    """Return an SVG file as an element of a page: no prolog, and identifiers of its own.

    It shrinks with the page, but does not grow: letters are as large in all figures. What belongs
    to a closure has a class instead of an identifier, and greys are those of the page.
    """
    element = text[text.index("<svg") :]
    element = re.sub(r'\bid="(closure-\w+)"', r'class="\g<1>"', element)
    element = re.sub(r"(fill|stroke): (#[0-9a-f]{6})", _themed, element)
    element = re.sub(r' xmlns(:xlink)?="[^"]*"| height="[^"]*pt"', "", element)
    element = re.sub(r' width="([^"]*pt)"', r' style="max-width: \g<1>"', element, count=1)
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", element)
    return element.replace("<svg", f'<svg role="img" aria-labelledby="{name}-caption"', 1)


def _themed(style: re.Match[str]) -> str:
    """Return a colour in an SVG's style as the page's own where it has one."""
    name = THEMED.get(style[2])
    return f"{style[1]}: var(--{name})" if name else style[0]


def blank(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    """Return a figure of aligned panels and the array (rows, columns) of their axes."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Put the one legend of a figure above its panels, in as many columns as its width holds."""
    em = mpl.rcParams["font.size"] / 72.0
    # A handle and what parts it from its label and its neighbour, and letters half as wide as high.
    entry = em * (5.0 + 0.55 * max(len(handle.get_label()) for handle in handles))
    most = max(1, min(6, int(figure.get_figwidth() / entry)))
    columns = math.ceil(len(handles) / math.ceil(len(handles) / most))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, handlelength=2.2)


def outer_labels(axes: Any, xlabel: str) -> None:
    """Label the x axis beneath each column of panels."""
    for axis in axes[-1]:
        axis.set_xlabel(xlabel)


def note(axes: Axes, text: str) -> None:
    """Write a small remark into the upper right corner of a panel."""
    axes.text(0.98, 0.95, text, transform=axes.transAxes, ha="right", va="top", fontsize=8)
