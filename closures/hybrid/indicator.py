"""Where the closure is not trusted.

Two distances from the distributions f_hat that a closure can hold, in int |.| dv / rho, are known
while a solution advances. In a kinetic cell there is that of f itself. And everywhere there is the
speed at which transport would leave f_hat,

    r = |(f_hat + dt L f_hat) - f_hat of its moments| / dt,

which in the time t from the start to the next look, less what collisions took away again, is

    r tau,    tau = (eps/nu) (1 - exp(-t nu/eps)).

A cell becomes kinetic where the larger of the two exceeds the threshold, with `BUFFER` cells around
it, through which nothing comes before the next look; it is left to the closure again where both are
below `RELEASE` of the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from closures.hybrid.projection import Decoded, Projection
from closures.hybrid.runtime import Array
from kinetic.transport import Transport

BUFFER = 2
"""Cells on either side."""

RELEASE = 0.5
"""Share of the threshold below which a kinetic cell is left to the closure."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Indicator:
    """Distances from what the closure can hold; see the module.

    Args:
        projection: the closure on the grid.
        transport: L.
        dt: a time step of it.
    """

    projection: Projection
    transport: Transport
    dt: float

    def __call__(self, f: Array, kinetic: Mask, start: Array, time: float) -> tuple[Array, Array]:
        """The indicator of every cell (cells,), infinite where there is no f_hat; and theta.

        Args:
            f: distributions (cells, C).
            kinetic: which cells are kinetic; f of the others is f_hat.
            start: theta of a nearby state (cells, 3+K).
            time: from the start to the next look.
        """
        own = self.projection
        particles = own.particles(f)
        U = own.conserved(particles)
        frame = own.frame(U)
        decoded, found = own.decode(own.encode(particles, frame), frame, start)
        decoded = replace(decoded, U=U)
        f_hat = own.written(decoded)
        distance = own.distance(f, f_hat, frame) * kinetic
        rate = own.rate(frame)
        memory = -np.expm1(-time * rate) / rate
        speed, known = self._speed(f_hat, decoded)
        indicator = np.maximum(distance, speed * memory)
        indicator[~(found & known & np.isfinite(indicator))] = np.inf
        return indicator, decoded.theta

    def _speed(self, f_hat: Array, decoded: Decoded) -> tuple[Array, Mask]:
        """r of every cell, and where it is known."""
        own, slope = self.projection, np.zeros_like(f_hat)
        self.transport(f_hat, slope)
        moved = f_hat + self.dt * slope
        frame = own.frame(own.conserved(own.particles(moved)))
        m = own.transported(np.ones(1), [decoded], own.particles(self.dt * slope), frame)
        after, found = own.decode(m, frame, decoded.theta)
        return own.distance(moved, own.written(after), frame) / self.dt, found


def chosen(indicator: Array, kinetic: Mask, threshold: float, periodic: bool) -> Mask:
    """Which cells are kinetic from now on."""
    wanted = indicator > np.where(kinetic, RELEASE * threshold, threshold)
    return widened(wanted, periodic)


def widened(wanted: Mask, periodic: bool, by: int = BUFFER) -> Mask:
    """`wanted` and some cells on either side."""
    around = np.pad(wanted, by, mode="wrap" if periodic else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, 2 * by + 1)
    return np.asarray(windows.any(axis=1))
