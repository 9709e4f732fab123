"""Throughput and memory of `kinetic dataset`: run ``python benchmarks/bench_dataset.py``.

Prints the wall time of 100 trajectories of 100 cells x 81 velocities to t = 0.1, process start-up
and writing included (target: at most 10 s on two cores once the kernels are compiled), and the peak
memory of the whole process tree for 25 and for 100 trajectories (target: no growth).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

COMMAND = "from kinetic.dataset import generate; generate({'dataset': {'trajectories': %d}}, %r)"


def _resident(pid: int) -> int:
    """Return the resident memory, in bytes, of a process and all its descendants."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it ended meanwhile
        return 0
    return 4096 * pages + sum(_resident(int(child)) for child in children)


def measure(trajectories: int) -> tuple[float, float]:
    """Return the wall time in seconds and the peak memory in MiB of one data set."""
    with tempfile.TemporaryDirectory() as folder:
        command = COMMAND % (trajectories, str(Path(folder) / "dataset.zarr"))
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", command])
        peak, ended = 0, threading.Event()

        def sample() -> None:
            nonlocal peak
            while not ended.wait(0.02):
                peak = max(peak, _resident(process.pid))

        sampler = threading.Thread(target=sample)
        sampler.start()
        status = process.wait()
        seconds = time.perf_counter() - begin
        ended.set()
        sampler.join()
    if status != 0:
        raise SystemExit(f"generation failed with status {status}")
    return seconds, peak / 2**20


def main() -> None:
    """Print the figures, after one small run that compiles the kernels."""
    measure(2)
    for trajectories in (25, 100):
        seconds, peak = measure(trajectories)
        print(f"{trajectories:4d} trajectories: {seconds:5.2f} s, peak {peak:5.0f} MiB")


if __name__ == "__main__":
    main()
