"""The demonstration: from nothing to a report, and on from wherever it was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr

from closures.cli import main
from closures.library import read_model
from kinetic.commandline import DONE, INVALID
from kinetic.dataset import open_dataset

ROOT = Path(__file__).resolve().parent.parent
SMALL = [
    "cells=12",
    "time.end=0.02",
    "time.snapshots=3",
    "closure.moments=3",
    "dataset.trajectories=4",
    "dataset.workers=1",
    "train.steps=200",
    "train.batch=64",
    "train.updates=2",
    "scheme.cfl=0.2",
    "compare.closures=[euler,entropy-6]",
    "compare.families=[wave]",
    "compare.cases=1",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a demonstration that was killed while it trained, and then run again."""
    path = tmp_path_factory.mktemp("demo")
    arguments = ["demo", *SMALL, f"hydra.run.dir={path}"]
    code = "from closures.cli import main; raise SystemExit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    limit = time.monotonic() + 60.0
    while not list(path.glob("checkpoint/*.json")) and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (path / "report.html").exists()
    before = (path / "dataset.zarr/done/c/0").stat().st_mtime_ns
    assert main(arguments) == DONE
    assert (path / "dataset.zarr/done/c/0").stat().st_mtime_ns == before  # it was not made again
    return path


def test_each_step_leaves_its_result(folder: Path) -> None:
    assert len(open_dataset(folder / "dataset.zarr")) == 4
    assert open_dataset(folder / "validation.zarr").seed_range == "validation"
    model = read_model(folder / "model", moments=3)
    assert model.history is not None
    assert model.history["step"] == [0, 100, 200]
    with xr.open_zarr(folder / "solution.zarr") as solution:
        assert dict(solution.sizes) == {"time": 3, "x": 12, "k": 3}
    assert json.loads((folder / "status.json").read_text())["status"] == DONE


def test_the_trained_closure_is_compared_beside_the_others(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    trained = str(folder / "model")
    assert set(metrics["summary"]) == {"kinetic", "euler", "entropy-6", trained}
    summary = metrics["summary"][trained]["wave"]
    assert (summary["cases"], summary["failed"]) == (1, 0)
    assert summary["density"] < metrics["summary"]["euler"]["wave"]["density"]


def test_the_report_shows_how_it_was_trained(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert 'id="figure-training"' in page
    assert "model, K = 3" in page
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {"training.png", "training.pdf", "errors.png", "moments-entropy-6.png"} <= figures


@pytest.mark.parametrize(
    ("key", "override"),
    [
        ("compare.closures", "compare.closures=[entropi-6]"),
        ("compare.closures", "velocity.dim=2"),
        ("compare.cases", "compare.cases=0"),
        ("train.steps", "train.steps=0"),
        ("closure", "closure=hermite"),
        ("dataset.trajectories", "dataset.trajectories=-1"),
        ("problem.seed", "problem.seed=-1"),
    ],
)
def test_bad_input_to_any_step_is_refused_before_the_first(
    key: str, override: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *SMALL, override, f"hydra.run.dir={tmp_path}"]) == INVALID
    printed = capsys.readouterr().err
    assert f"{key}=" in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "dataset.zarr").exists()
