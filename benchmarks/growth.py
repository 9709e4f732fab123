"""Which times grow with what, and the complexity that is stated for each."""

from __future__ import annotations

import os
from functools import partial
from math import log2

from benchmarks.measure import Call, Growth
from benchmarks.steps import (
    newton_step_of_dual,
    operator_of,
    shared_collisions,
    step_call,
    stepper_of,
    steps_call,
    training_update,
    volume,
)

#: Nodes of a dual; those of either sign of c share the values of functions with a parity.
NODES = 25


def kinetic_step(cells: float, points: float) -> Call:
    """A step of BGK in D = 1."""
    stepper, f, dt = stepper_of(int(cells), points=int(points))
    return steps_call(stepper, f, dt)


def collisions(points: float) -> Call:
    """Q of 8 cells of points^2 velocities."""
    operator, f = operator_of(int(points), 8)
    return Call(partial(operator.spectral_sum, f))


def volume_step(cells: float) -> Call:
    """A step of the compiled solver of the closure with six moments."""
    solver, state = volume("entropy-6-fast", int(cells))
    return step_call(solver, state)


def dual_cost(moments: float) -> float:
    """nodes P^2 + P^3 of the P = moments + 3 functions of a dual."""
    P = moments + 3
    return NODES * P**2 + P**3


GROWTHS = (
    Growth(
        "kinetic step",
        "cells",
        (100, 200, 400, 800, 1600, 3200),
        "n",
        float,
        lambda cells: kinetic_step(cells, 81),
    ),
    Growth(
        "kinetic step",
        "velocities",
        (41, 81, 161, 321, 641, 1281),
        "N",
        float,
        lambda points: kinetic_step(100, points),
    ),
    Growth(
        "collisions of Boltzmann",
        "velocities along an axis",
        (16, 24, 32, 48, 64, 96),
        "N² log N",
        lambda N: N * N * log2(N),
        collisions,
    ),
    Growth(
        "Newton step of a dual",
        "moments",
        (4, 6, 9, 12, 16, 24),
        "nodes P² + P³, P = K + 3",
        dual_cost,
        newton_step_of_dual,
    ),
    Growth("finite-volume step", "cells", (50, 100, 200, 400, 800), "n", float, volume_step),
    Growth("training step", "samples", (512, 1024, 2048, 4096), "n", float, training_update),
    Growth(
        "collisions of Boltzmann",
        "cores",
        tuple(range(1, max(2, os.cpu_count() or 1) + 1)),
        "1 / cores",
        lambda cores: 1.0 / cores,
        lambda cores: shared_collisions(int(cores)),
    ),
)
