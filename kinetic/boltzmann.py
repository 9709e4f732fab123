"""Binary collisions of Maxwell molecules in two velocity dimensions, by the fast spectral method.

    Q(f)(v) = ∫ dv* ∫ dsigma B [f(v') f(v*') - f(v) f(v*)],   B = 1 / (2 pi),  sigma on the circle.

With v' = v + x and v*' = v + y, energy is conserved where x.y = 0 (Carleman), so that

    Q(f)(v) = 1/pi ∫∫ delta(x.y) [f(v + x) f(v + y) - f(v) f(v + x + y)] dx dy.

|x| and |y| are cut at R. In polar coordinates x = r e_theta and y = s e_(theta + pi/2); with the
Fourier modes f_k of f on its periodic grid,

    gain = 1/pi ∫_0^pi g_theta g_(theta + pi/2) dtheta,   g_theta(v) = ∫_-R^R f(v + r e_theta) dr,
    loss = f(v) sum_k beta(k) f_k exp(i k.v),   beta = 1/pi ∫_0^pi a_theta a_(theta + pi/2) dtheta,

where a_theta(k) f_k are the modes of g_theta, a_theta(k) = 2 R sinc(R k.e_theta). The integrals
over theta are trapezoidal sums over A angles. The angles theta and theta + pi/2 give the same
product, so A / 2 products of A real fields suffice: A + 2 real FFTs for one evaluation.

If f is even in v_2, as in flows along x, the product of -theta is the mirror image of that of
theta. Angles half-way between the others, theta = pi / A (n + 1/2), come in such pairs, so that
A / 2 + 2 FFTs suffice.

Sources: C. Mouhot & L. Pareschi, Math. Comp. 75 (2006) 1833; F. Filbet, C. Mouhot & L. Pareschi,
SIAM J. Sci. Comput. 28 (2006) 1029.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinetic.errors import InvalidInput
from kinetic.options import integer, positive
from kinetic.spectral import spectral_sum
from kinetic.threads import share
from kinetic.velocity import VelocityGrid

Array = NDArray[np.float64]
Tables = tuple[Any, Any, Any]

#: R in halves of the period. For functions that vanish outside of a disc, 4 / (3 + sqrt 2) = 0.906
#: is the largest that lets no periodic image of f into the result. The tails of a gas are longer:
#: over Maxwellians, their mixtures and BKW solutions 0.82 to 0.84 gave the smallest errors.
CUT = 0.83
#: Extent at 48 points. It grows as sqrt(points), which keeps what the cut tails of a gas at T = 1
#: cost, exp(-extent^2 / 2T), in balance with what the spacing costs, exp(-(pi / spacing)^2 T / 2).
EXTENT_AT_48 = 8.0
#: Precisions of f, and of its Fourier modes.
COMPLEX = {"float32": "complex64", "float64": "complex128"}


def boltzmann_operator(
    points: int = 48, extent: float | None = None, angles: int = 8, even: bool = False
) -> BoltzmannOperator:
    """Return the operator on `points` x `points` velocities in [-extent, extent]^2.

    Args:
        points: nodes along each axis, even, at least 16.
        extent: largest |v_1| and |v_2|, in the scale of sqrt(T) at T = 1; by default
            8 sqrt(points / 48), best for gases near rest with T between 1/2 and 2.
        angles: A, even. Products of Gaussians are smooth but not constant in theta, so the error of
            Q falls by about ten for every two more. Eight are exact for BKW solutions, right to
            2e-4 for the sum of Maxwellians of T = 0.5 and 1.6 or of u = +-1 and T = 0.7, and to
            3e-3 for flows through each other of gases that are anisotropic by themselves. The
            relaxation of stress and heat flux is right with any number from four.
        even: for f(v_1, v_2) = f(v_1, -v_2) only, in little more than half of the time; A is then a
            multiple of four.

    Raises:
        InvalidInput: a value is out of range.
    """
    points = integer(16, 1024)("velocity.points", points)
    angles = integer(2, 128)("collision.angles", angles)
    for key, value in (("velocity.points", points), ("collision.angles", angles)):
        if value % 2:
            raise InvalidInput(key, value, "must be even")
    if even and angles % 4:
        allowed = "must be a multiple of four for distributions even in v_2"
        raise InvalidInput("collision.angles", angles, allowed)
    if extent is None:
        extent = EXTENT_AT_48 * sqrt(points / 48)
    extent = positive(0.1, 1000.0)("velocity.extent", extent)
    return BoltzmannOperator(VelocityGrid(points, extent), angles, even)


@dataclass(frozen=True)
class BoltzmannOperator:
    """The collision operator Q; made by `boltzmann_operator`, which checks what it is made of.

    Args:
        axis: nodes along each axis; a grid of N nodes has the period N spacing.
        angles: A.
        even: whether f is even in v_2.
    """

    axis: VelocityGrid
    angles: int
    even: bool = False
    _tables: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def velocities(self) -> tuple[Array, Array]:
        """v_1 and v_2 of every node, each of shape (N, N); v_1 varies along the first axis."""
        v1, v2 = np.meshgrid(self.axis.nodes, self.axis.nodes, indexing="ij")
        return v1, v2

    def __call__(self, f: Any, threads: int = 1) -> Any:
        """Return Q(f), shape (cells, N, N); it changes no mass, momentum or energy.

        The spectral sum conserves them to its accuracy only. The correction smallest in the norm of
        L2 restores them to round-off: Q minus its projection on (1, v_1, v_2, |v|^2).

        Args:
            f: distributions, real numbers of single or double precision, shape (cells, N, N), of
                NumPy or of any library with its interface and a module `fft` (torch, JAX, CuPy).
                The result is of the same kind.
            threads: how many share the cells of arrays of NumPy.

        Raises:
            InvalidInput: f has another shape or type of numbers.
        """
        self._check(f)
        xp = _namespace(f)
        modes, *sides = self._tables_for(xp, f)
        if xp is np:
            return _conserving(self.spectral_sum(f, threads), *sides)
        return _conserving(_spectral_sum(xp.fft, f, modes, self.even), *sides)

    def spectral_sum(self, f: Array, threads: int = 1) -> Array:
        """Return Q(f) as the spectral sum has it, for arrays of NumPy as in `__call__`.

        To conserve mass, momentum and energy, subtract its projection on `invariants`. The result
        does not depend on the number of threads.
        """
        f, N = np.ascontiguousarray(f), self.axis.points
        real, whole = f.dtype, np.dtype(COMPLEX[f.dtype.name])
        factors, axes = self._factors.astype(real, copy=False), np.array([1, 2])
        Q = np.empty_like(f)

        def evaluate(first: int, last: int) -> None:
            spectrum = np.empty((1, N, N // 2 + 1), whole)
            products, fields = np.empty_like(factors), np.empty((len(factors), N, N), real)
            space = spectrum, spectrum.view(real).ravel(), products, fields
            spectral_sum(first, last, f, factors, self.even, axes, *space, Q)

        share(evaluate, len(f), min(threads, len(f)))
        return Q

    def _check(self, f: Any) -> None:
        shape, N = tuple(getattr(f, "shape", ())), self.axis.points
        if len(shape) != 3 or shape[1:] != (N, N):
            raise InvalidInput("distribution.shape", shape, f"must be (cells, {N}, {N})")
        if _precision(f) not in COMPLEX:
            raise InvalidInput("distribution.dtype", f.dtype, "must be float32 or float64")

    def _tables_for(self, xp: Any, f: Any) -> Tables:
        """Return modes, invariants and their transpose as arrays of the kind of f, kept."""
        device = getattr(f, "device", None)  # what JAX traces is on none
        key = xp.__name__, str(f.dtype), str(device)
        if key in self._tables:
            return self._tables[key]
        # CuPy makes arrays on its current device and takes no other.
        place = {} if device is None or xp.__name__ == "cupy" else {"device": device}
        # Complex, since real factors of complex numbers are converted at every product.
        dtype = getattr(xp, COMPLEX[_precision(f)])
        modes = xp.asarray(self._modes, dtype=dtype, **place)
        sides = (self.invariants, np.ascontiguousarray(self.invariants.T))
        tables = (modes, *(xp.asarray(side, dtype=f.dtype, **place) for side in sides))
        if device is not None:
            self._tables[key] = tables
        return tables

    @cached_property
    def _factors(self) -> Array:
        """`_modes` for real and imaginary parts side by side, shape (n + 1, N (N + 2))."""
        return np.repeat(self._modes, 2, axis=-1).reshape(len(self._modes), -1)

    @cached_property
    def _modes(self) -> Array:
        """a_theta of n = A angles, A / 2 if even, and then beta, shape (n + 1, N, N/2 + 1).

        The angles of the second half are those of the first and pi/2.

        The weight 2 / A of a product, the pi / A of the trapezoidal rule times the 1 / pi of the
        kernel for both angles that share it, is divided between its two factors.
        """
        N, spacing = self.axis.points, self.axis.spacing
        R = CUT * 0.5 * N * spacing
        k1 = 2.0 * np.pi * np.fft.fftfreq(N, spacing)[:, None]
        k2 = 2.0 * np.pi * np.fft.rfftfreq(N, spacing)
        theta = np.pi / self.angles * (np.arange(self.angles) + 0.5 * self.even)[:, None, None]
        k_along = k1 * np.cos(theta) + k2 * np.sin(theta)
        a = sqrt(2.0 / self.angles) * 2.0 * R * np.sinc(R / np.pi * k_along)
        # The highest modes lack a partner -k: with them reflection would not commute with Q.
        a[:, N // 2], a[:, :, N // 2] = 0.0, 0.0
        first, second = np.split(a, 2)
        beta = np.sum(first * second, axis=0)[None]
        products = self.angles // 4 if self.even else self.angles // 2
        return np.concatenate([first[:products], second[:products], beta])

    @cached_property
    def invariants(self) -> Array:
        """Orthonormal basis of (1, v_1, v_2, |v|^2) on the nodes, shape (N^2, 4)."""
        v1, v2 = (v.ravel() / self.axis.extent for v in self.velocities)
        return np.linalg.qr(np.stack([np.ones_like(v1), v1, v2, v1**2 + v2**2], axis=-1))[0]


def _spectral_sum(fft: Any, f: Any, modes: Any, even: bool) -> Any:
    """Return gain minus loss of f (cells, N, N): what `kinetic.spectral` does, of any library.

    Args:
        fft: module with the transforms of the library of f.
        f: distributions.
        modes: a_theta and beta as complex numbers, shape (n + 1, N, N/2 + 1).
        even: whether each product stands also for its mirror image in v_2.
    """
    spectrum, half = fft.rfft2(f), modes.shape[0] // 2
    Q = -f * fft.irfft2(spectrum * modes[-1])
    if even:
        Q *= 0.5
    for p in range(half):
        Q += fft.irfft2(spectrum * modes[p]) * fft.irfft2(spectrum * modes[p + half])
    return Q + _mirrored(Q) if even else Q


def _conserving(Q: Any, invariants: Any, transposed: Any) -> Any:
    """Return Q (cells, N, N) less its projection on the invariants, shape (N^2, 4), orthonormal."""
    rows = Q.reshape((-1, invariants.shape[0]))
    return (rows - (rows @ invariants) @ transposed).reshape(Q.shape)


def _mirrored(f: Any) -> Any:
    """Return f(v_1, -v_2)."""
    return f.flip(-1) if hasattr(f, "flip") else f[..., ::-1]  # no steps backwards in torch


def _precision(f: Any) -> str:
    """Return the name of the type of numbers in f, "float64" also for that of torch."""
    return str(f.dtype).rpartition(".")[2]


def _namespace(f: Any) -> Any:
    """Return the library of an array: what it declares, or else (torch) the module of its type."""
    declared = getattr(f, "__array_namespace__", None)
    return declared() if declared else sys.modules[type(f).__module__.partition(".")[0]]
