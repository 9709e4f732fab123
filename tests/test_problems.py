"""Initial data: deterministic, inside the ranges of the design, exact in their moments."""

from __future__ import annotations

import numpy as np
import pytest

from kinetic.errors import InvalidInput
from kinetic.moments import moments_of, primitive
from kinetic.problems import (
    SAMPLERS,
    KnudsenPlateau,
    cell_centers,
    draw,
    problem,
    sample_shock,
    sample_wave,
)
from kinetic.velocity import VelocityGrid

NAMES = (*SAMPLERS, "sod")
GOLDEN_KNUDSEN = 0.19452081337395544
GOLDEN_U = [0.7199067664782938, 0.0008993893609400643, 0.1216289878230202]


@pytest.mark.parametrize("name", NAMES)
def test_moments_are_those_of_the_distribution(name: str) -> None:
    # The tails beyond |v| = 12 hold less than 1e-13 of any family.
    grid = VelocityGrid(points=241, extent=12.0)
    state = problem(name, seed=5, cells=32)
    U = moments_of(state.distribution(grid.nodes), grid)
    np.testing.assert_allclose(U, state.conserved(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_distribution_at_nodes_of_each_cell(name: str) -> None:
    state = problem(name, seed=2, cells=8)
    v = np.linspace(-3.0, 3.0, 7)
    tiled = np.tile(v, (8, 1))
    np.testing.assert_array_equal(state.distribution(v), state.distribution(tiled))


@pytest.mark.parametrize("name", SAMPLERS)
def test_pure_function_of_family_and_seed(name: str) -> None:
    first, again, other = (problem(name, seed=s).conserved() for s in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_families_draw_from_separate_streams() -> None:
    assert draw("mix", 3)[0] != draw("transition", 3)[0]


def test_draws_never_change() -> None:
    """Seeds are recorded in data sets and tables, so what they draw is fixed for good."""
    state = problem("wave", seed=0, cells=4)
    assert state.knudsen[0] == pytest.approx(GOLDEN_KNUDSEN, rel=1e-12)
    np.testing.assert_allclose(state.conserved()[0], GOLDEN_U, rtol=1e-12)


@pytest.mark.parametrize("name", SAMPLERS)
def test_profile_does_not_depend_on_the_cells(name: str) -> None:
    coarse, fine = problem(name, seed=1, cells=10), problem(name, seed=1, cells=30)
    np.testing.assert_allclose(fine.conserved()[1::3], coarse.conserved(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(fine.knudsen[1::3], coarse.knudsen, rtol=1e-12)


def test_wave_parameters_lie_in_their_ranges() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        wave = sample_wave(rng)
        assert all(0.0 <= weight <= 1.0 for weight in wave.weights)
        for rho, u, T in wave.fields:
            assert all(0.2 <= field.amplitude <= 0.3 for field in (rho, T))
            assert all(0.5 <= field.mean <= 0.7 for field in (rho, T))
            assert 0.0 <= u.amplitude <= 0.3
            assert u.mean == 0.0
            assert {field.wavenumber for field in (rho, u, T)} <= {1, 2, 3, 4}


def test_shock_parameters_lie_in_their_ranges() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        shock = sample_shock(rng)
        assert 0.2 <= shock.left <= 0.4
        assert 0.6 <= shock.right <= 0.8
        assert all(1.0 <= value <= 2.0 for value in shock.inside)
        assert all(0.55 <= value <= 0.9 for value in shock.outside)


def test_wave_weights_are_normalised() -> None:
    profile, _ = draw("wave", 11)
    x = cell_centers(16)
    total = sum(rho for rho, _, _ in profile.components(x))
    weights = np.array(profile.weights) / sum(profile.weights)
    expected = sum(w * rho(x) for w, (rho, _, _) in zip(weights, profile.fields, strict=True))
    np.testing.assert_allclose(total, expected, rtol=1e-15)


def test_mix_is_the_weighted_sum_of_its_parts() -> None:
    mix, _ = draw("mix", 4)
    assert 0.2 <= mix.alpha <= 0.4
    x = cell_centers(16)
    rho = sum(component[0] for component in mix.components(x))
    wave = sum(component[0] for component in mix.wave.components(x))
    shock = mix.shock.components(x)[0][0]
    np.testing.assert_allclose(rho, mix.alpha * wave + (1.0 - mix.alpha) * shock, rtol=1e-14)


@pytest.mark.parametrize("name", ["wave", "shock", "mix"])
def test_drawn_knudsen_number_is_log_uniform(name: str) -> None:
    logs = np.log10([problem(name, seed=s, cells=4).knudsen[0] for s in range(400)])
    assert logs.min() > -3.0
    assert logs.max() < 1.0
    # Standard error of the mean of 400 uniform draws on an interval of length 4: 0.058.
    assert abs(logs.mean() + 1.0) < 3 * 0.058


def test_transition_spans_four_decades_periodically() -> None:
    for seed in range(50):
        _, knudsen = draw("transition", seed)
        assert isinstance(knudsen, KnudsenPlateau)
        assert 0.02 <= knudsen.width <= 0.1
        logs = np.log10(knudsen(cell_centers(2000)))
        assert -3.0 - 1e-9 <= logs.min() < -2.99
        assert 0.99 < logs.max() <= 1.0 + 1e-9
        ends = knudsen(np.array([0.0, 1.0]))
        assert ends[0] == pytest.approx(ends[1], rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_given_knudsen_number_replaces_the_drawn_one(name: str) -> None:
    given, drawn = problem(name, seed=3, knudsen=0.25), problem(name, seed=3)
    assert np.all(given.knudsen == 0.25)
    np.testing.assert_array_equal(given.conserved(), drawn.conserved())


def test_sod_states() -> None:
    state = problem("sod", cells=10)
    rho, u, T = primitive(state.conserved())
    assert state.boundary == "outflow"
    np.testing.assert_allclose(rho, [1.0] * 5 + [0.125] * 5, rtol=1e-15)
    np.testing.assert_allclose(T, [1.0] * 5 + [0.8] * 5, rtol=1e-15)
    assert np.all(u == 0.0)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"name": "wav"}, "problem.name"),
        ({"name": "file"}, "problem.name"),
        ({"name": "wave", "seed": -3}, "problem.seed"),
        ({"name": "wave", "knudsen": 0.0}, "knudsen"),
        ({"name": "wave", "cells": 0}, "cells"),
    ],
)
def test_refusals(arguments: dict, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        problem(**arguments)
    assert caught.value.key == key
