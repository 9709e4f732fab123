"""Make every table of the README and every reference figure: ``make reproduce``.

python docs/reproduce.py [EXPERIMENT ...]

Trains the published closures of networks, runs the experiments of ``conf/experiment`` below
``outputs/reproduce``, writes their tables into README.md and their figures to ``docs/figures``.
Each step goes on where it was killed, and a comparison that is done is not repeated unless its
configuration, its models or the version have changed. With names of experiments only those are run,
and nothing is written unless all that it is made of is there.
"""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from closures.cli import main as closures_main
from kinetic.cli import main as kinetic_main
from kinetic.files import write_json
from kinetic.output import package_version
from kinetic.resources import config_dir

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FIGURES = ROOT / "docs" / "figures"
OUTPUTS = Path("outputs/reproduce")
RECORD = "reproduced.json"
"""What a comparison that is done was made of, in its directory."""

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


def ingredients(overrides: Sequence[str]) -> dict[str, Any]:
    """Return what determines the results of a comparison: plain values."""
    chosen = [word for word in overrides if not word.startswith("hydra.")]
    with initialize_config_dir(str(config_dir()), version_base=None):
        config: Any = OmegaConf.to_container(compose("closures_compare", chosen))
    models = {spec: _digest(Path(spec)) for spec in config["compare"]["closures"]}
    return {"version": package_version(), "configuration": config, "models": models}


def _digest(model: Path) -> str | None:
    """Return what tells a model directory from others; None of a closure that has a name."""
    if not model.is_dir():
        return None
    files = sorted(path for path in model.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def run(words: Sequence[str]) -> int:
    """Run a command, unless it is a comparison that is done; return the exit status."""
    program, command, *overrides = words
    if command != "compare":
        return PROGRAMS[program]([command, *overrides])
    record = Path(overrides[-1].partition("=")[2]) / RECORD
    made_of = ingredients(overrides)
    if record.is_file() and json.loads(record.read_text()) == made_of:
        print("done before", flush=True)
        return 0
    record.unlink(missing_ok=True)
    if not (status := PROGRAMS[program]([command, *overrides])):
        write_json(record, made_of)
    return status


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
        if status := run(words):
            return status
    collect()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
