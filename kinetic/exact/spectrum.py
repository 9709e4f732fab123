"""Spectrum of the linear BGK equation in one velocity dimension.

Around M(v) = exp(-v^2/2) / sqrt(2 pi), a mode g(v) exp(i k x + lambda t) satisfies

    (lambda + i k v) g = (1/eps) (P g - g),   P g = M sum_j phi_j <phi_j g>,
    phi = (1, v, (v^2 - 1)/sqrt(2)),          <.> = ∫ . dv.

Solving for g and taking its moments <phi_i g> gives the dispersion relation det B(lambda) = 0,

    B_ij = <phi_i phi_j M (lambda + ikv) / (1 + eps (lambda + ikv))>,

which becomes that of the Euler equations as eps -> 0. It holds for modes that decay slower than
1/eps, Re lambda > -1/eps: for small k eps two of sound, lambda ~ +-i sqrt(3) k, and one of heat,
lambda ~ -k^2 eps.

Source: C. Cercignani, The Boltzmann Equation and Its Applications (1988), ch. IV.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import newton

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

#: Coefficients of phi_j in powers of v.
PHI = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-(0.5**0.5), 0.0, 0.5**0.5]])
#: Order of the Hermite expansion that gives the roots to start from.
ORDER = 60
#: Range of the quadrature, where M < 1e-31, and its spacing relative to the distance of the pole.
CUT, SPACING = 12.0, 0.15


def _unit_maxwellian(v: Array) -> Array:
    return np.exp(-0.5 * v**2) / np.sqrt(2.0 * np.pi)


def _quadrature(lam: complex, k: float, eps: float) -> tuple[Array, float]:
    """Return nodes and spacing h of a trapezoidal rule that is exact to round-off.

    Its error is exp(-2 pi d/h), d the distance of the pole v = i (1/eps + lambda)/k from the real
    axis, and exp(-2 pi^2/h^2) for the Gaussian (Trefethen & Weideman, SIAM Rev. 56 (2014) 385).
    """
    distance = (1.0 / eps + lam.real) / abs(k)
    nodes = 2 * int(np.ceil(CUT / (SPACING * min(1.0, distance)))) + 1
    v = np.linspace(-CUT, CUT, nodes)
    return v, v[1] - v[0]


def dispersion_matrix(lam: complex, k: float, eps: float) -> ComplexArray:
    """Return B(lambda), shape (3, 3), for Re lambda > -1/eps and k != 0."""
    v, spacing = _quadrature(lam, k, eps)
    phi = np.polynomial.polynomial.polyval(v, PHI.T)
    streaming = lam + 1j * k * v
    weight = spacing * _unit_maxwellian(v) * streaming / (1.0 + eps * streaming)
    return (phi * weight) @ phi.T


def dispersion(lam: complex, k: float, eps: float) -> complex:
    """Return det B(lambda), zero at an eigenvalue."""
    return complex(np.linalg.det(dispersion_matrix(lam, k, eps)))


def hermite_matrix(k: float, eps: float, order: int) -> ComplexArray:
    """Return the operator on the first `order` normalised Hermite functions, (order, order).

    v couples neighbours, v h_n = sqrt(n+1) h_(n+1) + sqrt(n) h_(n-1); all but the first three decay
    with the rate 1/eps. Its leading eigenvalues converge to the discrete spectrum.
    """
    off = np.sqrt(np.arange(1, order))
    streaming = np.diag(off, 1) + np.diag(off, -1)
    decay = np.where(np.arange(order) < 3, 0.0, 1.0 / eps)
    return -1j * k * streaming - np.diag(decay)


def eigenvalues(k: float, eps: float) -> ComplexArray:
    """Return the three slowest eigenvalues by falling imaginary part: sound, heat, sound.

    Eigenvalues of `hermite_matrix` start the secant method on `dispersion`.

    Raises:
        ValueError: k eps > 1; soon after, modes disappear into the continuous spectrum.
    """
    if not 0.0 < k * eps <= 1.0:
        raise ValueError(f"k eps = {k * eps:.3g} must lie in (0, 1]")
    guesses = np.linalg.eigvals(hermite_matrix(k, eps, ORDER))
    slowest = guesses[np.argsort(-guesses.real)][:3]
    roots = [_polish(guess, k, eps) for guess in slowest]
    return np.array(sorted(roots, key=lambda root: -root.imag))


def _polish(guess: complex, k: float, eps: float) -> complex:
    # SciPy's annotations allow real arguments only; its secant method is as good in the plane.
    return newton(dispersion, guess, args=(k, eps), rtol=1e-13)  # type: ignore[call-overload]


def mode(lam: complex, k: float, eps: float, v: Array) -> ComplexArray:
    """Return the eigenfunction g(v) of an eigenvalue, shape (n,), with unit density <g> = 1."""
    _, _, rows = np.linalg.svd(dispersion_matrix(lam, k, eps))
    moments = rows[-1].conj()  # the null vector of B is <phi_j g>
    projection = np.polynomial.polynomial.polyval(v, PHI.T @ moments / moments[0])
    return _unit_maxwellian(v) * projection / (1.0 + eps * (lam + 1j * k * v))
