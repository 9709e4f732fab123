"""What a run is shown as: a table in the terminal and in the documentation, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.history import Record, before, growths_of, results_of
from benchmarks.measure import NOISE, Grown, Result

BEGIN, END = "<!-- table of benchmarks -->", "<!-- end of table -->"
HEADERS = ("benchmark", "time", "limit", "× limit", "instead", "times faster", "before", "goal")
GROWTH_HEADERS = ("time of", "against", "stated", "exponent of it", "")
Rows = Sequence[Sequence[str]]


def duration(seconds: float) -> str:
    """Return seconds with three digits, in the unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def table(record: Record, earlier: Sequence[Record] = ()) -> list[tuple[str, ...]]:
    """Return the rows of the benchmarks of a record, beside the runs `earlier`."""
    return [_row(result, earlier, record) for result in results_of(record)]


def _row(result: Result, earlier: Sequence[Record], record: Record) -> tuple[str, ...]:
    old = before(result, earlier, record["machine"])
    return (
        result.name,
        duration(result.measured),
        f"{result.limit}, {duration(result.bound)}",
        f"{result.of_limit:.3g}",
        f"{result.instead}, {duration(result.alternative)}",
        f"{result.faster:.3g}",
        "–" if old is None else f"{old:.3g}",
        result.goal,
    )


def growth_table(record: Record) -> list[tuple[str, ...]]:
    """Return the rows of what grows: the exponent of the stated complexity that was measured."""
    return [
        (
            grown.name,
            f"{grown.variable}, {grown.sizes[0]:g} to {grown.sizes[-1]:g}",
            grown.stated,
            f"{grown.exponent:.2f}",
            _verdict(grown),
        )
        for grown in growths_of(record)
    ]


def _verdict(grown: Grown) -> str:
    """Return what a fit says of the stated complexity."""
    if grown.as_stated:
        return "as stated"
    if grown.falls:
        return f"slower than stated (below {1 - NOISE:g}), or the cores have other work"
    return f"faster than stated (above {1 + NOISE:g})"


def markdown(headers: Sequence[str], rows: Rows) -> str:
    """Return a table of Markdown."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def plain(headers: Sequence[str], rows: Rows) -> str:
    """Return a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in (headers, *rows)
    )
    return "\n".join(lines)


def described(record: Record) -> str:
    """Return one line that says of what and on what a record is."""
    machine, versions = record["machine"], record["versions"]
    software = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (
        f"{record['date']}, commit {record['commit']}, {machine['processor']}, "
        f"{machine['cores']} cores, Python {machine['python']}, {software}"
    )


def text(record: Record, earlier: Sequence[Record]) -> str:
    """Return what a run prints."""
    tables = plain(HEADERS, table(record, earlier)), plain(GROWTH_HEADERS, growth_table(record))
    return "\n\n".join((described(record), *tables))


def section(record: Record) -> str:
    """Return what the documentation shows of a record."""
    shown = [(*row[:6], row[7]) for row in table(record)]
    headers = (*HEADERS[:6], HEADERS[7])
    tables = markdown(headers, shown), markdown(GROWTH_HEADERS, growth_table(record))
    return "\n\n".join((f"{described(record)}.", *tables))


def write_section(page: Path, record: Record) -> None:
    """Replace what stands between the marks of a page."""
    begin, rest = page.read_text(encoding="utf-8").split(BEGIN)
    end = rest.split(END)[1]
    page.write_text(f"{begin}{BEGIN}\n\n{section(record)}\n\n{END}{end}", encoding="utf-8")


def draw(growths: Sequence[Grown], path: Path) -> None:
    """Draw seconds against size with the stated complexity through the first point."""
    from matplotlib.figure import Figure

    columns = 4
    rows = -(-len(growths) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.0 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax, grown in zip(axes, growths, strict=False):
        scale = grown.seconds[0] / grown.costs[0]
        ax.loglog(grown.sizes, [scale * cost for cost in grown.costs], "--", color="0.5")
        ax.loglog(grown.sizes, grown.seconds, "o-", color="#0072B2")
        ax.set(xlabel=grown.variable, ylabel="seconds")
        title = f"{grown.name}\nstated {grown.stated}\np = {grown.exponent:.2f}"
        ax.set_title(title, fontsize="medium")
        ax.set_xticks(grown.sizes, [f"{size:g}" for size in grown.sizes])
        ax.xaxis.minorticks_off()
    for ax in axes[len(growths) :]:
        ax.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
