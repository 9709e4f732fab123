"""Which gases are explored and selected: the space, the indicator, its levels, and stopping."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from closures.fast import FastClosure
from closures.learn.explore import Explored, deviation, explore, flux_and_units
from closures.learn.options import LearnConfig, LearnOptions
from closures.learn.rounds import Selection
from closures.learn.selection import choose, classify, levels, parents, worst
from closures.learn.space import (
    DECADES,
    DIMENSION,
    decade,
    initial_state,
    offspring,
    random_points,
)
from closures.learn.status import by_decade
from closures.learn.stopping import reason_to_stop
from closures.library import load
from kinetic.velocity import VelocityGrid

RNG = np.random.default_rng(1)


# Space


def test_every_gas_fits_the_velocity_grid_of_labels() -> None:
    velocity = LearnConfig().velocity
    grid = VelocityGrid(velocity.points, velocity.extent)
    extremes = RNG.choice([0.0, 0.999999], size=(300, DIMENSION))
    extremes[:, 0] = 0.999999
    for point in np.concatenate((random_points(RNG, 300), extremes)):
        for component in initial_state(point, 16).components:
            grid.check_resolution(*component)


def test_a_gas_without_strength_is_at_rest_and_nearly_uniform() -> None:
    point = random_points(RNG, 1)[0]
    point[0] = 0.0
    state = initial_state(point, 16)
    for rho, u, T in state.components:
        assert np.ptp(rho) == np.ptp(T) == 0.0
        assert (u == 0.0).all()


def test_decades_are_reached_evenly_without_rarity_and_seldom_with_it() -> None:
    for rarity, least, most in ((1.0, 0.15, 0.35), (8.0, 0.0, 0.1)):
        points = random_points(np.random.default_rng(0), 2000, rarity)
        points[:, 3] = 0.0  # constant Knudsen numbers
        found = [decade(initial_state(point, 4).knudsen) for point in points]
        share = np.mean([one == DECADES[-1] for one in found])
        assert least < share < most
        assert set(found) == set(DECADES)


def test_offspring_are_between_their_parents_or_near_and_stay_in_the_cube() -> None:
    parents = random_points(RNG, 2)
    children = offspring(np.random.default_rng(0), parents, 400, 0.1)
    assert (children >= 0.0).all()
    assert (children < 1.0).all()
    inherited = (children == parents[0]) | (children == parents[1])
    assert 0.7 < inherited.mean() < 0.8
    distance = np.abs(children[:, None] - parents).min(axis=1)
    assert distance[~inherited].mean() < 0.12
    both = (children == parents[0]).any(axis=1) & (children == parents[1]).any(axis=1)
    assert 0.4 < both.mean() < 0.6  # a parent may be its own partner


# Indicator


def test_the_deviation_is_that_of_its_definition() -> None:
    fluxes = RNG.random((3, 4, 5, 6, 3))
    scale = 1.0 + RNG.random((4, 5, 6, 3))
    found, peak = deviation(fluxes, scale)
    for n in range(4):
        G = fluxes[:, n] / scale[n].mean(axis=1, keepdims=True)
        square = ((G - G.mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0)
        assert found[n] == pytest.approx(np.sqrt(square.max()), rel=1e-12)
        assert peak[n] == square.max(axis=1).argmax()


def test_a_member_without_a_solution_is_infinite_and_says_when() -> None:
    fluxes, scale = RNG.random((2, 3, 4, 5, 3)), np.ones((3, 4, 5, 3))
    fluxes[1, 1, 2:] = np.nan
    found, peak = deviation(fluxes, scale)
    assert np.isinf(found).tolist() == [False, True, False]
    assert peak[1] == 1


def test_the_flux_of_energy_has_the_heat_flux() -> None:
    U = np.array([[2.0, 1.0, 3.0]])
    flux = flux_and_units(U, np.array([0.7]), 1)[0]
    rho, u, T = 2.0, 0.5, 3.0 - 0.25
    c = np.sqrt(u * u + T)
    expected = [1.0, rho * (u * u + T), u * (3.0 + rho * T) + 0.7, rho * c, rho * c**2, rho * c**3]
    assert flux == pytest.approx(expected, rel=1e-14)


def test_closures_that_agree_have_no_indicator_and_others_have_one() -> None:
    config = LearnConfig()
    six, nine = (FastClosure.of(load("entropy", K)) for K in (6, 9))  # type: ignore[arg-type]
    points = random_points(np.random.default_rng(3), 6)
    same, different = (explore([six, one], points, config) for one in (six, nine))
    assert (same.indicator == 0.0).all()
    assert (different.indicator > 1e-6).all()
    alone = explore([six, nine], points[2:3], config)
    assert alone.indicator[0] == pytest.approx(different.indicator[2], rel=1e-9)


# Selection


def explored(indicator: Any, decades: Any) -> Explored:
    """Return gases with these indicators, far from each other."""
    count = len(indicator)
    points = np.eye(count, DIMENSION)
    arrays = np.asarray(indicator, float), np.zeros(count, int), np.asarray(decades, int)
    return Explored(points, *arrays)


def test_levels_are_quantiles_of_each_decade() -> None:
    found = levels(explored([1, 2, 3, 4, 5, 10, 20, np.inf], [-3] * 5 + [0] * 3), 0.5)
    assert found == {-3: 3.0, -2: 0.0, -1: 0.0, 0: 15.0}


def test_gases_are_accurate_candidates_or_failed() -> None:
    gases = explored([1, 3, 4, np.inf], [-3, -3, 0, 0])
    classes = classify(gases, {-3: 2.0, -2: 0.0, -1: 0.0, 0: 4.0})
    assert classes.counts() == {"accurate": 2, "candidate": 1, "failed": 1}
    assert classes.candidate.tolist() == [False, True, False, False]
    assert worst(gases) == {-3: 3.0, -2: None, -1: None, 0: 4.0}


def test_failed_gases_are_chosen_first_and_accurate_ones_never() -> None:
    gases = explored([1.0, 5.0, np.inf, 6.0], [0] * 4)
    none = dict.fromkeys(DECADES, 2.0)
    assert choose(gases, none, 1).tolist() == [2]
    assert choose(gases, none, 10).tolist() == [1, 2, 3]


def test_decades_take_turns() -> None:
    gases = explored(np.arange(1.0, 13.0), [-3] * 10 + [0] * 2)
    chosen = choose(gases, dict.fromkeys(DECADES, 0.0), 6)
    assert np.bincount(gases.decade[chosen] + 3).tolist() == [4, 0, 0, 2]
    assert {10, 11} <= set(chosen.tolist())


def test_gases_that_are_alike_are_not_all_chosen() -> None:
    gases = explored([10.0, 9.9, 9.8, 5.0], [0] * 4)
    gases.points[1:3] = gases.points[0] + 1e-6 * RNG.random((2, DIMENSION))
    chosen = choose(gases, dict.fromkeys(DECADES, 0.0), 2)
    assert chosen.tolist() == [0, 3]


def test_the_worst_is_chosen_and_then_what_is_farthest_from_it() -> None:
    gases = explored([9.0, 10.0, 1.0], [0] * 3)
    gases.points[0] = (gases.points[1] + gases.points[2]) / 2
    chosen = choose(gases, dict.fromkeys(DECADES, 0.0), 2)
    assert chosen.tolist() == [1, 2]


def test_parents_are_the_worst_of_each_decade() -> None:
    gases = explored([1, 2, 3, 4, 5, 6], [-3, -3, -3, 0, 0, 0])
    assert parents(gases, 8).tolist() == [2, 1, 5, 4]


# Stopping


def found(share: float, highest: float, requests: Any = (None,)) -> Selection:
    """Return what an exploration said."""
    level, most = by_decade(dict.fromkeys(DECADES, 1.0)), by_decade({0: highest})
    return Selection(requests, 100, 90, 10, 0, share, level, most)


def test_a_run_stops_for_its_reasons() -> None:
    options = LearnOptions(share=0.05, worst=2.0, rounds=3)
    assert reason_to_stop(options, 1, found(0.2, 1.0)) is None
    assert reason_to_stop(options, 1, found(0.01, 2.5)) is None
    assert "candidates" in str(reason_to_stop(options, 1, found(0.01, 1.9)))
    assert "unsure" in str(reason_to_stop(options, 1, found(0.2, 9.0, ())))
    assert "budget" in str(reason_to_stop(options, 4, None))
    blind = replace(found(0.0, 0.0), candidate_share=None)
    assert reason_to_stop(options, 1, blind) is None
