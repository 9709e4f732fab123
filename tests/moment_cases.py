"""Shared by the tests of the closed systems: closures, smooth states and short ways to solve."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from closures.finite_volume import FiniteVolume, Scheme
from closures.library import parse
from closures.response import Response
from closures.solution import initial_moments, run_batch
from kinetic.collisions import BGK
from kinetic.config import SchemeConfig
from kinetic.problems import InitialState, cell_centers

torch.set_num_threads(1)

CLOSURES = (
    "euler",
    "navier_stokes",
    "hermite-3",
    "hermite-6",
    "maxent_truncated-2",
    "entropy-6",
    "entropy-9",
)
UNLIKE = Response(torch.diag(torch.tensor([0.01, 100.0] * 4 + [1.0]).double()))
"""Rates of nine moments so unlike that they relax on ways along which the entropy may rise."""

FIELDS = ("density", "momentum", "energy")

closure_of = cache(parse)
each_closure = pytest.mark.parametrize("name", CLOSURES)


def mixture(cells, eps=0.1, boost=0.0, boundary="periodic"):
    """Two Maxwellians a cell, smooth in x: away from equilibrium."""
    x = cell_centers(cells)
    s, c = np.sin(2 * np.pi * x), np.cos(2 * np.pi * x)
    first = (0.5 + 0.1 * s, 0.2 * c + boost, 0.9 + 0.1 * c)
    second = (0.5 + 0.1 * c, -0.2 * s + boost, 1.0 - 0.1 * s)
    return InitialState(x, np.full(cells, float(eps)), (first, second), boundary)


def uniform(cells, rho, u, T, eps=0.1, boundary="periodic"):
    one = np.ones(cells)
    return InitialState(cell_centers(cells), eps * one, ((rho * one, u * one, T * one),), boundary)


def solve_all(name, states, end=0.1, snapshots=2, boundary=None, collision=None, **scheme):
    """Solutions, or errors, of several states."""
    return run_batch(
        closure_of(name),
        states,
        end=end,
        snapshots=snapshots,
        collision=collision or BGK(),
        boundary=boundary,
        scheme=SchemeConfig(**scheme),
    )


def solve_one(name, state, **options):
    """The solution of one state; an error is raised."""
    (result,) = solve_all(name, [state], **options)
    if isinstance(result, Exception):
        raise result
    return result


def conserved(solution):
    """U (time, x, 3) of a solution."""
    return np.stack([solution[field].values for field in FIELDS], axis=-1)


def start(closure, states, boundary="periodic", collision=None, **scheme):
    """The finite-volume solver of several states, and the state it starts from."""
    eps = torch.as_tensor(np.stack([state.knudsen for state in states]))
    solver = FiniteVolume(closure, eps, collision or BGK(), boundary, Scheme(**scheme))
    parts = [initial_moments(closure, state) for state in states]
    U, W = (torch.cat(part) for part in zip(*parts, strict=True))
    return solver, solver.decode(U, W / U[:, :1], None)


def refined(coarse, fine):
    """Mean relative distance at the centres of the coarse cells; three fine cells make a coarse."""
    return float(np.abs(fine[1::3] - coarse).mean() / np.abs(coarse).mean())
