"""The maximum-entropy problem: of all densities with given moments, the one of largest entropy.

With measure w_n = Mc(c_n) dc_n and functions phi (n, P), the density exp(theta.phi) Mc has the moments mu when theta
minimises the strictly convex dual function (Levermore, J. Stat. Phys. 83 (1996) 1021, eq. 5.3)

    D(theta) = sum_n w_n exp(theta.phi_n) - theta.mu + gamma/2 |theta|^2.

phi is orthonormal under w, so the Hessian is the unit matrix at equilibrium (theta = 0) and Newton's method is well
scaled. Each step is shortened until D decreases (Armijo), so the iteration cannot diverge; gamma > 0 bounds D from
below for every mu, realizable or not, so a minimum always exists.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_EXPONENT = 60.0
"""theta.phi is cut here: exp(60) is beyond any density that a search direction can usefully try."""


@dataclass(frozen=True)
class DualSolver:
    """Damped Newton for many duals at once.

    tolerance: largest residual |<phi> - mu| accepted; regularization: gamma; iterations: the most Newton
    steps tried before `solve` reports the cells that did not converge.
    """

    tolerance: float = 1e-9
    regularization: float = 1e-9
    iterations: int = 60

    def solve(self, phi: Tensor, measure: Tensor, mu: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """theta (M, P) for moments mu (M, P) from `start`, and which of the M converged (bool)."""
        theta = self._better_start(phi, measure, mu, start)
        todo = torch.arange(mu.shape[0], device=mu.device)
        converged = torch.ones(mu.shape[0], dtype=torch.bool, device=mu.device)
        for _ in range(self.iterations):
            density, residual = self._gradient(phi, measure, mu[todo], theta[todo])
            open_ = residual.abs().amax(1) > self.tolerance
            if not open_.any():
                return theta, converged
            todo, density, residual = todo[open_], density[open_], residual[open_]
            step = self._newton_step(phi, density, residual)
            theta[todo] = self._descend(phi, measure, mu[todo], theta[todo], residual, step)
        _, residual = self._gradient(phi, measure, mu[todo], theta[todo])
        converged[todo] = residual.abs().amax(1) <= self.tolerance
        return theta, converged

    def value(self, phi: Tensor, measure: Tensor, mu: Tensor, theta: Tensor) -> Tensor:
        """D(theta), (M,)."""
        density = torch.exp((theta @ phi.T).clamp(max=MAX_EXPONENT)) @ measure
        return density - (theta * mu).sum(1) + 0.5 * self.regularization * (theta * theta).sum(1)

    def _better_start(self, phi: Tensor, measure: Tensor, mu: Tensor, start: Tensor) -> Tensor:
        """`start` where it is no worse than equilibrium, else equilibrium: old values may be far off."""
        at_start = self.value(phi, measure, mu, start)
        good = at_start <= measure.sum()
        return torch.where(good[:, None], start, torch.zeros_like(start))

    def _gradient(
        self, phi: Tensor, measure: Tensor, mu: Tensor, theta: Tensor
    ) -> tuple[Tensor, Tensor]:
        density = torch.exp((theta @ phi.T).clamp(max=MAX_EXPONENT)) * measure
        return density, density @ phi - mu + self.regularization * theta

    def _newton_step(self, phi: Tensor, density: Tensor, residual: Tensor) -> Tensor:
        P = phi.shape[1]
        products = (phi[:, :, None] * phi[:, None, :]).reshape(-1, P * P)
        hessian = (density @ products).reshape(-1, P, P)
        # Round-off of the sum, not physics: keeps the factorisation alive where a density is all but a delta.
        floor = self.regularization + 1e-14 * hessian.diagonal(dim1=1, dim2=2).amax(1)
        hessian = hessian + floor[:, None, None] * torch.eye(P, dtype=phi.dtype, device=phi.device)
        L, _ = torch.linalg.cholesky_ex(hessian)
        return -torch.cholesky_solve(residual[:, :, None], L)[:, :, 0]

    def _descend(
        self, phi: Tensor, measure: Tensor, mu: Tensor, theta: Tensor, residual: Tensor, step: Tensor
    ) -> Tensor:
        """Halve the step until D falls by a quarter of what its slope promises."""
        slope = (residual * step).sum(1)
        before = self.value(phi, measure, mu, theta)
        # Close to the minimum D cannot be told from its minimum in floating point; Newton is safe there.
        safe = slope.abs() < 1e-10
        length = torch.ones_like(slope)
        for _ in range(40):
            after = self.value(phi, measure, mu, theta + length[:, None] * step)
            bad = ~safe & ~(after <= before + 0.25 * length * slope)
            if not bad.any():
                break
            length = torch.where(bad, 0.5 * length, length)
        return theta + length[:, None] * step
