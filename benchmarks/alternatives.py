"""What one would write in place of the project's kernels, with NumPy and SciPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.optimize

from kinetic.boltzmann import BoltzmannOperator
from kinetic.imex import TABLEAUX
from kinetic.moments import Array, moments_of, primitive
from kinetic.transport import MARGIN
from kinetic.velocity import VelocityGrid


@dataclass(frozen=True)
class NumpyKinetic:
    """BGK in D = 1 or 2, periodic, limiter `third`, scheme `hsz2`: whole arrays at a time.

    Tuned: velocities of either sign take one pass each, over slices of one padded array, and no
    difference is taken twice.
    """

    grid: VelocityGrid
    cells: int
    eps: float

    def step(self, f: Array, dt: float) -> Array:
        """Return f after a step, in the Shu-Osher form of `kinetic.imex`."""
        tableau = TABLEAUX["hsz2"]
        alpha, beta = tableau.shu_osher
        last, stages, slopes = len(alpha) - 1, [f], [f]
        for i in range(1, last + 1):
            stage = alpha[i, 0] * f
            for j in range(1, i):
                if alpha[i, j] != 0.0:
                    stage += alpha[i, j] * stages[j]
                if beta[i, j] != 0.0:
                    stage += dt * beta[i, j] * slopes[j]
            correction = tableau.correction * dt**2 if i == last else 0.0
            self.relax(stage, dt * tableau.implicit_diagonal[i], correction)
            stages.append(stage)
            slopes.append(self.transport(stage, dt) if tableau.transported[i] else stage)
        return stages[-1]

    def transport(self, f: Array, dt: float) -> Array:
        """Return -v d_x f, the fluxes clamped so that a step of dt keeps f >= 0."""
        v, forward = self.grid.along, dt / TABLEAUX["hsz2"].positivity
        slope, split = np.empty_like(f), int(np.searchsorted(v, 0.0))
        padded, rate = f[np.arange(-3, self.cells + 3) % self.cells], np.abs(v) * self.cells
        bound = (1.0 - MARGIN) / (forward * np.maximum(rate, 0.5 * self.grid.spacing * self.cells))
        right = _faces(padded[:, split:], bound[split:])
        left = _faces(padded[::-1, :split], bound[:split])[::-1]
        slope[:, split:] = rate[split:] * (right[:-1] - right[1:])
        slope[:, :split] = rate[:split] * (left[1:] - left[:-1])
        return slope

    def relax(self, f: Array, step: float, correction: float) -> None:
        """Relax f in place towards its discrete Maxwellian."""
        rho, u, T = primitive(moments_of(f, self.grid), self.grid.dim)
        M = rho[:, None] * self._unit(u, T)
        if self.grid.dim == 2:
            M = (M[:, :, None] * self._unit(np.zeros_like(u), T)[:, None, :]).reshape(f.shape)
        keep = 1.0 / ((1.0 + step / self.eps) * (1.0 + correction / self.eps**2))
        f *= keep
        M *= 1.0 - keep
        f += M

    def _unit(self, u: Array, T: Array) -> Array:
        """Return Maxwellians of mass one on an axis; one Newton step makes their moments exact."""
        c = self.grid.nodes - u[:, None]
        M = np.exp(c * c * (-0.5 / T)[:, None])
        M *= (1.0 / np.sqrt(2.0 * np.pi * T))[:, None]
        p = M @ self._powers
        hessian = p[:, [[0, 1, 2], [1, 2, 3], [2, 3, 4]]]
        wanted = np.stack([np.ones_like(T), u, T + u * u], axis=1)
        delta = np.linalg.solve(hessian, (wanted - p[:, :3])[:, :, None])[:, :, 0]
        M *= 1.0 + delta @ self._powers[:, :3].T / self.grid.spacing
        return M

    @cached_property
    def _powers(self) -> Array:
        """v^n dv, n = 0..4, shape (points, 5)."""
        return self.grid.nodes[:, None] ** np.arange(5) * self.grid.spacing


class PlainKinetic(NumpyKinetic):
    """The same, transport as one writes it: neighbours by `np.roll`, signs by `np.where`."""

    def transport(self, f: Array, dt: float) -> Array:
        """Return -v d_x f."""
        v, forward = self.grid.along, dt / TABLEAUX["hsz2"].positivity
        rate = np.abs(v) * self.cells
        bound = (1.0 - MARGIN) / (forward * np.maximum(rate, 0.5 * self.grid.spacing * self.cells))
        right, left = self._rolled(f, bound), self._rolled(f[::-1], bound)[::-1]
        return rate * np.where(
            v >= 0.0, np.roll(right, 1, axis=0) - right, np.roll(left, -1, axis=0) - left
        )

    def _rolled(self, f: Array, bound: Array) -> Array:
        """Return the face downstream of every cell."""
        behind = f - np.roll(f, 1, axis=0)
        ahead = np.roll(behind, -1, axis=0)
        bend = ahead - behind
        curvature = _minmod(bend, np.roll(bend, -1, axis=0))
        median = 0.5 * (ahead - curvature)
        steep, large = 2.0 * behind, 0.5 * behind + 4.0 / 3.0 * np.roll(curvature, 1, axis=0)
        low = np.minimum(np.maximum(np.minimum(ahead, median), np.minimum(steep, large)), 0.0)
        high = np.maximum(np.minimum(np.maximum(ahead, median), np.maximum(steep, large)), 0.0)
        return np.clip(f + np.clip((behind + 2.0 * ahead) / 6.0, low, high), 0.0, bound * f)


def _minmod(a: Array, b: Array) -> Array:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), 0.0))


def _faces(f: Array, bound: Array) -> Array:
    """Return the faces downstream of cells -1 ... cells - 1; f has three ghosts at either end."""
    step = f[1:] - f[:-1]
    bend = step[1:] - step[:-1]
    curvature = _minmod(bend[1:], bend[:-1])
    count = len(f) - 5
    behind, ahead = step[1 : 1 + count], step[2 : 2 + count]
    median = 0.5 * (ahead - curvature[1 : 1 + count])
    steep, large = 2.0 * behind, 0.5 * behind + 4.0 / 3.0 * curvature[:count]
    low = np.minimum(np.maximum(np.minimum(ahead, median), np.minimum(steep, large)), 0.0)
    high = np.maximum(np.minimum(np.maximum(ahead, median), np.maximum(steep, large)), 0.0)
    centre = f[2 : 2 + count]
    value = centre + np.minimum(np.maximum((behind + 2.0 * ahead) * (1.0 / 6.0), low), high)
    return np.maximum(np.minimum(value, bound * centre), 0.0)


def numpy_collisions(operator: BoltzmannOperator, f: Array) -> Array:
    """Return Q(f) of Maxwell molecules, the sum over angles as the fast spectral method states it.

    Q = 2/A sum_p (a_p f)(b_p f) - f (beta f), each factor a product of modes: one inverse transform
    for each of the 2A factors, with the real transforms of NumPy.
    """
    spectrum, modes = np.fft.rfft2(f), operator._modes
    half = len(modes) // 2
    shape = f.shape[1:]
    Q = -f * np.fft.irfft2(spectrum * modes[-1], s=shape)
    for p in range(half):
        first = np.fft.irfft2(spectrum * modes[p], s=shape)
        Q += first * np.fft.irfft2(spectrum * modes[p + half], s=shape)
    return Q


def scipy_dual(phi: Array, measure: Array, mu: Array) -> Array:
    """Return theta of one cell: the dual function of `closures.dual` by trust regions."""

    def value(theta: Array) -> tuple[float, Array]:
        density = np.exp(phi @ theta) * measure
        return float(density.sum() - theta @ mu), density @ phi - mu

    def hessian(theta: Array) -> Array:
        return (phi.T * (np.exp(phi @ theta) * measure)) @ phi

    start = np.zeros_like(mu)
    options = {"gtol": 1e-9}
    found = scipy.optimize.minimize(
        value, start, jac=True, hess=hessian, method="trust-exact", options=options
    )
    return np.asarray(found.x)
