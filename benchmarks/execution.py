"""How much faster two Dask workers label than one, and how busy that keeps them.

python benchmarks/execution.py
python benchmarks/execution.py --trajectories 12 --collision boltzmann

The trajectories of a data set are labelled on a cluster of this machine with one worker and with
two, by turns, `--repeats` times; that a cluster starts is not counted. Beside the seconds is the
share of the workers' time that went into trajectories. Where other processes want the cores too,
the times tell of these; the shares still tell what the executor leaves unused.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from kinetic.config import DatasetRunConfig
from kinetic.dataset import make_trajectory
from kinetic.execution import Dask, local_cluster
from kinetic.reference import warm_up
from kinetic.solver import Scheme
from kinetic.trajectories import create_store


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """Yield the address of a scheduler whose workers have loaded the solver."""
    import distributed

    with local_cluster(workers) as running, distributed.Client(running) as client:
        client.run(warm_up, Scheme())
        yield running.scheduler_address


def label(config: DatasetRunConfig, path: Path, number: int) -> tuple[float, float]:
    """Make a trajectory; return when that began and ended."""
    begin = time.time()
    make_trajectory(config, path, number)
    return begin, time.time()


def labelled(workers: int, asked: argparse.Namespace) -> tuple[float, float]:
    """Return how long the data set takes with so many workers, and how busy they are."""
    config = DatasetRunConfig.from_mapping(
        {
            "cells": asked.cells,
            "velocity": {"dim": asked.dim},
            "collision": asked.collision,
            "dataset": {"trajectories": asked.trajectories, "seed": 500_000},
        }
    )
    with cluster(workers) as address, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.zarr"
        create_store(config, path)
        begin = time.time()
        spans = Dask(address=address).map(partial(label, config, path), range(asked.trajectories))
        busy = sum(end - start for _, (start, end) in spans)
        seconds = time.time() - begin
    return seconds, busy / (workers * seconds)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="labelling with one and two Dask workers")
    parser.add_argument("--trajectories", type=int, default=24)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--dim", type=int, default=2, help="velocity.dim")
    parser.add_argument("--collision", default="bgk")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    asked = arguments()
    warm_up(Scheme(), asked.dim)
    for _ in range(asked.repeats):
        (one, busy), (two, both_busy) = (labelled(workers, asked) for workers in (1, 2))
        print(
            f"one worker {one:.1f} s, busy {100 * busy:.0f} %; "
            f"two {two:.1f} s, busy {100 * both_busy:.0f} %: {one / two:.2f} times as fast",
            flush=True,
        )
