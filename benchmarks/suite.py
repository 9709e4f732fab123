"""The benchmarks of the suite, in the order in which they run and are shown."""

from __future__ import annotations

from functools import partial

from benchmarks import commands, steps
from benchmarks.alternatives import NumpyKinetic, PlainKinetic
from benchmarks.measure import Benchmark

COPY, FLOPS, BARE = "bytes at the rate of a copy", "flops at the rate of a product", "bare FFTs"
PLAIN, NUMPY = "NumPy, plain", "NumPy, tuned"
#: What the project aims at: seconds of a start, times faster than NumPy, and times a limit.
HELP = {"kinetic": 0.5, "closures": 0.7}
COMPILATION, KINETIC_STEP = 5.0, 10.0
KINETIC_BYTES, COLLISIONS = 2.0, 1.5

KINETIC = [
    Benchmark(
        f"kinetic step, BGK, {cells} cells × 81",
        COPY,
        instead,
        partial(steps.kinetic_step, cells, numpy=numpy),
        times=KINETIC_STEP,
    )
    for cells in (100, 1000)
    for instead, numpy in ((PLAIN, PlainKinetic), (NUMPY, NumpyKinetic))
]
BENCHMARKS = (
    *KINETIC,
    Benchmark(
        "kinetic step, BGK, 100 cells × 48²",
        COPY,
        NUMPY,
        partial(steps.kinetic_step, 100, 2, 48, 9.2),
        bound=KINETIC_BYTES,
    ),
    Benchmark("collision, BGK, 100 cells × 81", COPY, "NumPy", steps.relaxation),
    Benchmark(
        "collision, Boltzmann, 100 cells × 48²", BARE, "NumPy", steps.collisions, bound=COLLISIONS
    ),
    Benchmark("dual solve, 6 moments, 1000 cells", FLOPS, "scipy, trust-exact", steps.dual_solve),
    Benchmark(
        "finite-volume step, 6 moments, 100 cells",
        "its dual solves",
        "torch, batched",
        partial(steps.volume_step, "entropy-6", 100),
    ),
    Benchmark(
        "finite-volume step, 9 moments, 1000 cells",
        "its dual solves",
        "torch, batched",
        partial(steps.volume_step, "entropy-9", 1000),
    ),
    Benchmark(
        "training step, 6 moments, 2048 samples",
        FLOPS,
        "theta differentiated",
        steps.training_step,
    ),
    Benchmark(
        f"data set, {commands.TRAJECTORIES} trajectories, all cores",
        "its steps",
        "its steps by NumPy",
        commands.data_set,
    ),
    *(
        Benchmark(
            f"{program} --help",
            "python -c pass",
            "all imports",
            partial(commands.help_of, program),
            seconds=limit,
        )
        for program, limit in HELP.items()
    ),
    *(
        Benchmark(
            f"{program} solve --help",
            "python -c pass",
            "all imports",
            partial(commands.help_of, program, "solve"),
        )
        for program in HELP
    ),
    Benchmark("kinetic solve, kernels cached", "all imports", "empty cache", commands.warm_solve),
    *(
        Benchmark(
            f"compilation, first solve, {first}",
            "solve, kernels cached",
            "solve, empty cache",
            partial(commands.compilation, first),
            seconds=COMPILATION if first == "kinetic" else None,
        )
        for first in commands.FIRST_SOLVE
    ),
)
