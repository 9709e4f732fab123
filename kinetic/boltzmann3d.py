"""Binary collisions of Maxwell molecules in three velocity dimensions, by a fast spectral method.

    Q(f)(v) = ∫ dv* ∫ dsigma B [f(v') f(v*') - f(v) f(v*)],   B = 1 / (4 pi),  sigma on the sphere,

with v' and v*' = (v + v*)/2 +- |g| sigma / 2 and g = v - v*. In terms of the centre w = v - g/2,

    gain = 1/(4 pi) ∫_0^R dr r^2 ∫ de S_r(v - r e / 2),
    S_r(w) = ∫ dsigma f(w + r sigma / 2) f(w - r sigma / 2),

e and sigma on the sphere and |g| cut at R. The mean over e multiplies the Fourier modes of S_r by
sinc(r |k| / 2), and shifts of f are factors exp(+-i r k.sigma / 2) of its own, so that

    gain_k = ∫_0^R dr r^2 sinc(r |k| / 2) (S_r)_k,    loss = f(v) ∫_(|g| < R) f(v - g) dg.

The integral over r is a Gauss-Legendre sum, that over sigma a product of one in cos(theta) and the
trapezoidal rule in phi, of which antipodes share a product. The work is O(R A^2 N^3 log N).

Source: I. M. Gamba, J. R. Haack, C. D. Hauck & J. Hu, SIAM J. Sci. Comput. 39 (2017) B658, here
for a kernel that does not depend on |g|, where f(w +- r sigma/2) separate by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from kinetic.errors import InvalidInput
from kinetic.options import integer, positive
from kinetic.velocity import VelocityGrid

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: R in halves of the period: of 0.9, 1.0 and 1.1 the one with the smallest errors over Maxwellians,
#: their mixtures and BKW solutions.
CUT = 1.0
#: Extent at 32 points; it grows as sqrt(points), see `kinetic.boltzmann`.
EXTENT_AT_32 = 6.5
AXES = (-3, -2, -1)


def boltzmann_operator_3d(
    points: int = 32, extent: float | None = None, angles: int = 6
) -> BoltzmannOperator3D:
    """Return the operator on `points`^3 velocities in [-extent, extent]^3.

    It is for homogeneous gases: one evaluation with the defaults takes about a second.

    Args:
        points: nodes along each axis, even, at least 16.
        extent: largest |v_i|, in the scale of sqrt(T) at T = 1; by default 6.5 sqrt(points / 32).
        angles: A, even: nodes in cos(theta). Four are right for BKW solutions and to 6e-3 for the
            sum of Maxwellians of u = +-1 and T = 0.7, six to 2e-5, eight to 1e-6.

    Raises:
        InvalidInput: a value is out of range.
    """
    points = integer(16, 128)("velocity.points", points)
    angles = integer(2, 32)("collision.angles", angles)
    for key, value in (("velocity.points", points), ("collision.angles", angles)):
        if value % 2:
            raise InvalidInput(key, value, "must be even")
    if extent is None:
        extent = EXTENT_AT_32 * sqrt(points / 32)
    extent = positive(0.1, 1000.0)("velocity.extent", extent)
    return BoltzmannOperator3D(VelocityGrid(points, extent), angles)


@dataclass(frozen=True)
class BoltzmannOperator3D:
    """The collision operator Q; made by `boltzmann_operator_3d`, which checks what it is made of.

    Args:
        axis: nodes along each axis; a grid of N nodes has the period N spacing.
        angles: A, even: nodes in cos(theta); there are 2 A in phi.
    """

    axis: VelocityGrid
    angles: int

    @cached_property
    def velocities(self) -> tuple[Array, Array, Array]:
        """v_1, v_2 and v_3 of every node, each of shape (N, N, N)."""
        v1, v2, v3 = np.meshgrid(*3 * [self.axis.nodes], indexing="ij")
        return v1, v2, v3

    def __call__(self, f: Array) -> Array:
        """Return Q(f), shape (cells, N, N, N); it changes no mass, momentum or energy.

        Raises:
            InvalidInput: f has another shape.
        """
        N, shape = self.axis.points, np.shape(f)
        if len(shape) != 4 or shape[1:] != (N, N, N):
            raise InvalidInput("distribution.shape", shape, f"must be (cells, {N}, {N}, {N})")
        rows = np.stack([self._collide(one).ravel() for one in np.asarray(f, float)])
        rows -= (rows @ self._invariants) @ self._invariants.T
        return rows.reshape(shape)

    def _collide(self, f: Array) -> Array:
        """Return gain minus loss of one cell, f (N, N, N)."""
        spectrum = scipy.fft.rfftn(f)
        gain = np.zeros_like(spectrum)
        for r, weight in zip(*self._radii, strict=True):
            S = np.zeros_like(f)
            for sigma, solid_angle in zip(*self._directions, strict=True):
                shift = self._shift(0.5 * r * sigma)
                ahead = scipy.fft.irfftn(spectrum * shift, f.shape, AXES)
                behind = scipy.fft.irfftn(spectrum * shift.conj(), f.shape, AXES)
                S += solid_angle * ahead * behind
            gain += weight * r**2 * np.sinc(0.5 * r / np.pi * self._speed) * scipy.fft.rfftn(S)
        return scipy.fft.irfftn(gain, f.shape, AXES) - f * scipy.fft.irfftn(
            spectrum * self._ball, f.shape, AXES
        )

    @cached_property
    def _radius(self) -> float:
        return CUT * 0.5 * self.axis.points * self.axis.spacing

    @cached_property
    def _radii(self) -> tuple[Array, Array]:
        """Nodes r and weights of the integral over them, shape (N / 2 + 4,)."""
        x, weights = np.polynomial.legendre.leggauss(self.axis.points // 2 + 4)
        return 0.5 * self._radius * (x + 1.0), 0.5 * self._radius * weights

    @cached_property
    def _directions(self) -> tuple[Array, Array]:
        """Unit vectors of half of the sphere, shape (A^2, 3), and the solid angle of each."""
        z, weights = np.polynomial.legendre.leggauss(self.angles)
        z, weights = z[z > 0.0], weights[z > 0.0]
        phi = np.pi / self.angles * (np.arange(2 * self.angles) + 0.5)
        s = np.sqrt(1.0 - z**2)[:, None]
        sigma = np.stack([s * np.cos(phi), s * np.sin(phi), z[:, None] + 0.0 * phi], axis=-1)
        solid_angle = np.repeat(2.0 * weights * np.pi / self.angles, phi.size)
        return sigma.reshape(-1, 3), solid_angle

    def _shift(self, distance: Array) -> Complex:
        """Return the factors of the modes of f that shift it by -distance, shape (3,)."""
        a, b, c = (np.exp(1j * d * k) for d, k in zip(distance, self._wavenumbers, strict=True))
        phases: Complex = a[:, None, None] * b[:, None] * c * self._kept
        return phases

    @cached_property
    def _wavenumbers(self) -> tuple[Array, Array, Array]:
        N, period = self.axis.points, self.axis.points * self.axis.spacing
        k = 2.0 * np.pi / period * np.fft.ifftshift(np.arange(-(N // 2), N // 2, dtype=float))
        return k, k, np.abs(k[: N // 2 + 1])

    @cached_property
    def _speed(self) -> Array:
        """|k|, shape (N, N, N/2 + 1)."""
        a, b, c = self._wavenumbers
        return np.sqrt((a**2)[:, None, None] + (b**2)[:, None] + c**2)

    @cached_property
    def _kept(self) -> Array:
        """One, and zero for the highest modes, which lack a partner -k; shape as `_speed`."""
        half = self.axis.points // 2
        kept = np.ones_like(self._speed)
        kept[half], kept[:, half], kept[:, :, half] = 0.0, 0.0, 0.0
        return kept

    @cached_property
    def _ball(self) -> Array:
        """Modes of the ball |g| < R, 4 pi (sin x - x cos x) / k^3 with x = k R."""
        r, weights = self._radii
        shells = np.sinc(r / np.pi * self._speed[..., None])
        ball: Array = 4.0 * np.pi * (shells @ (weights * r**2)) * self._kept
        return ball

    @cached_property
    def _invariants(self) -> Array:
        """Orthonormal basis of (1, v, |v|^2) on the nodes, shape (N^3, 5)."""
        v = [one.ravel() / self.axis.extent for one in self.velocities]
        functions = [np.ones_like(v[0]), *v, v[0] ** 2 + v[1] ** 2 + v[2] ** 2]
        return np.linalg.qr(np.stack(functions, axis=-1))[0]
