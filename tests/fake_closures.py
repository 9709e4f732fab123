"""Stand-ins for closures in the tests of comparison and report: known solutions at no cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from closures.closure import Closure, MomentClosure
from closures.library import parse
from closures.structure import PROPERTIES, Finding
from kinetic.config import SolveConfig
from kinetic.errors import NonPhysicalState
from kinetic.moments import heat_flux, moments_of
from kinetic.output import to_dataset
from kinetic.problems import InitialState
from kinetic.reference import discretise

#: A comparison of a second: two families, one of them with eps(x).
SMALL: dict[str, Any] = {
    "cells": 12,
    "time": {"end": 0.02, "snapshots": 2},
    "closure": "entropy",
    "compare": {
        "closures": ["euler", "hermite-3", "entropy"],
        "families": ["wave", "transition"],
        "cases": 2,
    },
}

Result = xr.Dataset | NonPhysicalState

#: Training curves that a learned closure says it has.
HISTORY = {"step": [0, 10, 20], "train": [0.3, 0.2, 0.1], "validation": [0.4, 0.3, 0.2]}


def kinetic_at(state: InitialState, end: float, snapshots: int) -> xr.Dataset:
    """Solve with the kinetic equation, as a closure would be asked to."""
    time = {"end": end, "snapshots": snapshots}
    config = SolveConfig.from_mapping({"cells": len(state.x), "time": time})
    solver, f0 = discretise(config, state)
    steps = list(solver.evolve(f0, end=end, snapshots=snapshots))
    return to_dataset(
        {"time": [step.time for step in steps], "x": state.x},
        [moments_of(step.f, solver.grid) for step in steps],
        [heat_flux(step.f, solver.grid) for step in steps],
        state.knudsen,
        configuration={},
        solver_seconds=0.25,
    )


def fake_batch(
    closure: MomentClosure, states: Sequence[InitialState], *, end: float, snapshots: int, **_: Any
) -> list[Result]:
    """Return kinetic solutions at eps/2; `hermite` fails in the first case before the last one."""
    halved = [replace(state, knudsen=0.5 * state.knudsen) for state in states]
    results: list[Result] = [kinetic_at(state, end, snapshots) for state in halved]
    if closure.name == "hermite":
        reason = "density is not positive: -0.1 < 0"
        failure = NonPhysicalState(0.75 * end, 3, {"rho": -0.1}, reason)
        failure.solution = kinetic_at(halved[0], end, snapshots).isel(time=slice(-1))
        results[0] = failure
    return results


def failing_batch(error: Exception) -> Callable[..., list[Result]]:
    """Return a `run_batch` in which Euler's closure breaks down altogether."""

    def batch(closure: MomentClosure, *states: Any, **options: Any) -> list[Result]:
        if closure.name == "euler":
            raise error
        return fake_batch(closure, *states, **options)

    return batch


def infinite_batch(closure: MomentClosure, *states: Any, **options: Any) -> list[Result]:
    """Return solutions whose density is not a number."""
    results = fake_batch(closure, *states, **options)
    return [
        one.assign(density=one.density * np.nan) if isinstance(one, xr.Dataset) else one
        for one in results
    ]


def with_history(*given: Any) -> Closure:
    """Parse a closure; a learned one says how it was trained."""
    closure = parse(*given)
    return replace(closure, manifest={"history": HISTORY}) if closure.name == "entropy" else closure


def fake_structure(closure: MomentClosure) -> dict[str, Finding]:
    """Return findings by which `hermite` loses positivity and entropy and the others nothing."""
    kept = dict.fromkeys(PROPERTIES, Finding(-1.5e-6, True))
    if closure.name == "hermite":
        return kept | {"positivity": Finding(-0.25, False), "entropy": Finding(None, False)}
    return kept
