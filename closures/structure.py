"""What structure a closure keeps: properties of the kinetic equation, measured on random gases.

    realizability   every gas has an f_hat; value: the share of random gases without one
    positivity      f_hat > 0; value: the least f_hat T^(1/2)/rho at the quadrature nodes
    equilibrium     a uniform gas at rest in any frame stays; value: its largest relative change
    reflection      a mirrored gas has the mirrored solution; value: largest relative difference
    hyperbolicity   information travels, nothing grows without bound as waves get shorter; value:
                    the largest |Im lambda|/max |lambda - u| of the flux Jacobian in the local frame
    entropy         eta = sum dx int f_hat log f_hat dv does not increase in a step of a periodic
                    gas; value: the largest increase per mass

Gases are mixtures of two or three Maxwellians, drawn from a fixed seed. A property is measured
where the closure has an f_hat; a value is None if that is nowhere, and then it does not pass. A
closure needs only be a `Closure` that `solver_of` can advance. Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from closures.closure import Closure, Frame, spacing
from closures.finite_volume import Failure, Scheme, State, conserved_sums
from closures.metrics import Array
from closures.solution import initial_moments
from closures.solvers import solver_of
from kinetic.collisions import BGK
from kinetic.problems import Component, InitialState, cell_centers

SEED = 20_260_101
GASES = 200
"""Random gases at which a closure is decoded."""

PERIODIC, CELLS = 4, 24
"""Random periodic gases, half of them smooth and half rough, and their cells."""

STEPS = 3
KNUDSEN = (1e-6, 1e-3, 0.1, 10.0)
ROUND_OFF = 1e-12
"""Relative change in a step that arithmetic alone explains."""

REAL = 1e-6
"""Relative imaginary part of what the solution of an eigenvalue problem may take for real."""

DUAL = 1e-9
"""Entropy per mass that the tolerance of the decoders allows."""


@dataclass(frozen=True)
class Finding:
    """What was measured of a property, None if nothing could be, and whether it holds."""

    value: float | None
    passes: bool

    def record(self) -> dict[str, float | bool | None]:
        """Return the entry in metrics.json."""
        return {"value": self.value, "passes": self.passes}


NOTHING = Finding(None, False)

Property = Callable[[Closure], Finding]


def structure(closure: Closure) -> dict[str, Finding]:
    """Measure every property; what a closure breaks down at, it does not have."""
    return {name: _measured(check, closure) for name, check in PROPERTIES.items()}


def _measured(check: Property, closure: Closure) -> Finding:
    try:
        finding = check(closure)
    except (ArithmeticError, RuntimeError):
        return NOTHING
    finite = finding.value is not None and math.isfinite(finding.value)
    return finding if finite else NOTHING


@runtime_checkable
class OwnFluxes(Protocol):
    """A closure whose fluxes are not those of its f_hat."""

    def heat(self, frame: Frame, m: Tensor, knudsen: Tensor) -> Tensor:
        """q (M,)."""
        ...

    def carried(self, frame: Frame, m: Tensor, to: Frame) -> tuple[Tensor, Tensor]:
        """W and its flux as the cells `to` see them, (M, K) each."""
        ...


@runtime_checkable
class OwnStress(Protocol):
    """One that has a viscous stress, too."""

    def stress(self, frame: Frame, m: Tensor, knudsen: Tensor) -> Tensor:
        """sigma (M,), the pressure along x beyond rho T."""
        ...


# Random gases


def _draw(random: np.random.Generator, shape: tuple[int, ...]) -> Component:
    """Fields (rho, u, T) of one Maxwellian: streams up to several thermal speeds apart."""
    rho, u = random.uniform(0.2, 1.0, shape), random.uniform(-1.5, 1.5, shape)
    return rho, u, np.exp(random.uniform(math.log(0.3), math.log(2.0), shape))


@cache
def gases(count: int = GASES) -> InitialState:
    """Return independent gases, one a cell: half of them of two Maxwellians, half of three."""
    random = np.random.default_rng(SEED)
    first, second, (rho, u, T) = (_draw(random, (count,)) for _ in range(3))
    third = np.where(np.arange(count) < count // 2, 0.0, rho), u, T
    eps = 10.0 ** random.uniform(-3, 1, count)
    return InitialState(cell_centers(count), eps, (first, second, third))


@cache
def periodic_gases() -> tuple[InitialState, ...]:
    """Return smooth gases and rough ones, each at every Knudsen number."""
    random = np.random.default_rng(SEED + 1)
    drawn = [_smooth(random) for _ in range(PERIODIC // 2)]
    drawn += [tuple(_draw(random, (CELLS,)) for _ in "ab") for _ in range(PERIODIC // 2)]
    x = cell_centers(CELLS)
    return tuple(InitialState(x, np.full(CELLS, eps), parts) for parts in drawn for eps in KNUDSEN)


def _smooth(random: np.random.Generator) -> tuple[Component, ...]:
    """Return two Maxwellians a cell, whose fields are sine waves."""
    angle = 2.0 * np.pi * cell_centers(CELLS)

    def wave(least: float, most: float) -> Array:
        amplitude = 0.5 * (most - least) * random.uniform()
        phase = random.integers(1, 3) * angle + random.uniform(0.0, 2.0 * np.pi)
        return 0.5 * (least + most) + amplitude * np.sin(phase)

    return tuple((wave(0.2, 1.0), wave(-0.5, 0.5), wave(0.5, 1.5)) for _ in "ab")


# States of a closure


@torch.no_grad()
def _decoded(closure: Closure) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return U, m, eps of the random gases that have an f_hat, and which these are (bool)."""
    gas = gases()
    U, W = initial_moments(closure, gas)
    m, eps = W / U[:, :1], torch.as_tensor(gas.knudsen)
    _, found = closure.decode(m, eps)
    return U[found], m[found], eps[found], found


def _solutions(closure: Closure, given: Sequence[InitialState]) -> list[list[State]]:
    """Return the first state of each gas and those after its steps, as far as the closure can go.

    The gases have one number of cells, and advance together unless one of them cannot.
    """
    states: list[State] = []
    eps = torch.as_tensor(np.stack([gas.knudsen for gas in given]))
    with suppress(Failure):
        solver = solver_of(closure, eps, BGK(), given[0].boundary, Scheme())
        U, W = (
            torch.cat(parts)
            for parts in zip(*(initial_moments(closure, gas) for gas in given), strict=True)
        )
        states.append(solver.decode(U, W / U[:, :1], None))
        for _ in range(STEPS):
            states.append(solver.step(states[-1], solver.largest_step(states[-1])))
    if len(given) > 1 and len(states) <= STEPS:
        return [found for gas in given for found in _solutions(closure, [gas])]
    rows = torch.arange(eps.numel()).view(len(given), -1)
    return [[state.take(own) for state in states] for own in rows]


# Properties


@torch.no_grad()
def realizability(closure: Closure) -> Finding:
    """The share of random gases whose moments no f_hat has."""
    share = 1.0 - float(_decoded(closure)[-1].double().mean())
    return Finding(share, share == 0.0)


@torch.no_grad()
def positivity(closure: Closure) -> Finding:
    """The least f_hat T^(1/2)/rho of random gases at the nodes of the closure's quadrature."""
    U, m, eps, _ = _decoded(closure)
    if not len(U):
        return NOTHING
    frame = Frame.of(U, closure.dimension)
    f = _values(closure, frame, closure.decode(m, eps)[0])
    least = float((f * (frame.T.sqrt() / frame.rho)[:, None]).min())
    return Finding(least, least >= 0.0)


@torch.no_grad()
def equilibrium(closure: Closure) -> Finding:
    """The largest relative change of U of a uniform gas in some steps."""
    one, changes = np.ones(6), []
    for rho, u, T in ((1.0, 0.0, 1.0), (0.8, 0.7, 0.3), (1.3, -2.0, 1.7)):
        parts = ((rho * one, u * one, T * one),)
        gas = InitialState(cell_centers(6), 0.1 * one, parts)
        ((first, *_, last),) = _solutions(closure, [gas])
        changes.append(_difference(last.U, first.U))
    return Finding(max(changes), max(changes) <= ROUND_OFF)


@torch.no_grad()
def reflection(closure: Closure) -> Finding:
    """The largest relative difference of U between a mirrored solution and that of mirrored data.

    Mirrored sums are added in another order, so it is round-off at best, not zero.
    """
    sign = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    given, defects = periodic_gases()[2 :: len(KNUDSEN)], []
    parts = [
        tuple((rho[::-1].copy(), -u[::-1], T[::-1].copy()) for rho, u, T in gas.components)
        for gas in given
    ]
    opposite = [replace(gas, components=own) for gas, own in zip(given, parts, strict=True)]
    solutions = _solutions(closure, [*given, *opposite])
    for states in zip(solutions[: len(given)], solutions[len(given) :], strict=True):
        for now, mirrored in zip(*states, strict=False):
            defects.append(_difference(mirrored.U.flip(0) * sign, now.U))
    return Finding(max(defects), max(defects) <= ROUND_OFF) if defects else NOTHING


def hyperbolicity(closure: Closure) -> Finding:
    """The largest |Im lambda|/max |lambda - u| of the flux Jacobian at random gases.

    In the frame of a cell, which stays while the state varies, Z = (U, W) and its flux F are
    functions of (U, m). Maximum entropy does not make all speeds real, as f_hat moves with the gas:
    see "Speeds" in docs/theory.md.
    """
    U, m, eps, _ = _decoded(closure)
    if not len(U):
        return NOTHING
    frame, U, m = Frame.of(U, closure.dimension), U.requires_grad_(), m.requires_grad_()
    speeds = jacobian(*transported(closure, frame, U, m, eps), (U, m))
    eigenvalues = torch.linalg.eigvals(speeds) - frame.u[:, None]
    defect = float((eigenvalues.imag.abs().amax(1) / eigenvalues.abs().amax(1)).max())
    return Finding(defect, defect <= REAL)


@torch.no_grad()
def entropy(closure: Closure) -> Finding:
    """The largest increase of eta per mass in a step of random periodic gases."""
    increases = []
    for states in _solutions(closure, periodic_gases()):
        increases += np.diff([_entropy(closure, state) for state in states]).tolist()
    if not increases or not np.isfinite(increases).all():
        return NOTHING
    return Finding(max(increases), max(increases) <= DUAL)


PROPERTIES: dict[str, Property] = {
    "realizability": realizability,
    "positivity": positivity,
    "equilibrium": equilibrium,
    "reflection": reflection,
    "hyperbolicity": hyperbolicity,
    "entropy": entropy,
}


def transported(
    closure: Closure, to: Frame, U: Tensor, m: Tensor, eps: Tensor
) -> tuple[Tensor, Tensor]:
    """Return Z = (U, W) (M, 3+K) and its flux in the frame `to`, of cells U, m.

    The fluxes are those of f_hat, unless the closure has its own.
    """
    frame = Frame.of(U, closure.dimension)
    if isinstance(closure, OwnFluxes):
        q, pressure = closure.heat(frame, m, eps), frame.rho * frame.T
        if isinstance(closure, OwnStress):
            pressure = pressure + closure.stress(frame, m, eps)
        F = frame.u[:, None] * U
        F = F + torch.stack((0.0 * q, pressure, pressure * frame.u + q), dim=1)
        W, G = closure.carried(frame, m, to)
        return torch.cat((U, W), dim=1), torch.cat((F, G), dim=1)
    theta, _ = closure.decode(m, eps)
    v, g = closure.particles(frame, theta)
    return sums(closure, to, v, g), sums(closure, to, v, v * g)


def sums(closure: Closure, to: Frame, v: Tensor, g: Tensor) -> Tensor:
    """sum_n g_n (1, v, |v|^2/2, w(c)) in the frame `to`, (M, 3+K)."""
    return torch.cat((conserved_sums(v, g), to.rho[:, None] * closure.encode(to, v, g)), dim=1)


def jacobian(Z: Tensor, F: Tensor, variables: Sequence[Tensor]) -> Tensor:
    """dF/dZ = dF/dx (dZ/dx)^-1 of rows that are functions of `variables` x, (M, P, P)."""
    Z_x, F_x = (_derivative(field, variables) for field in (Z, F))
    return torch.linalg.solve(Z_x, F_x, left=False)


def _derivative(field: Tensor, variables: Sequence[Tensor]) -> Tensor:
    """d field_i/d variables_j of rows that depend on their own row alone, (M, P, P)."""
    rows = []
    for column in field.unbind(1):
        slopes = torch.autograd.grad(
            column.sum(), variables, retain_graph=True, materialize_grads=True
        )
        rows.append(torch.cat(slopes, dim=1))
    return torch.stack(rows, dim=1)


def _values(closure: Closure, frame: Frame, theta: Tensor) -> Tensor:
    """f_hat at the nodes of the closure's quadrature, (M, n)."""
    # The outermost nodes lie on the edge of the support: round-off must not take them outside.
    v = frame.u[:, None] + frame.T.sqrt()[:, None] * ((1.0 - ROUND_OFF) * closure.c)
    return closure.distribution(frame, theta)(v)


def _entropy(closure: Closure, state: State) -> float:
    """sum dx int f_hat log f_hat dv per mass; not a number where f_hat is negative."""
    frame = state.frame
    f = _values(closure, frame, state.theta)
    dv = frame.T.sqrt()[:, None] * spacing(closure)
    if closure.dimension == 1:
        eta = (torch.where(f == 0.0, 0.0, f * torch.log(f)) * dv).sum(1)
    else:
        # Gaussian across the flow, of temperature h/(d g).
        (g, h), d = f, closure.dimension - 1
        across = 0.5 * d * (torch.log(2.0 * math.pi * h / (d * g)) + 1.0)
        eta = (torch.where(g == 0.0, 0.0, g * (torch.log(g) - across)) * dv).sum(1)
    return float(eta.sum() / frame.rho.sum())


def _difference(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the largest value."""
    return float((a - b).abs().max() / b.abs().max())
