"""Error against labels: closures learned concurrently, and from windows drawn at random.

    python -m benchmarks.learning_curve FOLDER [--seeds 0 1 2] [--cases 40] [--page] [key=value ...]

For every seed two runs of concurrent learning are made, with the same number of labels in every
round, the same training and the same random gases to begin with: in one the labels are selected by
the indicator, in the other the gases are drawn at random from the distribution that exploration
draws from, and their windows too. After every round the model is compared with the kinetic solver
on the same held-out gases, which fill the explored space evenly: every strength is as likely as
every other, and every decade of the Knudsen number has `cases` of them. The error is the mean over
rho, rho u and E of the relative L2 error at the last time; the error of a decade is the mean over
its gases, a gas without a solution counting as 1.

What was done is found again, so runs of different seeds can be made by several processes. With
--page the table and the figure of the documentation are those of this run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page import markdown, plain
from closures.learn.ensemble import Member
from closures.learn.explore import roll_out, scheme_of
from closures.learn.loop import learn
from closures.learn.options import LearnConfig
from closures.learn.space import DECADES, decade, initial_state, random_points
from closures.learn.status import read_rows
from closures.learn.validation import record_error
from closures.report.learning import curve_figure
from closures.report.style import NO_DATES, Drawing, settings
from kinetic.commandline import Configuration
from kinetic.moments import moments_of
from kinetic.reference import discretise

ROOT = Path(__file__).resolve().parent.parent
PAGE, FIGURES = ROOT / "docs" / "how-to" / "learn.md", ROOT / "docs" / "figures"
BEGIN, END = "<!-- table of learning -->", "<!-- end of table -->"
HEADERS = ("labels", "drawn at random", "selected", "lower by")
NAMES = ("random", "indicator")
"""The two ways to choose what is labelled, in the order of the columns."""

PHASES = ("explore", "label", "train", "validate")
"""What the seconds of a round are spent on."""

Curves = dict[str, list[list[dict[str, Any]]]]
"""Of each way to choose, one for each seed: labels and errors after every round."""

HELD_OUT_SEED = 2**31 - 1
"""No run has this seed."""


def held_out(config: LearnConfig, cases: int) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """The same number of gases of every decade: initial states, U at the end, and decades."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    found: dict[int, list[Any]] = {number: [] for number in DECADES}
    while any(len(states) < cases for states in found.values()):
        state = initial_state(random_points(rng, 1)[0], config.cells)
        own = found[decade(state.knudsen)]
        if len(own) < cases:
            own.append(state)
    states = [state for number in DECADES for state in found[number]]
    ends = np.stack([_kinetic(config, state) for state in states])
    return states, ends, np.repeat(DECADES, cases)


def _kinetic(config: LearnConfig, state: Any) -> np.ndarray:
    solver, f0 = discretise(config.physics, state)
    *_, last = solver.evolve(f0, end=config.time.end, snapshots=2)
    return moments_of(last.f, solver.grid)


def errors_by_decade(member: Member, test: Any) -> dict[str, float]:
    """The mean error of a closure on the held-out gases of each decade."""
    states, ends, decades = test
    closure, config = member.closure(), member.config
    records = roll_out(closure, states, config, [config.time.end], scheme_of(closure, config))
    errors = np.array([record_error(one, end) for one, end in zip(records, ends, strict=True)])
    return {str(number): float(errors[decades == number].mean()) for number in DECADES}


def curve(config: LearnConfig, folder: Path, test: Any) -> list[dict[str, Any]]:
    """Learn, or find it done; labels and errors after every round."""
    learn(config, folder)
    file = folder / "held_out.json"
    if file.exists():
        found: list[dict[str, Any]] = json.loads(file.read_text())
        return found
    points = []
    for row in read_rows(folder):
        path = folder / "rounds" / f"{row['round']:03}"
        member = Member(path, config, row["round"], 0)
        if member.file.exists():
            points.append(
                {"labels": row["total_labelled"], "error": errors_by_decade(member, test)}
            )
    file.write_text(json.dumps(points, indent=1))
    return points


def worst(point: dict[str, Any]) -> float:
    """The error of the worst decade."""
    return max(point["error"].values())


def rows(curves: Curves) -> list[tuple[str, ...]]:
    """A row for each number of labels: worst-decade errors of both selections, in percent."""
    found = []
    for number, first in enumerate(curves["random"][0]):
        blind, own = ([100 * worst(one[number]) for one in curves[name]] for name in NAMES)
        gain = 100 * (1 - np.mean(own) / np.mean(blind))
        shown = (", ".join(f"{one:.3f}" for one in part) for part in (blind, own))
        found.append((str(first["labels"]), *shown, f"{gain:.0f} %"))
    return found


def cost(folder: Path) -> str:
    """Labelled share, and the share of wall time that is neither kinetic solves nor training."""
    found = read_rows(folder)
    seconds = {k: sum(row["seconds"].get(k, 0.0) for row in found) for k in PHASES}
    spent = sum(seconds.values())
    rest = spent - seconds["train"] - seconds["label"]
    return (
        f"labelled {100 * found[-1]['share']:.2f} % of {found[-1]['total_explored']} explored; "
        f"exploration and validation {100 * rest / spent:.1f} % of {spent:.0f} s"
    )


def write_page(table: str, drawing: Drawing) -> None:
    """Replace the table and the figure of the documentation."""
    text = PAGE.read_text(encoding="utf-8")
    begin, rest = text.split(BEGIN)
    end = rest.split(END)[1]
    PAGE.write_text(f"{begin}{BEGIN}\n\n{table}\n\n{END}{end}", encoding="utf-8")
    drawing.figure.savefig(FIGURES / f"{drawing.name}.png", metadata=NO_DATES["png"])


def main(arguments: list[str]) -> None:
    """Make the runs that are asked for, print the table and draw the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--page", action="store_true", help="write the documentation's table")
    parser.add_argument("overrides", nargs="*", help="key=value of `closures learn`")
    given = parser.parse_intermixed_args(arguments)
    test = held_out(LearnConfig(), given.cases)
    curves: Curves = {name: [] for name in NAMES}
    for seed in given.seeds:
        for name in NAMES:
            options: Configuration = {"seed": seed, "selection": name}
            options |= {"members": 1} if name == "random" else {}
            options |= {k: json.loads(v) for k, v in (one.split("=") for one in given.overrides)}
            folder = given.folder / f"{name}-{seed}"
            curves[name].append(curve(LearnConfig.from_mapping({"learn": options}), folder, test))
            if name == "indicator":
                print(cost(folder))
    print(plain(HEADERS, rows(curves)))
    (given.folder / "curve.json").write_text(json.dumps(curves, indent=1))
    with settings():
        drawing = curve_figure(curves)
        drawing.save(given.folder)
        if given.page:
            write_page(markdown(HEADERS, rows(curves)), drawing)


if __name__ == "__main__":
    main(sys.argv[1:])
