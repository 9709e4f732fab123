"""Initial data: what a solver starts from, the seeded families of the design, and Sod's problem.

Sampling and construction are separate: ``sample_*`` draws a frozen set of parameters, and these
evaluate to fields at any cell centres. A problem is therefore a pure function of (name, seed,
cells). All quantities are dimensionless, in the scaling stated in `kinetic`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kinetic.config import ProblemConfig, SolveConfig
from kinetic.errors import check_choice
from kinetic.maxwellian import maxwellian, reduced_maxwellian
from kinetic.moments import conserved
from kinetic.velocity import VelocityGrid

Array = NDArray[np.float64]
#: Fields (rho, u, T), each of shape (cells,), of one Maxwellian in every cell.
Component = tuple[Array, Array, Array]

#: Knudsen number of problems that neither draw one nor are given one.
DEFAULT_KNUDSEN = 1e-2


class State(Protocol):
    """What a solver starts from: a distribution in every cell, known at any velocity.

    Attributes:
        x: cell centres, shape (cells,).
        knudsen: Knudsen number eps(x), shape (cells,).
        boundary: the boundary condition that goes with the data.
        time: time at which the data hold.
        components: Maxwellians (rho, u, T), each field of shape (cells,), that a velocity grid must
            be able to hold.
    """

    @property
    def x(self) -> Array: ...
    @property
    def knudsen(self) -> Array: ...
    @property
    def boundary(self) -> str: ...
    @property
    def time(self) -> float: ...
    @property
    def components(self) -> tuple[Component, ...]: ...

    def distribution(self, v: Array, *across: Array) -> Array:
        """Return f of shape (cells, n) at velocities of shape (n,) or (cells, n).

        `v` is the velocity along x; in D = 2 there is another argument, the velocity across it.
        """
        ...

    def on_grid(self, grid: VelocityGrid) -> Array:
        """Return f of shape (cells, columns) on a velocity grid."""
        ...

    def conserved(self, dim: int = 1) -> Array:
        """Return U = (rho, rho u, E) of the gas in `dim` velocity dimensions, shape (cells, 3)."""
        ...


@dataclass(frozen=True)
class InitialState:
    """A sum of Maxwellians in every cell, f0(x_j, v) = sum_i M[rho_i, u_i, T_i](v).

    See `State` for the attributes; `components` holds (rho_i, u_i, T_i), each of shape (cells,).
    """

    x: Array
    knudsen: Array
    components: tuple[Component, ...]
    boundary: str = "periodic"
    time: float = 0.0

    def distribution(self, v: Array, *across: Array) -> Array:
        """Return f0 of shape (cells, n) at velocities of shape (n,) or (cells, n); see `State`."""
        parts = (
            maxwellian(rho[:, None], u[:, None], T[:, None], v, *across)
            for rho, u, T in self.components
        )
        return np.sum(list(parts), axis=0)

    def reduced(self, v: Array, dim: int = 3) -> Array:
        """Return (g, h) of f0 in D = 2 or 3 (see `kinetic.velocity`), shape (cells, n, 2)."""
        parts = (
            reduced_maxwellian(rho[:, None], u[:, None], T[:, None], v)
            for rho, u, T in self.components
        )
        return np.sum(list(parts), axis=0) * (1.0, 0.5 * (dim - 1))

    def on_grid(self, grid: VelocityGrid) -> Array:
        """Return f0 of shape (cells, columns) on a velocity grid."""
        if grid.dim == 1:
            return self.distribution(grid.nodes)
        if grid.dim == 2:
            return self.distribution(grid.along, np.tile(grid.nodes, grid.points))
        return self.reduced(grid.nodes).reshape(len(self.x), grid.columns)

    def conserved(self, dim: int = 1) -> Array:
        """Return the exact moments U = (rho, rho u, E) of the mixture, shape (cells, 3)."""
        return np.sum([conserved(rho, u, T, dim) for rho, u, T in self.components], axis=0)


class Profile(Protocol):
    """Parameters of initial data that evaluate to their components at cell centres."""

    def components(self, x: Array) -> tuple[Component, ...]:
        """Return the Maxwellian components at `x`."""
        ...


@dataclass(frozen=True)
class Harmonic:
    """The field A sin(2 pi k x + psi) + B."""

    amplitude: float
    mean: float
    wavenumber: int
    phase: float

    def __call__(self, x: Array) -> Array:
        angle = 2.0 * np.pi * self.wavenumber * x + self.phase
        return self.amplitude * np.sin(angle) + self.mean


@dataclass(frozen=True)
class Wave:
    """f0 = sum_i a_i M[rho_i, u_i, T_i] / sum_i a_i with harmonic rho_i, u_i and T_i."""

    weights: tuple[float, ...]
    fields: tuple[tuple[Harmonic, Harmonic, Harmonic], ...]

    def components(self, x: Array) -> tuple[Component, ...]:
        """Return one component for each term, its density scaled by a_i / sum_i a_i."""
        total = sum(self.weights)
        return tuple(
            (weight / total * rho(x), u(x), T(x))
            for weight, (rho, u, T) in zip(self.weights, self.fields, strict=True)
        )


@dataclass(frozen=True)
class Shock:
    """Gas at rest with one plateau of (rho, T) between two jumps."""

    left: float
    right: float
    inside: tuple[float, float]
    outside: tuple[float, float]

    def components(self, x: Array) -> tuple[Component, ...]:
        """Return the one component."""
        within = (self.left < x) & (x < self.right)
        rho, T = (np.where(within, a, b) for a, b in zip(self.inside, self.outside, strict=True))
        return ((rho, np.zeros_like(x), T),)


@dataclass(frozen=True)
class Mix:
    """f0 = alpha f_wave + (1 - alpha) f_shock."""

    alpha: float
    wave: Wave
    shock: Shock

    def components(self, x: Array) -> tuple[Component, ...]:
        """Return the components of the wave and of the shock with their densities weighted."""
        waves = ((self.alpha * rho, u, T) for rho, u, T in self.wave.components(x))
        shocks = (((1.0 - self.alpha) * rho, u, T) for rho, u, T in self.shock.components(x))
        return (*waves, *shocks)


@dataclass(frozen=True)
class ConstantKnudsen:
    """eps(x) = value."""

    value: float

    def __call__(self, x: Array) -> Array:
        return np.full_like(x, self.value)


@dataclass(frozen=True)
class KnudsenPlateau:
    """log10 eps = -3 + 4 s(x), s a periodic plateau from 0 to 1 with tanh edges.

    With the periodic sum of one plateau,
    p(x) = 1/2 sum_m tanh((x - left + m) / width) - tanh((x - left - length + m) / width),
    which lies in (0, 1) and has its extrema at the middle of the plateau and half a period away,
    s = (p - min p) / (max p - min p).
    """

    left: float
    length: float
    width: float

    def _plateau(self, x: Array) -> Array:
        shifted = x[..., None] - self.left + np.arange(-3, 4)
        rise, fall = np.tanh(shifted / self.width), np.tanh((shifted - self.length) / self.width)
        return 0.5 * np.sum(rise - fall, axis=-1)

    def __call__(self, x: Array) -> Array:
        middle = self.left + 0.5 * self.length
        high, low = self._plateau(np.array([middle % 1.0, (middle + 0.5) % 1.0]))
        return 10.0 ** (-3.0 + 4.0 * (self._plateau(x) - low) / (high - low))


def _sample_harmonic(rng: np.random.Generator, amplitude: float, mean: float) -> Harmonic:
    return Harmonic(amplitude, mean, int(rng.integers(1, 5)), rng.uniform(0.0, 2.0 * np.pi))


def _sample_positive(rng: np.random.Generator) -> Harmonic:
    return _sample_harmonic(rng, rng.uniform(0.2, 0.3), rng.uniform(0.5, 0.7))


def sample_wave(rng: np.random.Generator) -> Wave:
    """Draw two terms.

    A ~ U(0.2, 0.3), B ~ U(0.5, 0.7) for rho and T; A ~ U(0, 0.3), B = 0 for u; k in {1, ..., 4}.
    """
    weights = (rng.uniform(), rng.uniform())
    fields = tuple(
        (
            _sample_positive(rng),
            _sample_harmonic(rng, rng.uniform(0.0, 0.3), 0.0),
            _sample_positive(rng),
        )
        for _ in weights
    )
    return Wave(weights, fields)


def sample_shock(rng: np.random.Generator) -> Shock:
    """Draw rho, T ~ U(1, 2) inside, U(0.55, 0.9) outside, jumps at U(0.2, 0.4), U(0.6, 0.8)."""
    return Shock(
        left=rng.uniform(0.2, 0.4),
        right=rng.uniform(0.6, 0.8),
        inside=(rng.uniform(1.0, 2.0), rng.uniform(1.0, 2.0)),
        outside=(rng.uniform(0.55, 0.9), rng.uniform(0.55, 0.9)),
    )


def sample_mix(rng: np.random.Generator) -> Mix:
    """Draw alpha ~ U(0.2, 0.4), a wave and a shock."""
    return Mix(rng.uniform(0.2, 0.4), sample_wave(rng), sample_shock(rng))


def sample_knudsen(rng: np.random.Generator) -> ConstantKnudsen:
    """Draw eps ~ log10-uniform(-3, 1)."""
    return ConstantKnudsen(float(10.0 ** rng.uniform(-3.0, 1.0)))


def sample_plateau(rng: np.random.Generator) -> KnudsenPlateau:
    """Draw a plateau of eps: left edge ~ U(0, 1), length ~ U(0.2, 0.6), width ~ U(0.02, 0.1)."""
    return KnudsenPlateau(rng.uniform(), rng.uniform(0.2, 0.6), rng.uniform(0.02, 0.1))


Sampler = Callable[[np.random.Generator], Profile]
KnudsenSampler = Callable[[np.random.Generator], ConstantKnudsen | KnudsenPlateau]

SAMPLERS: dict[str, tuple[Sampler, KnudsenSampler]] = {
    "wave": (sample_wave, sample_knudsen),
    "shock": (sample_shock, sample_knudsen),
    "mix": (sample_mix, sample_knudsen),
    "transition": (sample_mix, sample_plateau),
}


def draw(family: str, seed: int) -> tuple[Profile, ConstantKnudsen | KnudsenPlateau]:
    """Return the parameters of draw number `seed` of a seeded family, and its Knudsen number."""
    sample, sample_eps = SAMPLERS[family]
    # crc32 rather than hash(), which differs from one process to the next.
    rng = np.random.default_rng([zlib.crc32(family.encode()), seed])
    return sample(rng), sample_eps(rng)


def cell_centers(cells: int) -> Array:
    """Return the centres x_j = (j + 1/2) / cells of uniform cells on [0, 1]."""
    return (np.arange(cells) + 0.5) / cells


def sod(x: Array, knudsen: float = DEFAULT_KNUDSEN) -> InitialState:
    """Return Sod's Riemann problem, (rho, u, T) = (1, 0, 1) and (0.125, 0, 0.8), jump at x = 1/2.

    Source: G. A. Sod, J. Comput. Phys. 27 (1978) 1-31.
    """
    rho, T = np.where(x < 0.5, 1.0, 0.125), np.where(x < 0.5, 1.0, 0.8)
    eps = np.full_like(x, knudsen)
    return InitialState(x, eps, ((rho, np.zeros_like(x), T),), boundary="outflow")


def problem(
    name: str, *, seed: int = 0, knudsen: float | None = None, cells: int = 100
) -> InitialState:
    """Return the initial data of a seeded family or of Sod's problem.

    Args:
        name: ``wave``, ``shock``, ``mix``, ``transition`` or ``sod``.
        seed: number of the draw; each family has its own stream of random numbers.
        knudsen: constant Knudsen number in place of the one the family draws.
        cells: number of uniform cells on [0, 1].

    Raises:
        InvalidInput: `name` is unknown or a value is not allowed.
    """
    check_choice("problem.name", name, (*SAMPLERS, "sod"))
    SolveConfig(problem=ProblemConfig(name, seed), knudsen=knudsen, cells=cells)
    x = cell_centers(cells)
    if name == "sod":
        return sod(x, DEFAULT_KNUDSEN if knudsen is None else knudsen)
    profile, family_knudsen = draw(name, seed)
    eps = family_knudsen if knudsen is None else ConstantKnudsen(knudsen)
    return InitialState(x, eps(x), profile.components(x), boundary="periodic")
