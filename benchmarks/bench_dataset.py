"""Throughput and memory of `kinetic dataset`: run ``python benchmarks/bench_dataset.py``.

Prints the wall time of 100 trajectories of 100 cells x 81 velocities to t = 0.1, process start-up
and writing included (target: at most 10 s on two cores once the kernels are compiled), and the peak
memory of the whole process tree for 25 and for 100 trajectories (target: no growth).

Then the published data set of Boltzmann's equation is extrapolated from four of its 200
trajectories of 100 cells x 48 x 48 velocities x 101 times (target: at most 60 minutes on two cores,
4 GB of memory). The seconds of all processors are printed too, for a machine with other work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = "from kinetic.dataset import generate; generate(%r, %r)"
SMALL: dict[str, Any] = {"dataset": {"trajectories": 100}}
PUBLISHED: dict[str, Any] = {
    "velocity": {"dim": 2},
    "collision": "boltzmann",
    "time": {"end": 0.1, "snapshots": 101},
    "dataset": {"trajectories": 200, "families": ["wave", "mix"]},
}


def _tree(pid: int) -> list[tuple[int, int, float]]:
    """Return number, resident bytes and processor seconds of a process and of its descendants."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it ended meanwhile
        return []
    own = pid, 4096 * pages, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return [own, *(one for child in children for one in _tree(int(child)))]


@dataclass(frozen=True)
class Cost:
    """What a data set took: wall and processor seconds, peak memory in MiB, size in MiB."""

    seconds: float
    processors: float
    memory: float
    size: float


def measure(config: dict[str, Any], trajectories: int) -> Cost:
    """Make some trajectories of a data set."""
    config = config | {"dataset": config["dataset"] | {"trajectories": trajectories}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.zarr"
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", COMMAND % (config, str(path))])
        peak, ended = 0, threading.Event()
        spent: dict[int, float] = {}

        def sample() -> None:
            nonlocal peak
            while not ended.wait(0.02):
                tree = _tree(process.pid)
                peak = max(peak, sum(resident for _, resident, _ in tree))
                spent.update({pid: seconds for pid, _, seconds in tree})

        sampler = threading.Thread(target=sample)
        sampler.start()
        status = process.wait()
        seconds = time.perf_counter() - begin
        ended.set()
        sampler.join()
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if status != 0:
        raise SystemExit(f"generation failed with status {status}")
    return Cost(seconds, sum(spent.values()), peak / 2**20, size / 2**20)


def main() -> None:
    """Print the figures, after one small run that compiles the kernels."""
    measure(SMALL, 2)
    for trajectories in (25, 100):
        cost = measure(SMALL, trajectories)
        print(f"{trajectories:4d} trajectories: {cost.seconds:5.2f} s, peak {cost.memory:5.0f} MiB")
    few, many = 4, PUBLISHED["dataset"]["trajectories"]
    measure(PUBLISHED | {"cells": 8}, 2)
    cost = measure(PUBLISHED, few)
    print(
        f"Boltzmann, 100 cells x 48 x 48 x 101 times, {few} trajectories: {cost.seconds:.0f} s, "
        f"{cost.processors:.0f} s of processors, peak {cost.memory:.0f} MiB, {cost.size:.0f} MiB\n"
        f"extrapolated to {many}: {cost.seconds * many / few / 60:.0f} minutes (goal 60 on two "
        f"cores), {cost.processors * many / few / 60:.0f} minutes of processors, "
        f"{cost.size * many / few / 1024:.1f} GiB"
    )


if __name__ == "__main__":
    main()
