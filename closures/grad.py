"""Grad's method where collisions are those of Maxwell molecules: moments that decay each at its own
rate, and make others. See `closures.maxwell` for the production, which is that of f_hat itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closures.finite_volume import FiniteVolume, Scheme, State
from closures.maxwell import MaxwellCollisions
from closures.reduced import ReducedClosure
from closures.stiffness import sped_up
from kinetic.collisions import BGK


@dataclass(frozen=True, kw_only=True)
class GradClosure(ReducedClosure):
    """A `ReducedClosure` of Hermite moments, D = 2, that brings the solver of its collisions."""

    collisions: MaxwellCollisions

    def to(self, device: torch.device) -> GradClosure:
        if device == self.device:
            return self
        return replace(self, collisions=self.collisions.to(device), device=device)

    def solver(
        self, knudsen: Tensor, collision: BGK, boundary: str, scheme: Scheme
    ) -> FiniteVolume:
        """`FiniteVolume` with these collisions."""
        return _GradVolume(self, knudsen, collision, boundary, scheme)


class _GradVolume(FiniteVolume):
    closure: GradClosure

    def _relax(self, state: State, dt: Tensor, weight: float, correction: float) -> State:
        rho, T = (field.view_as(self.knudsen) for field in (state.frame.rho, state.frame.T))
        rate = sped_up(dt[:, None] / self._mean_free_time(rho, T), self.scheme.time).flatten()
        m = self.closure.collisions.relaxed(state.m, weight * rate, correction * rate**2)
        return self.decode(state.U, m, state.theta)
