"""Implicit-explicit Runge-Kutta methods for d_t f = L(f) + Q(f) / eps, L explicit, Q implicit.

A method is a pair of tableaux, explicit A~ and implicit A, whose last rows are also the weights
(globally stiffly accurate: the last stage is the new solution, which puts it at equilibrium as
eps -> 0):

    f_i = f^n + dt sum_(j<i) a~_ij L(f_j) + sum_(j<=i) a_ij R_j,     R_j = dt Q(f_j) / eps.

The first stage is f^n. Each other stage is one implicit relaxation f_i = f*_i + a_ii R_i, so that
R_i = (f_i - f*_i) / a_ii needs no division by eps. Eliminating the R_j gives the Shu-Osher form

    f*_i = sum_(j<i) (alpha_ij f_j + beta_ij dt L(f_j)),   sum_j alpha_ij = 1,

    alpha = I - D A^-1,   beta = D A^-1 A~,   D = diag(A)   (on the stages after the first),

in which the driver steps: if every alpha_ij, beta_ij >= 0 it is a convex combination of forward
Euler steps, which keeps f >= 0 up to dt = min alpha_ij / beta_ij times their bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import sqrt
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numba import njit

from kinetic.alignment import aligned_empty
from kinetic.moments import Array

Rows = tuple[tuple[float, ...], ...]
TOLERANCE = 1e-12
# How many numbers are combined at a time.
BLOCK = 1024


@dataclass(frozen=True)
class ImexTableau:
    """Coefficients of one method, checked for consistency when they are built.

    Args:
        name: how it is called.
        order: claimed order, 1 to 3.
        explicit: A~, strictly lower triangular, shape (s, s) with a zero first row.
        implicit: A, lower triangular, shape (s, s) with zero first row and column, else a_ii > 0.
        correction: alpha of the final relaxation of Hu, Shu & Zhang by alpha (dt nu / eps)^2.
        penalty: P and z_0 of the rate P z / (z + z_0), z = dt / eps, of the implicit part of
            collisions that are otherwise explicit, as a share of the loss rate; enough for them to
            be stable at any z, see `kinetic.penalised`.

    Raises:
        ValueError: shapes or zeros are wrong or an order condition up to `order` fails.
    """

    name: str
    order: int
    explicit: Rows
    implicit: Rows
    correction: float = 0.0
    penalty: tuple[float, float] = (2.5, 2.0)

    def __post_init__(self) -> None:
        explicit, implicit = self.matrices
        square = (len(self.explicit), len(self.explicit))
        if explicit.shape != square or implicit.shape != square:
            raise ValueError(f"{self.name}: both tableaux must be square and of one size")
        if np.any(np.triu(explicit)) or np.any(np.triu(implicit, 1)):
            raise ValueError(f"{self.name}: entries above the diagonal must vanish")
        if np.any(implicit[:, 0]) or np.any(np.diag(implicit)[1:] <= 0.0):
            raise ValueError(f"{self.name}: the first stage is f^n, the others have a_ii > 0")
        defects = order_defects(explicit, implicit, self.correction, self.order)
        for condition, defect in defects.items():
            if abs(defect) > TOLERANCE:
                raise ValueError(f"{self.name}: order condition {condition} is off by {defect:g}")

    @cached_property
    def matrices(self) -> tuple[Array, Array]:
        """(A~, A) as arrays."""
        return np.array(self.explicit, float), np.array(self.implicit, float)

    @cached_property
    def shu_osher(self) -> tuple[Array, Array]:
        """(alpha, beta) of the module's docstring, strictly lower triangular, shape (s, s)."""
        explicit, implicit = self.matrices
        later = implicit[1:, 1:]
        ratio = np.diag(np.diag(later)) @ np.linalg.inv(later)
        alpha, beta = np.zeros_like(implicit), np.zeros_like(explicit)
        # Weights in units of 2^-50 sum to one exactly; else each step would change the mass alike.
        alpha[1:, 1:] = np.round((np.eye(len(later)) - ratio) * 2.0**50) / 2.0**50
        alpha[1:, 0] = 1.0 - alpha[1:].sum(axis=1)
        beta[1:] = ratio @ explicit[1:]
        return _clean(alpha), _clean(beta)

    @cached_property
    def implicit_diagonal(self) -> tuple[float, ...]:
        """a_ii of every stage."""
        return tuple(float(row[i]) for i, row in enumerate(self.implicit))

    @cached_property
    def transported(self) -> tuple[bool, ...]:
        """Whether a later stage uses L of the stage."""
        return tuple(bool(np.any(column)) for column in self.matrices[0].T)

    def penalty_at(self, z: Array) -> Array:
        """Return P z / (z + z_0)."""
        most, half = self.penalty
        return most * z / (z + half)

    @property
    def positivity(self) -> float:
        """Largest dt, in units of the forward Euler bound, with f >= 0 kept; 0 if there is none."""
        alpha, beta = self.shu_osher
        if np.any(alpha < 0.0) or np.any(beta < 0.0):
            return 0.0
        used = beta > 0.0
        return float(np.min(alpha[used] / beta[used]))


def _clean(weights: Array) -> Array:
    """Return `weights` with what is round-off of a zero set to zero."""
    return np.where(np.abs(weights) < TOLERANCE, 0.0, weights)


def order_defects(
    explicit: Array, implicit: Array, correction: float, order: int
) -> dict[str, float]:
    """Return left minus right side of every order condition up to `order`, coupling included.

    With b, c the last rows and row sums of each tableau (Pareschi & Russo, J. Sci. Comput. 25
    (2005) 129): b.1 = 1; b.c = 1/2, where the correction adds -alpha to the purely implicit one
    (Hu, Shu & Zhang 2018); b.(c c) = 1/3 and b.A c = 1/6, for all combinations of the tableaux.
    """
    tableaux = {"~": explicit, "": implicit}
    b = {mark: A[-1] for mark, A in tableaux.items()}
    c = {mark: A.sum(axis=1) for mark, A in tableaux.items()}
    defects = {f"b{i} 1": b[i].sum() - 1.0 for i in b}
    if order >= 2:
        defects |= {f"b{i} c{j}": b[i] @ c[j] - 0.5 for i, j in product(b, b)}
        defects["b c"] -= correction
    if order >= 3:
        triples = list(product(b, b, b))
        defects |= {f"b{i} c{j} c{k}": b[i] @ (c[j] * c[k]) - 1.0 / 3.0 for i, j, k in triples}
        defects |= {f"b{i} A{j} c{k}": b[i] @ tableaux[j] @ c[k] - 1.0 / 6.0 for i, j, k in triples}
        defects["alpha = 0"] = correction
    return {condition: float(defect) for condition, defect in defects.items()}


def _hsz2() -> ImexTableau:
    """Hu, Shu & Zhang, SIAM J. Numer. Anal. 56 (2018) 942, section 2.6.1 (arXiv:1708.06279).

    The method of type A, second order for dt << eps and in the limit eps -> 0. It keeps f >= 0 for
    dt up to 0.52 of the forward Euler bound, with two evaluations of the transport, both on relaxed
    stages: unlike methods that transport f^n itself it has no error O(dt) from initial data far
    from equilibrium. Four coefficients are free, here with ten digits; the others follow from the
    order conditions.

    In between it loses order, because its first stage relaxes f^n without transport and so loses
    the deviation g = (M - f) / eps of a gas near equilibrium, which conducts heat. In the stages
    f_j = M_j - eps k_j g, with z = dt / eps and K that of f^n, the k_j solve (I + z A) k =
    z A~ 1 + K, and heat is conducted phi(z) = sum_j b~_j k_j times as well as it should be:
    phi = 1 + O(z^2), 0.96 at z = 1, 1.09 at 3 and 1 / (2 a_22) = 2.55 for z -> inf. The error
    eps |phi - 1| of the conductivity is at most 0.072 dt. Measured on the BGK equation at
    eps = 1e-3: order 1.0 from dt / eps = 1 to 1/2, 1.6 to 1/4 and 1.8 to 1/8; from dt / eps = 500
    to 60 the error stays at that of the conductivity. `ars222` and `ars443` have phi = 1, but keep
    no f >= 0.

    The last relaxation divides what of f is not Maxwellian by 1 + 0.28 (dt nu / eps)^2, so that the
    stress and the heat flux of f at the end of a step are too small by as much, 7 % at dt nu / eps
    = 1/2; the fluxes between cells come from the stages before and are not.
    """
    e21, a21, a22, a31 = 0.7369502715, 0.2431004655, 0.1959392570, 0.4803651051
    e32 = 0.5 / e21
    e31 = 1.0 - e32
    a11 = (0.5 - e32 * (a21 + a22)) / e31
    a32 = (a31 - 0.5) / (e21 - 1.0)
    a33 = 1.0 - a31 - a32
    explicit = ((0, 0, 0, 0), (0, 0, 0, 0), (0, e21, 0, 0), (0, e31, e32, 0))
    implicit = ((0, 0, 0, 0), (0, a11, 0, 0), (0, a21, a22, 0), (0, a31, a32, a33))
    correction = a31 * a11 + a32 * (a21 + a22) + a33 - 0.5
    return ImexTableau("hsz2", 2, explicit, implicit, correction, penalty=(1.5, 5.0))


def _ars222() -> ImexTableau:
    """Ascher, Ruuth & Spiteri, Appl. Numer. Math. 25 (1997) 151, section 2.6."""
    gamma = 1.0 - 1.0 / sqrt(2.0)
    delta = 1.0 - 1.0 / (2.0 * gamma)
    return ImexTableau(
        name="ars222",
        order=2,
        explicit=((0.0, 0.0, 0.0), (gamma, 0.0, 0.0), (delta, 1.0 - delta, 0.0)),
        implicit=((0.0, 0.0, 0.0), (0.0, gamma, 0.0), (0.0, 1.0 - gamma, gamma)),
    )


HSZ2 = _hsz2()
ARS222 = _ars222()
# Ascher, Ruuth & Spiteri 1997, section 2.8.
ARS443 = ImexTableau(
    name="ars443",
    order=3,
    explicit=(
        (0, 0, 0, 0, 0),
        (1 / 2, 0, 0, 0, 0),
        (11 / 18, 1 / 18, 0, 0, 0),
        (5 / 6, -5 / 6, 1 / 2, 0, 0),
        (1 / 4, 7 / 4, 3 / 4, -7 / 4, 0),
    ),
    implicit=(
        (0, 0, 0, 0, 0),
        (0, 1 / 2, 0, 0, 0),
        (0, 1 / 6, 1 / 2, 0, 0),
        (0, -1 / 2, 1 / 2, 1 / 2, 0),
        (0, 3 / 2, -3 / 2, 1 / 2, 1 / 2),
    ),
    penalty=(1.0, 2.0),
)
TABLEAUX: Mapping[str, ImexTableau] = MappingProxyType(
    {tableau.name: tableau for tableau in (HSZ2, ARS222, ARS443)}
)


class Relaxation(Protocol):
    """Implicit collision step: f <- solution g of g = f + step Q(g) / eps, then the correction."""

    def __call__(self, f: Array, step: float, correction: float, time: float, /) -> None: ...


class Explicit(Protocol):
    """Explicit part of collisions: adds what is not in the relaxation to a slope, both of f."""

    def __call__(self, f: Array, slope: Array, time: float, /) -> None: ...


class ImexStepper:
    """Advances f, shape (cells, columns), by any `ImexTableau`.

    Args:
        tableau: the method.
        transport: writes L(f) into its second argument.
        relaxation: relaxes its first argument in place.
        shape: shape of f; the stages are allocated once.
        explicit: adds what else is explicit.
    """

    def __init__(
        self,
        tableau: ImexTableau,
        transport: Callable[..., None],
        relaxation: Relaxation,
        shape: tuple[int, int],
        explicit: Explicit | None = None,
    ) -> None:
        self.tableau = tableau
        self.transport = transport
        self.relaxation = relaxation
        self.explicit = explicit
        stages = len(tableau.explicit)
        self._stages, self._slopes = aligned_empty(stages, *shape), aligned_empty(stages, *shape)
        # What is not a number times zero is none either.
        self._slopes[:] = 0.0
        # Of each stage, alpha and dt beta for the last step taken.
        self._weights: list[tuple[Array, Array]] = []
        self._dt = 0.0

    def steps(self, f: Array, time: float, dt: float, count: int) -> Iterator[int]:
        """Advance `f` in place from `time` by `count` steps; yield after each how many there were.

        Errors of the relaxation pass; f is then neither the old nor the new solution.
        """
        if dt != self._dt:
            self._dt, (alpha, beta) = dt, self.tableau.shu_osher
            self._weights = list(zip(alpha, dt * beta, strict=True))
        self._begin(f, time)
        for n in range(count):
            self._advance(f, time + n * dt, dt)
            yield n + 1

    def step(self, f: Array, time: float, dt: float) -> None:
        """Advance `f` in place from `time` to `time + dt`."""
        for _ in self.steps(f, time, dt, 1):
            pass

    def _begin(self, f: Array, time: float) -> None:
        """Prepare for steps from `f`."""

    def _advance(self, f: Array, time: float, dt: float) -> None:
        diagonal, transported = self.tableau.implicit_diagonal, self.tableau.transported
        last = len(diagonal) - 1
        if transported[0]:
            self._slope(f, 0, time)
        for i in range(1, len(diagonal)):
            stage = f if i == last else self._stages[i]
            correction = self.tableau.correction * dt**2 if i == last else 0.0
            self._relax(i, f, stage, dt * diagonal[i], correction, time + dt)
            if transported[i]:
                self._slope(stage, i, time + dt)

    def _slope(self, f: Array, i: int, time: float) -> None:
        """Write all that is explicit of the stage i, f, into its slope."""
        self._transport(f, i)
        if self.explicit is not None:
            self.explicit(f, self._slopes[i], time)

    def _transport(self, f: Array, i: int) -> None:
        """Write L(f) of the stage i, f, into its slope."""
        self.transport(f, self._slopes[i])

    def _relax(
        self, i: int, f: Array, stage: Array, step: float, correction: float, time: float
    ) -> None:
        """Write f_i into `stage`, which may be `f`."""
        combine(f, self._stages, self._slopes, *self._weights[i], stage)
        self.relaxation(stage, step, correction, time)


@njit(cache=True, nogil=True, error_model="numpy")
def combine(f, stages, slopes, alpha, beta, out):  # type: ignore[no-untyped-def]
    """Write sum_j alpha_j f_j + beta_j L_j into `out`, which may be f; f_0 is f, L_j in `slopes`.

    f and `out` have shape (cells, columns), `stages`, whose first is not used, and `slopes` one
    more axis before, alpha and beta shape (stages,).
    """
    size, terms = f.size, alpha.size
    old, new = f.reshape(size), out.reshape(size)
    stages, slopes = stages.reshape((terms, size)), slopes.reshape((terms, size))
    # Sums of their own stay in a first-level cache, and are known not to overlap f.
    sums = np.empty(BLOCK)
    for first in range(0, size, BLOCK):
        # Unsigned as in `kinetic.limiters`. Assigning slices takes two seconds more to compile.
        begin, count = np.uint64(first), np.uint64(min(BLOCK, size - first))
        for k in range(count):
            sums[k] = alpha[0] * old[begin + k]
        if beta[0] != 0.0:
            for k in range(count):
                sums[k] += beta[0] * slopes[0, begin + k]
        for j in range(1, terms):
            if beta[j] != 0.0:
                for k in range(count):
                    sums[k] += alpha[j] * stages[j, begin + k] + beta[j] * slopes[j, begin + k]
            elif alpha[j] != 0.0:
                for k in range(count):
                    sums[k] += alpha[j] * stages[j, begin + k]
        for k in range(count):
            new[begin + k] = sums[k]
