"""The maximum-entropy problem: of all densities with given moments, the one of largest entropy.

With measure w_n = Mc(c_n) dc_n and functions phi (n, P), the density exp(theta.phi) Mc has the
moments mu when theta minimises the strictly convex dual function (Levermore, J. Stat. Phys. 83
(1996) 1021, eq. 5.3)

    D(theta) = sum_n w_n exp(theta.phi_n) - theta.mu + gamma/2 |theta|^2 + s/2 theta.F theta.

F is the friction of `closures.friction` and s how much of it a time step takes: then the density
has the moments mu - s F theta. phi is orthonormal under w, so the Hessian is the unit matrix at
equilibrium (theta = 0) and Newton's method is well scaled. Each step is shortened until D decreases
(Armijo), so the iteration cannot diverge; gamma > 0 bounds D from below for every mu, realizable or
not, so a minimum exists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

MAX_EXPONENT = 60.0
"""theta.phi is cut here: exp(60) is beyond any density that a search direction can usefully try."""

SUFFICIENT = 0.25
"""Fraction of the decrease that the slope promises which a step must achieve (Armijo)."""

FLAT = 1e-10
"""A slope below which D cannot be told from its minimum in floating point; Newton is safe there."""

HALVINGS = 40


class Dual(Protocol):
    """A dual function D and its derivatives, for the cells of a batch at once.

    What `density` returns for theta (M, P), a tensor of M rows, is all that the others need of it.
    """

    @property
    def equilibrium(self) -> tuple[Tensor, Tensor]:
        """D, a number, and a row of the density at theta = 0."""
        ...

    def take(self, rows: Tensor) -> Dual:
        """That of the cells `rows`, numbers or flags."""
        ...

    def density(self, theta: Tensor) -> Tensor:
        """The density with coefficients theta."""
        ...

    def value(self, mu: Tensor, theta: Tensor, density: Tensor) -> Tensor:
        """D (M,); not finite where theta has no density."""
        ...

    def gradient(self, mu: Tensor, theta: Tensor, density: Tensor) -> Tensor:
        """dD/dtheta (M, P)."""
        ...

    def newton_step(self, density: Tensor, gradient: Tensor) -> Tensor:
        """Minus the inverse of the Hessian times the gradient (M, P)."""
        ...


@dataclass(frozen=True)
class DualSolver:
    """Damped Newton for many duals at once.

    Args:
        tolerance: largest residual |<phi> - mu| accepted.
        regularization: gamma.
        iterations: most Newton steps before `solve` reports the cells that did not converge.
    """

    tolerance: float = 1e-9
    regularization: float = 1e-9
    iterations: int = 60

    def solve(
        self, phi: Tensor, measure: Tensor, mu: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return theta (M, P) for moments mu (M, P), and which of the M converged (bool).

        theta is differentiable in phi, measure and mu by the implicit function theorem,
        d theta = -H^-1 d(grad D), H the Hessian at the minimum; the iteration is not recorded.

        Args:
            phi, measure: the functions (n, P) and the measure (n,).
            mu: moments, (M, P).
            start: first guess, (M, P); equilibrium is used instead where that is better.
        """
        return self.minimise(self._dual, (phi, measure), mu, start)

    def solve_with_friction(
        self,
        phi: Tensor,
        measure: Tensor,
        friction: Tensor,
        strength: Tensor,
        mu: Tensor,
        start: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Like `solve`, with friction F (P, P) of strength s (M,); differentiable in them too."""

        def dual(phi: Tensor, measure: Tensor, friction: Tensor, strength: Tensor) -> Dual:
            return ExponentialDual(phi, measure, self.regularization, friction, strength)

        return self.minimise(dual, (phi, measure, friction, strength), mu, start)

    def minimise(
        self, dual_of: Callable[..., Dual], inputs: tuple[Tensor, ...], mu: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Like `solve`, for the dual function that `dual_of` makes of any inputs."""
        with torch.no_grad():
            theta, converged = self._minimise(dual_of(*inputs), mu, start)
        variables = (*inputs, mu)
        if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in variables)):
            return theta, converged
        dual = dual_of(*inputs)
        density = dual.density(theta)
        residual = dual.gradient(mu, theta, density)
        fixed = dual_of(*(tensor.detach() for tensor in inputs))
        step = fixed.newton_step(density.detach(), residual)
        return theta + (step - step.detach()), converged

    def value(self, phi: Tensor, measure: Tensor, mu: Tensor, theta: Tensor) -> Tensor:
        """D(theta), (M,)."""
        dual = self._dual(phi, measure)
        return dual.value(mu, theta, dual.density(theta))

    def _dual(self, phi: Tensor, measure: Tensor) -> ExponentialDual:
        return ExponentialDual(phi, measure, self.regularization)

    def _minimise(self, dual: Dual, mu: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        theta, density = self._better_start(dual, mu, start)
        converged = torch.zeros(len(mu), dtype=torch.bool, device=mu.device)
        todo, rest = torch.arange(len(mu), device=mu.device), theta.clone()
        for iteration in range(self.iterations + 1):
            residual = dual.gradient(mu, rest, density)
            done = residual.abs().amax(1) <= self.tolerance  # false for NaN
            converged[todo[done]] = True
            theta[todo] = rest
            if done.all() or iteration == self.iterations:
                break
            if done.any():
                left = ~done
                todo, mu, rest = todo[left], mu[left], rest[left]
                density, residual, dual = density[left], residual[left], dual.take(left)
            rest, density = self._descend(dual, mu, rest, density, residual)
        return theta, converged

    def _better_start(self, dual: Dual, mu: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """`start` where it is no worse than equilibrium, as an old one may be, and its density."""
        density = dual.density(start)
        value, flat = dual.equilibrium
        good = dual.value(mu, start, density) <= value
        density = torch.where(good.view(-1, *(1 for _ in flat.shape)), density, flat)
        return torch.where(good[:, None], start, torch.zeros_like(start)), density

    def _descend(
        self, dual: Dual, mu: Tensor, theta: Tensor, density: Tensor, residual: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One Newton step, halved until D falls by enough: new theta and its density."""
        step = dual.newton_step(density, residual)
        slope = (residual * step).sum(1)
        bound = dual.value(mu, theta, density)
        new = theta + step
        density = dual.density(new)
        decrease = SUFFICIENT * slope
        bad = (slope.abs() >= FLAT) & ~(dual.value(mu, new, density) <= bound + decrease)
        for _ in range(HALVINGS):
            if not bad.any():
                break
            rows = torch.nonzero(bad)[:, 0]
            some = dual.take(rows)
            step[rows], decrease[rows] = 0.5 * step[rows], 0.5 * decrease[rows]
            new[rows] = theta[rows] + step[rows]
            density[rows] = some.density(new[rows])
            after = some.value(mu[rows], new[rows], density[rows])
            bad[rows] = ~(after <= bound[rows] + decrease[rows])
        return new, density


@dataclass(frozen=True)
class ExponentialDual:
    """D and its derivatives; `density` (M, n) is exp(theta.phi) w.

    Args:
        phi, measure: phi (n, P) and w (n,), the same for all cells.
        gamma: regularisation.
        friction: F (P, P), or None if there is none.
        strength: s of the cells (M,).
    """

    phi: Tensor
    measure: Tensor
    gamma: float
    friction: Tensor | None = None
    strength: Tensor | None = None

    @property
    def equilibrium(self) -> tuple[Tensor, Tensor]:
        return self.measure.sum(), self.measure

    def take(self, rows: Tensor) -> ExponentialDual:
        if self.strength is None:
            return self
        part = replace(self, strength=self.strength[rows])
        part.__dict__["products"] = self.products  # computed once
        return part

    @cached_property
    def products(self) -> tuple[Tensor, Tensor]:
        """phi_i phi_j for i <= j (n, P(P+1)/2), and where each (i, j) of P^2 is among them."""
        P = self.phi.shape[1]
        i, j = torch.triu_indices(P, P, device=self.phi.device)
        place = torch.zeros((P, P), dtype=torch.long, device=self.phi.device)
        place[i, j] = place[j, i] = torch.arange(len(i), device=self.phi.device)
        return self.phi[:, i] * self.phi[:, j], place.flatten()

    def density(self, theta: Tensor) -> Tensor:
        return torch.exp((theta @ self.phi.T).clamp(max=MAX_EXPONENT)) * self.measure

    def value(self, mu: Tensor, theta: Tensor, density: Tensor) -> Tensor:
        return density.sum(1) - (theta * (mu - 0.5 * self._drawn(theta))).sum(1)

    def gradient(self, mu: Tensor, theta: Tensor, density: Tensor) -> Tensor:
        return density @ self.phi - mu + self._drawn(theta)

    def _drawn(self, theta: Tensor) -> Tensor:
        """(gamma + s F) theta."""
        if self.friction is None or self.strength is None:
            return self.gamma * theta
        return self.gamma * theta + self.strength[:, None] * (theta @ self.friction)

    def newton_step(self, density: Tensor, gradient: Tensor) -> Tensor:
        """-(H + floor)^-1 gradient."""
        P = self.phi.shape[1]
        products, place = self.products
        hessian = (density @ products)[:, place].view(-1, P, P)
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        # Round-off of the sum, not physics: a density that is all but a delta has a singular H.
        diagonal += self.gamma + 1e-14 * diagonal.amax(1, keepdim=True)
        if self.friction is not None and self.strength is not None:
            hessian += self.strength[:, None, None] * self.friction
        L, _ = torch.linalg.cholesky_ex(hessian)
        return -torch.cholesky_solve(gradient[:, :, None], L)[:, :, 0]
