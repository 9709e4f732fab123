"""Make every table of the README and every reference figure: ``make reproduce``.

python docs/reproduce.py [EXPERIMENT ...]

Trains the published closures of networks, runs the experiments of ``conf/experiment`` below
``outputs/reproduce``, writes their tables into README.md and their figures to ``docs/figures``.
Each step goes on where it was killed. With names of experiments only those are run, and nothing is
written unless all that it is made of is there.
"""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from closures.cli import main as closures_main
from kinetic.cli import main as kinetic_main

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FIGURES = ROOT / "docs" / "figures"
OUTPUTS = Path("outputs/reproduce")
PROGRAMS = {"kinetic": kinetic_main, "closures": closures_main}

NETWORKS = ("network", "network_fixed", "network_hermite")
"""Closures that are trained for the experiments of `COMPARE_NETWORKS`."""

COMPARE_NETWORKS = ("table_networks", "published_errors", "published_transition_bgk")

TABLES = ("table_line", "table_networks", "table_plane", "table_boltzmann")
"""Experiments whose tables the README shows, in its order."""

SHOWN = {
    "table_line": ("errors", "hierarchy", "profiles-transition-900000", "moments-entropy-9-fast"),
    "table_networks": ("errors",),
    "table_plane": ("errors",),
    "table_boltzmann": ("errors",),
    "published_errors": ("errors",),
    "published_transition_bgk": ("errors", "profiles-transition-900000"),
    "published_constant": ("profiles-mix-900000", "moments-entropy"),
    "published_transition": ("profiles-transition-900000",),
}
"""Which figures of the experiments are reference figures."""


def training() -> Iterator[list[str]]:
    """Yield the commands that train the closures of networks."""
    made = f"{OUTPUTS}/data"
    families = "dataset.families=[wave,mix]"
    yield ["kinetic", "dataset", "dataset.trajectories=400", families, f"hydra.run.dir={made}"]
    for name in NETWORKS:
        learn = ["train=network", f"train.data={made}/dataset.zarr"]
        yield ["closures", "train", f"closure={name}", *learn, f"hydra.run.dir={OUTPUTS}/{name}"]


def comparison(experiment: str) -> list[str]:
    """Return the command of an experiment."""
    chosen = [f"+experiment={experiment}", f"hydra.run.dir={OUTPUTS}/{experiment}"]
    return ["closures", "compare", *chosen]


def commands(experiments: Sequence[str]) -> Iterator[list[str]]:
    """Yield all commands, those first whose results others need."""
    if any(name in COMPARE_NETWORKS for name in experiments):
        yield from training()
    yield from map(comparison, experiments)


def collect() -> None:
    """Write the README's tables and the reference figures that are complete."""
    written = runpy.run_path(str(ROOT / "docs" / "accuracy.py"))["update"]
    metrics = [OUTPUTS / name / "metrics.json" for name in TABLES]
    if all(path.is_file() for path in metrics):
        found = [json.loads(path.read_text()) for path in metrics]
        README.write_text(written(README.read_text(), *found))
    FIGURES.mkdir(exist_ok=True)
    for experiment, names in SHOWN.items():
        for name in names:
            figure = OUTPUTS / experiment / "figures" / f"{name}.png"
            if figure.is_file():
                shutil.copy(figure, FIGURES / f"{experiment}-{name}.png")


def main(experiments: Sequence[str]) -> int:
    """Run the experiments, all of them if none is named, and return the exit status."""
    for words in commands(experiments or list(SHOWN)):
        print("$", *words, flush=True)
        if status := PROGRAMS[words[0]](words[1:]):
            return status
    collect()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
