"""Levermore's closure: what it recovers, and the gases that have no density on the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_closures import fake_structure
from hypothesis import given, settings
from hypothesis import strategies as st
from moment_cases import closure_of, mixture, solve_one, uniform

from closures import comparison
from closures.closure import Frame
from closures.comparison import compare
from closures.features import unit_maxwellian
from closures.library import load
from closures.solution import initial_moments
from kinetic.errors import InvalidInput, NonPhysicalState

BOTH = pytest.mark.parametrize("name", ["maxent-2", "maxent-4", "maxent_truncated-6"])
UNIT = Frame(*torch.tensor([[1.0], [0.0], [1.0]], dtype=torch.float64))
EPS = torch.ones(1, dtype=torch.float64)


def polynomial(*coefficients: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Velocities c and masses of exp(polynomial), scaled to rho = T = 1 and u = 0."""
    v = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    f = torch.exp(sum(a * v**k for k, a in enumerate(coefficients)))
    g = f / f.sum()
    u = (g * v).sum()
    return ((v - u) / ((g * (v - u) ** 2).sum()).sqrt())[None], g[None]


POLYNOMIALS = {
    "flat": (0.0, 0.0, 0.0, 0.0, -1.0),
    "two streams": (0.0, 0.0, 2.0, 0.0, -1.0),
    "skew": (0.0, 0.5, 0.5, 0.3, -0.4),
}


@pytest.mark.parametrize("coefficients", POLYNOMIALS.values(), ids=POLYNOMIALS.keys())
def test_the_exponential_of_a_polynomial_is_recovered(coefficients: tuple[float, ...]) -> None:
    closure = closure_of("maxent-2")
    c, g = polynomial(*coefficients)
    theta, found = closure.decode(closure.encode(UNIT, c, g), EPS)
    assert found.all()
    f = g / (c[:, 1:2] - c[:, :1])
    inside = c[0].abs() < 6
    error = (closure.distribution(UNIT, theta)(c) - f)[0, inside].abs().max()
    assert error < 1e-6 * f.max()


@BOTH
def test_equilibrium_is_the_maxwellian(name: str) -> None:
    closure = closure_of(name)
    theta, found = closure.decode(torch.zeros((1, closure.moments), dtype=torch.float64), EPS)
    assert found.all()
    assert theta.abs().max() < 1e-9
    v = torch.linspace(-6, 6, 99, dtype=torch.float64)
    f_hat = closure.distribution(UNIT, theta)(v[None])[0]
    assert (f_hat - unit_maxwellian(v)).abs().max() < 1e-9


def held(name: str) -> torch.Tensor:
    """Moments of mixtures that have an f_hat, (M, K)."""
    closure, gas = closure_of(name), mixture(40)
    U, W = initial_moments(closure, gas)
    m = W / U[:, :1]
    _, found = closure.decode(m, torch.as_tensor(gas.knudsen))
    assert found.sum() > 10
    return m[found]


@BOTH
def test_the_moments_are_exact(name: str) -> None:
    closure, m = closure_of(name), held(name)
    one = torch.ones(len(m), dtype=torch.float64)
    frame = Frame(0.7 * one, -0.4 * one, 1.9 * one)
    theta, found = closure.decode(m, one)
    assert found.all()
    v, g = closure.particles(frame, theta)
    assert (closure.encode(frame, v, g) - m).abs().max() < 2e-9
    rho, momentum, energy = g.sum(1), (g * v).sum(1), 0.5 * (g * v * v).sum(1)
    for found_value, expected in (
        (rho, 0.7),
        (momentum, 0.7 * -0.4),
        (energy, 0.5 * 0.7 * (0.4**2 + 1.9)),
    ):
        assert (found_value - expected).abs().max() < 5e-9


@BOTH
def test_mirrored_moments_have_the_mirrored_density(name: str) -> None:
    closure, m = closure_of(name), held(name)
    theta, _ = closure.decode(m, EPS.expand(len(m)))
    mirrored, found = closure.decode(m * closure.features.parity, EPS.expand(len(m)))
    assert found.all()
    sign = torch.cat((torch.tensor([1.0, -1.0, 1.0]), closure.features.parity))
    assert (mirrored - sign * theta).abs().max() < 1e-9


@pytest.mark.parametrize("excess", [0.3, 1.0, 3.0])
def test_without_heat_flux_a_kurtosis_above_three_has_no_density_on_the_line(excess: float) -> None:
    m = torch.tensor([[0.0, excess], [0.0, -0.2 * excess]], dtype=torch.float64) / np.sqrt(24.0)
    eps = EPS.expand(2)
    _, found = closure_of("maxent-2").decode(m, eps)
    assert found.tolist() == [False, True]
    theta, found = closure_of("maxent_truncated-2").decode(m, eps)
    assert found.all()
    assert theta[0, -1] > 0 > theta[1, -1]


def test_what_piles_up_depends_on_the_interval() -> None:
    """The sixth moment of a gas with kurtosis 4: what the ends hold grows with their distance."""
    m = torch.tensor([[0.0, 1.0]], dtype=torch.float64) / np.sqrt(24.0)
    sixth = []
    for extent in (8.0, 10.0, 12.0):
        closure = type(closure_of("maxent_truncated-2"))(
            "maxent_truncated",
            closure_of("maxent_truncated-2").features,
            closure_of("maxent_truncated-2").dual,
            extent=extent,
            nodes=round(8 * extent) + 1,
        )
        c, g = closure.particles(UNIT, closure.decode(m, EPS)[0])
        sixth.append(float((g * c**6).sum()))
        assert float((g * c**4).sum()) == pytest.approx(4.0, rel=1e-6)
    assert sixth[0] > 15.0 + 40.0
    assert np.diff(sixth).min() > 10.0


def test_a_gas_near_equilibrium_has_its_density() -> None:
    m = torch.tensor([[1e-3, 1e-3], [-1e-3, 1e-4]], dtype=torch.float64)
    assert closure_of("maxent-2").decode(m, EPS.expand(2))[1].all()


@settings(max_examples=40)
@given(st.floats(0.05, 0.95), st.floats(-1.2, 1.2), st.floats(0.3, 2.0))
def test_no_gas_of_these_moments_has_more_entropy(share: float, u: float, T: float) -> None:
    closure = closure_of("maxent_truncated-4")
    v = np.linspace(-14, 14, 2801)
    f = share * np.exp(-0.5 * v**2) + (1 - share) * np.exp(-0.5 * (v - u) ** 2 / T) / np.sqrt(T)
    g = torch.as_tensor(f / f.sum())
    mean = float((g * torch.as_tensor(v)).sum())
    width = float((g * torch.as_tensor(v - mean) ** 2).sum()) ** 0.5
    c = torch.as_tensor((v - mean) / width)[None]
    theta, found = closure.decode(closure.encode(UNIT, c, g[None]), EPS)
    assert found.all()
    f_hat = closure.particles(UNIT, theta)[1] / (closure.c[1] - closure.c[0])
    entropy = float((torch.xlogy(f_hat, f_hat)).sum() * (closure.c[1] - closure.c[0]))
    dc = float(c[0, 1] - c[0, 0])
    assert entropy <= float(torch.xlogy(g, g / dc).sum()) + 1e-8


def test_a_solution_that_fails_says_why() -> None:
    with pytest.raises(NonPhysicalState, match=r"piles up at the ends.*Junk 1998"):
        solve_one("maxent-2", mixture(10, 10.0))
    near = uniform(6, 1.0, 0.3, 1.0)
    assert not isinstance(solve_one("maxent-2", near), Exception)


@pytest.mark.parametrize("name", ["maxent", "maxent_truncated"])
@pytest.mark.parametrize("moments", [1, 3, 7])
def test_an_odd_degree_is_refused(name: str, moments: int) -> None:
    with pytest.raises(InvalidInput, match="must be even") as caught:
        load(name, moments)
    assert caught.value.key == "closure.moments"


def test_a_comparison_counts_the_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "write_report", lambda _: None)
    monkeypatch.setattr(comparison, "structure", fake_structure)
    config: dict[str, Any] = {
        "cells": 12,
        "time": {"end": 0.02, "snapshots": 2},
        "compare": {
            "closures": ["maxent-2", "maxent_truncated-2"],
            "families": ["wave"],
            "cases": 3,
        },
    }
    summary = compare(config, tmp_path, progress=False).summary()
    line, interval = summary["maxent-2"]["wave"], summary["maxent_truncated-2"]["wave"]
    assert (line["failed"], line["cases"], line["density"]) == (3, 3, None)
    assert interval["failed"] == 0
    assert interval["density"] is not None
    assert interval["density"] < 0.05
