"""Grad's method for Boltzmann's collisions of Maxwell molecules, D = 2."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import closures
import kinetic
from closures.closure import Frame
from closures.comparison import compare
from closures.gas import Gas
from closures.grad import GradClosure
from closures.library import load, parse
from closures.maxwell import MaxwellCollisions
from closures.reduced_features import ReducedHermiteFeatures, degrees
from closures.structure import transported
from kinetic.exact import HEAT_FLUX_RATE, STRESS_RATE
from kinetic.reference import solve as solve_kinetic

GAS = Gas(2, "boltzmann")


def moments(count: int, samples: int = 4, size: float = 0.3) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return size * torch.randn(samples, count, generator=generator, dtype=torch.float64)


def collisions(count: int) -> MaxwellCollisions:
    return MaxwellCollisions.of(ReducedHermiteFeatures(2, count))


@pytest.mark.parametrize(
    ("count", "points", "extent", "tolerance"), [(5, 96, 12.0, 1e-7), (9, 128, 14.0, 1e-6)]
)
def test_production_is_that_of_the_operator(
    count: int, points: int, extent: float, tolerance: float
) -> None:
    operator, m = kinetic.boltzmann_operator(points, extent, 16), moments(count)
    v1, v2 = operator.velocities
    a, b = ReducedHermiteFeatures(2, count).matrix(torch.as_tensor(v1[:, 0])).numpy()
    w = a[:, None] + b[:, None] * ((v2[:1].T ** 2 - 1.0) * math.sqrt(0.5))
    w = np.moveaxis(w, -1, 0)
    M = np.exp(-0.5 * (v1**2 + v2**2)) / (2.0 * math.pi)
    Q = operator(M * (1.0 + np.tensordot(m.numpy(), w, 1)))
    expected = np.tensordot(Q, w, ([1, 2], [1, 2])) * operator.axis.spacing**2
    found = collisions(count)(m).numpy()
    assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()
    # The quadratic terms are no small part of it.
    linear = -(m @ collisions(count).response).numpy()
    assert count < 5 or np.abs(found - linear).max() > 0.02 * np.abs(expected).max()


def test_stress_and_heat_flux_relax_at_the_exact_rates_in_every_gas() -> None:
    m = moments(16, size=2.0)
    R = collisions(16)(m)
    assert (R[:, 0] + STRESS_RATE * m[:, 0]).abs().max() < 1e-12
    assert (R[:, 1] + HEAT_FLUX_RATE * m[:, 1]).abs().max() < 1e-12


@pytest.mark.parametrize("count", [1, 4, 9, 24])
def test_all_moments_decay_and_mix_with_those_of_their_degree(count: int) -> None:
    found = collisions(count)
    n = torch.tensor(degrees(count))
    A = found.response
    assert found.rates.min() > 0.2
    assert (A - A.T).abs().max() < 1e-14
    assert not A[n[:, None] != n].any()
    assert found.rates.max() < 1.0  # that of the loss alone


def test_an_implicit_step_solves_its_equations() -> None:
    found, m = collisions(9), moments(9)
    a = torch.tensor([0.0, 0.3, 2.0, 1e8]).double()
    new = found.relaxed(m, a, 0.0 * a)
    assert (new - a[:, None] * found(new) - m).abs().max() < 1e-7
    b = torch.tensor([0.0, 0.2, 1.0, 1e12]).double()
    last = found.relaxed(m, a, b)
    R = found(last)
    derivative = 0.5 * (found(last + R) - found(last - R))  # of R along R, which is quadratic
    assert (last + b[:, None] * derivative - new)[:3].abs().max() < 1e-12
    assert last[3].abs().max() < 1e-8


def test_transport_coefficients_are_those_of_navier_stokes() -> None:
    """Damping of long waves: by the eigenvalues of the linear equations at rest."""
    closure, viscous = load("hermite", 9, gas=GAS), load("navier_stokes", gas=GAS)
    assert isinstance(closure, GradClosure)
    rest = torch.tensor([[1.0, 0.0, 1.0] + [0.0] * 9], dtype=torch.float64)
    frame = Frame.of(rest[:, :3], 2)

    def equations(state: Tensor) -> tuple[Tensor, Tensor]:
        return transported(closure, frame, state[:, :3], state[:, 3:], state[:, 0])

    Z, F = (one[0, :, 0] for one in torch.autograd.functional.jacobian(equations, rest))
    k, eps = 2.0 * math.pi, 1e-4
    decay = torch.block_diag(torch.zeros(3, 3), closure.collisions.response) / eps
    growth = torch.linalg.eigvals(-1j * k * torch.linalg.solve(Z, F, left=False) - decay)
    slow = growth[growth.real.abs().argsort()[:3]].real.sort().values / (eps * k**2)
    stress, heat = viscous.slower  # type: ignore[attr-defined]
    # mu* = mu, kappa = (D+2)/2 of heat, cp = 2 and gamma = 2.
    sound = 0.5 * (stress + 2.0 * heat / 2.0)
    expected = torch.tensor([-heat, -sound, -sound]).double()
    assert (slow - expected).abs().max() < 1e-4


OPTIONS: dict[str, Any] = {
    "problem": {"name": "mix", "seed": 500_003},
    "knudsen": 0.01,
    "cells": 24,
    "velocity": {"dim": 2, "points": 32, "extent": 7.5},
    "collision": "boltzmann",
    "time": {"end": 0.05, "snapshots": 2},
}


def test_it_is_nearer_to_the_kinetic_solution_than_euler() -> None:
    reference = solve_kinetic(**OPTIONS)

    def distance(closure: str) -> float:
        solution = closures.solve(**OPTIONS, closure=closure)
        for field in ("density", "momentum", "energy"):
            before, after = (float(solution[field][n].sum()) for n in (0, -1))
            assert abs(after - before) < 1e-12
        return float(np.linalg.norm(solution.energy[-1] - reference.energy[-1]))

    assert distance("hermite") < 0.2 * distance("euler")


@pytest.mark.usefixtures("quick")
def test_a_comparison_holds_it(tmp_path: Path) -> None:
    names = ["hermite-3", "hermite-9"]
    options = {
        "velocity": OPTIONS["velocity"],
        "collision": {"name": "boltzmann", "angles": 4},
        "cells": 8,
        "time": {"end": 0.01, "snapshots": 2},
        "compare": {"closures": names, "families": ["wave"], "cases": 1},
    }
    compare(options, tmp_path, progress=False)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert {case["closure"] for case in record["cases"]} == {*names, "kinetic"}
    assert all(case["status"] == "ok" for case in record["cases"])
    assert isinstance(parse("hermite-9", gas=GAS), GradClosure)
