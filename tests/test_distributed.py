"""Training in several processes of `torchrun`: the steps of one process, refusals, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_data import write_data

from closures import distributed
from closures.training import TrainOptions, check_shares, train
from kinetic.errors import InvalidInput

SMALL = {
    "velocity": {"dim": 2, "points": 32, "extent": 8.0},
    "cells": 8,
    "time": {"end": 0.01, "snapshots": 3},
}
OPTIONS = {"steps": 20, "batch": 16, "samples": 1000, "updates": 1, "trajectories": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), SMALL, 2)


def settings(data, **changed):
    return {
        "data": str(data / "training.zarr"),
        "validation": str(data / "validation.zarr"),
        **OPTIONS,
        **changed,
    }


def launch(data, folder, **changed):
    """`closures train` in two processes."""
    options = [f"train.{key}={value}" for key, value in settings(data, **changed).items()]
    bin_folder = Path(sys.executable).parent
    start = [bin_folder / "torchrun", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command = [bin_folder / "closures", "train", "closure.moments=5", f"hydra.run.dir={folder}"]
    return subprocess.run(
        [*map(str, start), *map(str, command), *options],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_two_processes_take_the_steps_of_one(data, tmp_path):
    done = launch(data, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    config = {"closure": {"name": "entropy", "moments": 5}, "train": settings(data)}
    one = train(config, tmp_path / "one", progress=False)
    two = json.loads((tmp_path / "two/model/model.json").read_text())
    for stage in ("history", "rollout"):
        name = {"history": "moments"}.get(stage, stage)
        assert two[stage]["step"] == one.histories[name]["step"]
        assert two[stage]["validation"] == pytest.approx(
            one.histories[name]["validation"], rel=1e-6
        )
    paths = [tmp_path / name / "model/weights.safetensors" for name in ("one", "two")]
    mine, theirs = (load_file(path) for path in paths)
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert torch.allclose(mine[name], theirs[name], rtol=1e-5, atol=1e-7)


def test_steps_that_do_not_part_equally_are_refused(data, monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 4)
    check_shares(TrainOptions(**settings(data, trajectories=4)))
    for changed in ({"batch": 18, "trajectories": 4}, {"trajectories": 2}):
        name, value = next(iter(changed.items()))
        with pytest.raises(InvalidInput, match=f"train.{name}={value}: must be a multiple of"):
            check_shares(TrainOptions(**settings(data, **changed)))


def test_one_process_has_all(data):
    rows = torch.arange(5)
    assert distributed.size() == 1
    assert distributed.leads()
    assert torch.equal(distributed.share(rows), rows)
