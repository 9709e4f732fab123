"""The solver in PyTorch on a GPU beside the same on one thread of the processor.

    python benchmarks/gpu.py [--end 0.02]

Prints milliseconds a trajectory of 100 cells, by closure and by how many are solved together, and
the largest difference between the two in rho, u and T. Both use float64.
"""

from __future__ import annotations

import argparse
import time
from itertools import product

import numpy as np
import torch

from closures.batch import Batch, Task
from closures.closure import Closure
from closures.finite_volume import Scheme
from closures.gas import Gas, frequency
from closures.library import load
from closures.solution import initial_moments
from kinetic.collisions import BGK
from kinetic.config import CollisionConfig, SchemeConfig
from kinetic.errors import NonPhysicalState
from kinetic.problems import problem

CLOSURES = {
    **{f"D = 1, K = {K}": (K, Gas()) for K in (6, 9, 16)},
    **{f"D = 2, {name}, K = 9": (9, Gas(2, name)) for name in ("bgk", "boltzmann")},
}
TOGETHER = (1, 32, 256)
MOST_COMPARED = 32
"""Trajectories that the processor is given as well."""

FIELDS = ("density", "velocity", "temperature")


def solve(
    closure: Closure, collision: BGK, count: int, end: float, device: str
) -> tuple[float, np.ndarray]:
    """Seconds, and the fields at the end (count, 3, cells)."""
    states = [problem(("mix", "wave")[s % 2], seed=900000 + s) for s in range(count)]
    scheme = Scheme.of(SchemeConfig(), closure.dimension, closure.moments)
    task = Task(closure, collision, "periodic", scheme, device=device)
    U, W = (
        torch.cat(part) for part in zip(*(initial_moments(closure, s) for s in states), strict=True)
    )
    begin = time.perf_counter()
    with torch.no_grad():
        batch = Batch(task, states, U, W)
        batch.advance(end)  # what it keeps is on the processor, so all is done
    seconds = time.perf_counter() - begin
    fields = []
    for record in batch.records:
        found = record.result(task)
        if isinstance(found, NonPhysicalState):
            raise found
        fields.append([found[name].values[-1] for name in FIELDS])
    return seconds, np.array(fields)


def main() -> None:
    """Print a line for each closure and number of trajectories."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--end", type=float, default=0.02)
    end = parser.parse_args().end
    torch.set_num_threads(1)
    print(torch.cuda.get_device_name(0), torch.__version__)
    for (name, (moments, gas)), count in product(CLOSURES.items(), TOGETHER):
        closure = load("entropy", moments, fast=False, gas=gas)
        what = closure, frequency(CollisionConfig(name=gas.collision))
        solve(*what, 1, 0.1 * end, "cuda")
        seconds, fields = solve(*what, count, end, "cuda")
        line = f"{name}, {count} together: {1e3 * seconds / count:.1f} ms each"
        if count <= MOST_COMPARED:
            other, expected = solve(*what, count, end, "cpu")
            difference = np.abs(fields - expected).max()
            line += f", processor {1e3 * other / count:.1f}, difference {difference:.0e}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
