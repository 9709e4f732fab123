"""The space of initial data and Knudsen numbers that is explored: points of a unit cube.

A point z in [0, 1)^n stands for the gas

    f0 = alpha (a M[rho_1, u_1, T_1] + (1 - a) M[rho_2, u_2, T_2]) + (1 - alpha) M[rho_p, u_p, T_p],

with harmonic rho_i, u_i, T_i and a plateau of rho_p, u_p, T_p between two jumps, as in the seeded
families of `kinetic.problems` but with wider ranges, and for a Knudsen number, either constant or a
plateau between two values. Its first coordinate is the strength s, to which amplitudes, speeds and
the logarithms of jumps are proportional. Neighbouring points are similar gases (but for wave
numbers), so a search can climb in z. Everything is dimensionless.

What is drawn at random need not fill the cube evenly: with the rarity r the strength and the
exponents of the Knudsen number are those of z^r, so that strong and rarefied gases are seldom met.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kinetic.problems import Component, Harmonic, InitialState, KnudsenPlateau, Wave, cell_centers

Array = NDArray[np.float64]

EXPONENTS = (-3.0, 1.0)
"""Range of log10 eps."""

DECADES = tuple(range(int(EXPONENTS[0]), int(EXPONENTS[1])))
"""Exponents that the decades of the Knudsen number begin with."""

MEAN, SWING = (0.5, 1.0), 0.8
"""Of a positive harmonic: range of its mean, and its largest amplitude relative to that."""

WAVE_SPEED, STREAM_SPEED = 1.5, 2.0
"""Largest amplitude of a harmonic velocity, and largest speed of a plateau."""

DENSITY, TEMPERATURE = (1 / 6, 6.0), (1 / 4, 2.0)
"""Ranges of the two sides of a plateau at full strength, with uniform logarithms."""

RARE = (0, 1, 2)
"""Coordinates that are raised to the rarity: the strength and the two exponents of eps."""

SHARE = (0.05, 0.95)
"""Range of alpha and a: no part vanishes."""

DIMENSION = 38
"""Coordinates of a point."""

KEPT, CHANGED = 0.6, 0.25
"""Shares of the coordinates that come from the first parent, and that a mutation changes."""


class _Reader:
    """Takes the coordinates of a point in their order, each scaled to its range.

    strength: the first of them.
    """

    def __init__(self, point: Array) -> None:
        self._values: Iterator[float] = iter(point.tolist())
        self.strength = next(self._values)

    def uniform(self, low: float, high: float) -> float:
        """A number of [low, high)."""
        return low + (high - low) * next(self._values)

    def strong(self, low: float, high: float) -> float:
        """A number of [low, high) times the strength."""
        return self.strength * self.uniform(low, high)

    def side(self, low: float, high: float) -> float:
        """A positive number around one, whose logarithm is proportional to the strength."""
        return math.exp(self.strong(math.log(low), math.log(high)))

    def harmonic(self, amplitude: float, mean: float) -> Harmonic:
        """A harmonic of wave number 1 to 4."""
        return Harmonic(amplitude, mean, int(self.uniform(1, 5)), self.uniform(0, 2 * math.pi))

    def positive(self) -> Harmonic:
        """A harmonic density or temperature."""
        mean = self.uniform(*MEAN)
        return self.harmonic(self.strong(0.0, SWING) * mean, mean)

    def velocity(self) -> Harmonic:
        """A harmonic velocity."""
        return self.harmonic(self.strong(0.0, WAVE_SPEED), 0.0)


def initial_state(point: Array, cells: int) -> InitialState:
    """The initial data and Knudsen number of a point, periodic, on so many cells.

    Args:
        point: z, (DIMENSION,), in [0, 1).
        cells: of [0, 1].
    """
    x, reader = cell_centers(cells), _Reader(point)
    eps = _knudsen(reader, x)
    share, weight = reader.uniform(*SHARE), reader.uniform(*SHARE)
    weights = weight, 1.0 - weight
    fields = tuple((reader.positive(), reader.velocity(), reader.positive()) for _ in weights)
    waves = ((share * rho, u, T) for rho, u, T in Wave(weights, fields).components(x))
    rho, u, T = _plateau(reader, x)
    return InitialState(x, eps, (*waves, ((1.0 - share) * rho, u, T)))


def _knudsen(reader: _Reader, x: Array) -> Array:
    """eps(x): constant for one half of the points, a plateau for the other."""
    outside, inside = reader.uniform(*EXPONENTS), reader.uniform(*EXPONENTS)
    varies = reader.uniform(0.0, 1.0) >= 0.5
    left, length = reader.uniform(0.0, 1.0), reader.uniform(0.2, 0.6)
    edge = KnudsenPlateau(left, length, reader.uniform(0.02, 0.1))
    s = (np.log10(edge(x)) + 3.0) / 4.0 if varies else np.zeros_like(x)
    return 10.0 ** (outside + (inside - outside) * s)


def _plateau(reader: _Reader, x: Array) -> Component:
    """rho, u, T with two jumps; outside the gas is at rest."""
    left, right = reader.uniform(0.1, 0.4), reader.uniform(0.6, 0.9)
    within = (left < x) & (x < right)
    u = reader.strong(-STREAM_SPEED, STREAM_SPEED)
    rho, T = (
        np.where(within, reader.side(*span), reader.side(*span)) for span in (DENSITY, TEMPERATURE)
    )
    return rho, np.where(within, u, 0.0), T


def decade(knudsen: Array) -> int:
    """The exponent that the decade of a Knudsen number begins with, by the mean of log10 eps.

    Args:
        knudsen: eps at the cell centres.
    """
    exponent = math.floor(float(np.log10(knudsen).mean()) + 1e-12)
    return min(max(exponent, DECADES[0]), DECADES[-1])


def random_points(rng: np.random.Generator, count: int, rarity: float = 1.0) -> Array:
    """Points drawn at random, (count, DIMENSION); see the head of this page for the rarity."""
    points = rng.random((count, DIMENSION))
    points[:, RARE] **= rarity
    return points


def offspring(rng: np.random.Generator, parents: Array, count: int, width: float) -> Array:
    """Points between and near the given ones, (count, DIMENSION).

    Each has every coordinate from one of two parents, so that what is rare in one and in the other
    is found together; some coordinates then take Gaussian steps, reflected into the cube.

    Args:
        rng: random numbers.
        parents: (n, DIMENSION); all are asked in turn, each with a partner drawn at random.
        count: number of points.
        width: standard deviation of a step.
    """
    first = np.resize(np.arange(len(parents)), count)
    partner = rng.integers(len(parents), size=count)
    own = rng.random((count, DIMENSION)) < KEPT
    points = np.where(own, parents[first], parents[partner])
    changed = rng.random(points.shape) < CHANGED
    moved = points + width * rng.standard_normal(points.shape)
    folded = np.abs(np.mod(moved + 1.0, 2.0) - 1.0)
    return np.where(changed, np.minimum(folded, np.nextafter(1.0, 0.0)), points)
