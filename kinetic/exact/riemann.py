"""Exact solution of the Riemann problem of the Euler equations of an ideal gas.

    d_t U + d_x (rho u, rho u^2 + p, (E + p) u) = 0,   p = rho T,   E = 1/2 rho u^2 + p/(gamma-1)

with two constant states apart at x = 0 when t = 0. The solution depends on xi = x/t alone: a shock
or a rarefaction on either side of a contact. A monatomic gas of D velocity dimensions has
gamma = (D+2)/D.

Source: E. F. Toro, Riemann Solvers and Numerical Methods for Fluid Dynamics (3rd ed., 2009), ch. 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from kinetic.errors import InvalidInput

Array = NDArray[np.float64]


class Gas(NamedTuple):
    """A constant state of the gas."""

    rho: float
    u: float
    T: float

    @property
    def p(self) -> float:
        """Pressure p = rho T."""
        return self.rho * self.T

    def sound_speed(self, gamma: float) -> float:
        """Return a = sqrt(gamma T)."""
        return sqrt(gamma * self.T)

    def mirrored(self) -> Gas:
        """Return the state seen in a mirror, u -> -u."""
        return Gas(self.rho, -self.u, self.T)


@dataclass(frozen=True)
class RiemannSolution:
    """The self-similar solution: its data and the state (`p_star`, `u_star`) at the contact."""

    left: Gas
    right: Gas
    gamma: float
    p_star: float
    u_star: float

    def __call__(self, xi: Array) -> tuple[Array, Array, Array]:
        """Return (rho, u, T) at xi = x/t, each of the shape of `xi`."""
        xi = np.asarray(xi, dtype=np.float64)
        rho_l, u_l, p_l = _left_wave(self.left, self.p_star, self.u_star, xi, self.gamma)
        rho_r, u_r, p_r = _left_wave(
            self.right.mirrored(), self.p_star, -self.u_star, -xi, self.gamma
        )
        on_left = xi <= self.u_star
        rho, p = np.where(on_left, rho_l, rho_r), np.where(on_left, p_l, p_r)
        return rho, np.where(on_left, u_l, -u_r), p / rho


def solve_riemann(left: Gas, right: Gas, gamma: float = 3.0) -> RiemannSolution:
    """Solve the Riemann problem; gamma = 3 is the gas of one velocity dimension.

    The pressure between the waves is the root of phi(p, left) + phi(p, right) + u_r - u_l = 0.

    Raises:
        InvalidInput: rho or T is not positive, gamma <= 1, or the data open a vacuum.
    """
    if not gamma > 1.0:
        raise InvalidInput("gamma", gamma, "must exceed 1")
    for side, gas in (("left", left), ("right", right)):
        if not (gas.rho > 0.0 and gas.T > 0.0):
            raise InvalidInput(side, gas, "must have positive density and temperature")
    jump = right.u - left.u

    def mismatch(p: float) -> float:
        return _velocity_change(p, left, gamma) + _velocity_change(p, right, gamma) + jump

    if mismatch(0.0) >= 0.0:
        raise InvalidInput("u", (left.u, right.u), "the gases part so fast that a vacuum opens")
    upper = left.p + right.p
    while mismatch(upper) < 0.0:
        upper *= 2.0
    p_star = brentq(mismatch, 0.0, upper, xtol=1e-300, rtol=1e-15)
    change = _velocity_change(p_star, right, gamma) - _velocity_change(p_star, left, gamma)
    return RiemannSolution(left, right, gamma, p_star, 0.5 * (left.u + right.u + change))


def _velocity_change(p: float, gas: Gas, gamma: float) -> float:
    """Return phi(p): u_star = u_l - phi(p, left) across a left wave (Toro, eqs 4.6 and 4.7)."""
    if p > gas.p:
        a = 2.0 / ((gamma + 1.0) * gas.rho)
        b = (gamma - 1.0) / (gamma + 1.0) * gas.p
        return (p - gas.p) * sqrt(a / (p + b))
    power = (p / gas.p) ** ((gamma - 1.0) / (2.0 * gamma))
    return 2.0 * gas.sound_speed(gamma) / (gamma - 1.0) * (power - 1.0)


def _left_wave(
    gas: Gas, p_star: float, u_star: float, xi: Array, gamma: float
) -> tuple[Array, Array, Array]:
    """Return (rho, u, p) left of the contact, where the wave runs into `gas`."""
    wave = _shock if p_star > gas.p else _rarefaction
    return wave(gas, p_star, u_star, xi, gamma)


def _shock(
    gas: Gas, p_star: float, u_star: float, xi: Array, gamma: float
) -> tuple[Array, Array, Array]:
    """Return (rho, u, p) across a left shock (Rankine-Hugoniot; Toro, section 4.5)."""
    ratio, g = p_star / gas.p, (gamma - 1.0) / (gamma + 1.0)
    strength = sqrt(((gamma + 1.0) * ratio + gamma - 1.0) / (2.0 * gamma))
    ahead = xi < gas.u - gas.sound_speed(gamma) * strength
    rho_star = gas.rho * (ratio + g) / (g * ratio + 1.0)
    return (
        np.where(ahead, gas.rho, rho_star),
        np.where(ahead, gas.u, u_star),
        np.where(ahead, gas.p, p_star),
    )


def _rarefaction(
    gas: Gas, p_star: float, u_star: float, xi: Array, gamma: float
) -> tuple[Array, Array, Array]:
    """Return (rho, u, p) across a left rarefaction, where u + 2a/(gamma-1) is constant.

    Inside the fan u - a = xi (Toro, eq. 4.56); head and tail follow from clipping xi to the fan.
    """
    a = gas.sound_speed(gamma)
    a_star = a * (p_star / gas.p) ** ((gamma - 1.0) / (2.0 * gamma))
    fan = np.clip(xi, gas.u - a, u_star - a_star)
    u = (2.0 * a + (gamma - 1.0) * gas.u + 2.0 * fan) / (gamma + 1.0)
    ratio = (u - fan) / a
    return (
        gas.rho * ratio ** (2.0 / (gamma - 1.0)),
        u,
        gas.p * ratio ** (2.0 * gamma / (gamma - 1.0)),
    )
