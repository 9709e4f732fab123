"""Write the tables of errors in README.md from the metrics.json of comparisons.

python docs/accuracy.py outputs/compare/.../metrics.json ...

They replace all tables; the first of them is of one velocity dimension.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from closures.comparison import CompareConfig
from closures.outcomes import REFERENCE, Summary, overall
from closures.report.tables import NONE, flat, number, percent

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- accuracy: the table is generated from metrics.json -->"
END = "<!-- end of accuracy -->"
OPENING = """\
Errors in percent: relative L2 norms over x at t = {end:g} against the kinetic reference on the same
{cells} cells, mean of density, momentum and energy over {cases} cases a family. No closure was
trained on their seeds, from {seed}. Milliseconds are those of a case when its family is solved as
one batch by {threads}; the reference solves one case at a time."""
FURTHER = """\
The same with `velocity.dim={dim}` and `collision={collision}`, {cases} cases a family:"""
CLOSING = """\
From `{command}`."""


def entry(summary: Summary) -> str:
    """Return the mean error in percent, and how many cases failed if any did."""
    failed = f" ({summary['failed']} failed)" if summary["failed"] else ""
    return percent(overall(summary)) + failed


def milliseconds(families: Mapping[str, Summary]) -> str:
    """Return the mean wall time of the solved cases of all families."""
    times = [
        (float(one["seconds"]), int(one["cases"] or 0) - int(one["failed"] or 0))
        for one in families.values()
        if one["seconds"] is not None
    ]
    solved = sum(count for _, count in times)
    return number(1e3 * sum(s * count for s, count in times) / solved) if solved else NONE


def table(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the table: a row for each closure, the reference last."""
    summary = metrics["summary"]
    families = list(summary[REFERENCE])
    yield f"| closure | {' | '.join(families)} | ms a case |"
    yield "|---|" + "---:|" * (len(families) + 1)
    for closure in (*metrics["closures"], REFERENCE):
        entries = [
            NONE if closure == REFERENCE else entry(summary[closure][name]) for name in families
        ]
        yield f"| {called(closure)} | {' | '.join(entries)} | {milliseconds(summary[closure])} |"


def called(closure: str) -> str:
    """Return the name of a closure; of a model that a training run made, that of the run."""
    path = Path(closure)
    return path.parent.name if path.name == "model" else closure


def command(configuration: Mapping[str, Any]) -> str:
    """Return the shortest command that makes a comparison of this configuration."""
    defaults = dict(flat(CompareConfig().to_mapping()))
    given = flat(CompareConfig.from_mapping(configuration).to_mapping())
    changed = [f"{key}={value}" for key, value in given if defaults[key] != value]
    return " ".join(["closures compare", *changed])


def section(metrics: Mapping[str, Any], opening: str = OPENING) -> str:
    """Return what the README says of a comparison."""
    configuration, threads = metrics["configuration"], metrics["threads"]
    opening = opening.format(
        dim=configuration["velocity"]["dim"],
        collision=configuration["collision"]["name"],
        end=configuration["time"]["end"],
        cells=configuration["cells"],
        cases=configuration["compare"]["cases"],
        seed=configuration["compare"]["seed"],
        threads="one thread" if threads == 1 else f"{threads} threads",
    )
    lines = "\n".join(table(metrics))
    return f"{opening}\n\n{lines}\n\n{CLOSING.format(command=command(configuration))}"


def update(readme: str, *metrics: Mapping[str, Any]) -> str:
    """Return `readme` with what these comparisons found between the markers.

    Raises:
        ValueError: the markers are not there.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md lacks {BEGIN} or {END}")
    openings = (OPENING, *(FURTHER for _ in metrics[1:]))
    sections = "\n\n".join(map(section, metrics, openings))
    return f"{before}{BEGIN}\n\n{sections}\n\n{END}{after}"


if __name__ == "__main__":
    found = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    README.write_text(update(README.read_text(), *found))
