"""Training through the solver: windows, their error, and its gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from closures.finite_volume import Scheme
from closures.learned import BASIS, Learned
from closures.metrics import errors, mean_error, relative_errors
from closures.solution import run_batch
from closures.unrolling import NOISE, Windows, read_windows, relative_error, rollout_error
from kinetic.config import SchemeConfig
from kinetic.dataset import TrajectorySet, generate, open_dataset
from kinetic.output import to_dataset
from kinetic.problems import problem

CELLS, FAMILIES = 20, ["wave", "mix"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrajectorySet:
    path = tmp_path_factory.mktemp("data") / "dataset.zarr"
    size = {"families": FAMILIES, "trajectories": 4, "workers": 1}
    time = {"end": 0.1, "snapshots": 11}
    generate({"cells": CELLS, "time": time, "dataset": size}, path, progress=False)
    return open_dataset(path)


@pytest.fixture(scope="module")
def windows(data: TrajectorySet) -> Windows:
    return read_windows(data, BASIS, 100)


def test_windows_hold_the_starts_and_the_fields(data: TrajectorySet, windows: Windows) -> None:
    assert windows.starts == (0,)
    assert windows.averages.shape == (4, 1, CELLS, BASIS.size)
    assert np.array_equal(windows.conserved[2].numpy(), data[2].conserved)
    # Splines add up to one, and so do their averages.
    assert (windows.averages.sum(-1) - 1.0).abs().max() < 5e-5
    assert len(read_windows(data, BASIS, 3)) == 3


def test_the_error_is_that_of_the_solution(data: TrajectorySet, windows: Windows) -> None:
    """With the quadrature of a solution, and up to its steps and how f is encoded."""
    learned, scheme = Learned(4), SchemeConfig(cfl=0.1)
    with torch.no_grad():
        closure = learned.closure()
        alike = replace(windows, scheme=Scheme.of(scheme, 1, closure.moments))
        found = float(rollout_error(closure, alike, torch.arange(4), 1))
    states = [
        problem(data.families[i], seed=int(data.seeds[i]), knudsen=None, cells=CELLS)
        for i in range(4)
    ]
    end = float(windows.time[1])
    settings = {"collision": windows.collision, "boundary": "periodic", "scheme": scheme}
    solutions = run_batch(closure, states, end=end, snapshots=2, **settings)  # type: ignore[arg-type]
    expected = []
    for state, solution, U in zip(states, solutions, windows.conserved[:, 1].numpy(), strict=True):
        assert not isinstance(solution, Exception)
        reference = to_dataset(
            {"time": [end], "x": state.x},
            U[None],
            np.zeros((1, CELLS)),
            state.knudsen,
            configuration={},
            solver_seconds=0.0,
        )
        expected.append(mean_error(errors(solution, reference)))
    assert found == pytest.approx(np.mean(expected), rel=0.02, abs=NOISE)


def test_a_gas_at_rest_has_the_error_that_its_metric_states() -> None:
    """No share of a momentum that is round-off, which would drown all others."""
    rest = torch.tensor([[[2.0, 1e-17, 1.0], [2.0, 0.0, 1.0]]], dtype=torch.float64)
    off = rest + torch.tensor([0.0, 0.2, 0.0], dtype=torch.float64)
    stated = relative_errors(off[0].numpy().T, rest[0].numpy().T)
    assert stated == pytest.approx([0.0, 0.1, 0.0], rel=1e-14)
    assert float(relative_error(off, rest)) == pytest.approx(np.mean(stated), abs=NOISE)


@pytest.mark.parametrize("part", ["dissipation", "encoder"])
def test_the_gradient_is_that_of_finite_differences(windows: Windows, part: str) -> None:
    learned = Learned(4)
    module = getattr(learned, part)
    rows = torch.arange(2)
    rollout_error(learned.closure(), windows, rows, 1).backward()
    generator = torch.Generator().manual_seed(2)
    slope, directions = 0.0, []
    for parameter in module.parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        slope += float((parameter.grad * direction).sum())
        directions.append(direction)
    values, step = [], 1e-5  # small: limiters bend the error
    with torch.no_grad():
        for sign in (1.0, -2.0):
            for parameter, direction in zip(module.parameters(), directions, strict=True):
                parameter += sign * step * direction
            values.append(float(rollout_error(learned.closure(), windows, rows, 1)))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=2e-2)


def test_ordering_leaves_the_closure_without_dissipation_alone(windows: Windows) -> None:
    """The span of w decides; the rotation is seen by the dissipation alone."""
    learned = Learned(5)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in learned.encoder.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        before = learned.encoder.features().coefficients
        learned.order_by_degree()
        after = learned.encoder.features().coefficients
        for part in (slice(0, 3), slice(3, 5)):
            spans = [torch.linalg.qr(one[:, part])[0] for one in (before, after)]
            overlap = torch.linalg.svdvals(spans[0].T @ spans[1])
            assert torch.allclose(overlap, torch.ones_like(overlap), rtol=1e-8)
        learned.order_by_degree()
        again = learned.encoder.features().coefficients
    assert not torch.allclose(before, after, atol=1e-3)
    assert torch.allclose(again, after, atol=1e-8)
