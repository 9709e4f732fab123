"""Characteristic speeds of the learned equations: how fast they are, and whether hyperbolic.

In the frame of a cell the equations are d_t V + d_x H = source with V = (U, W), H = (F, G). Their
characteristic speeds are the eigenvalues of dH/dV = (dH/dy)(dV/dy)^(-1), y = (U, m), here by
automatic differentiation. Nothing in the method makes them real.
"""

from __future__ import annotations

import torch
from torch import Tensor

from closures.closure import Frame
from closures.network.closure import NetworkClosure


def characteristic_speeds(
    closure: NetworkClosure, u: Tensor, T: Tensor, m: Tensor, knudsen: Tensor
) -> Tensor:
    """(lambda - u)/sqrt(T) of states of density one: complex, (M, 3 + K)."""
    rho = torch.ones_like(u)
    D = closure.dimension
    y = torch.cat((torch.stack((rho, u, 0.5 * (u * u + D * T)), dim=1), m), dim=1)
    frame = Frame(rho, u, T)
    size = y.shape[1]
    # Rows are independent of each other, so one derivative along each direction serves all.
    columns = []
    for direction in torch.eye(size, dtype=y.dtype):
        along = direction.expand_as(y).contiguous()
        _, derivative = torch.autograd.functional.jvp(
            lambda state: torch.cat(_fields(closure, state, frame, knudsen), dim=1), y, along
        )
        columns.append(derivative)
    J = torch.stack(columns, dim=2)
    dV, dH = J[:, :size], J[:, size:]
    eigenvalues = torch.linalg.eigvals(torch.linalg.solve(dV, dH, left=False))
    return (eigenvalues - u[:, None]) / T.sqrt()[:, None]


def _fields(
    closure: NetworkClosure, y: Tensor, to: Frame, knudsen: Tensor
) -> tuple[Tensor, Tensor]:
    """V and H of y = (U, m) as the frames `to` see them, (M, 3 + K) each."""
    frame, m = Frame.of(y[:, :3], closure.dimension), y[:, 3:]
    rho, u, T = frame.rho, frame.u, frame.T
    q, p = closure.heat(frame, m, knudsen), rho * T + closure.stress(frame, m, knudsen)
    F = torch.stack((rho * u, rho * u * u + p, u * (y[:, 2] + p) + q), dim=1)
    W, G = closure.carried(frame, m, to)
    return torch.cat((y[:, :3], W), dim=1), torch.cat((F, G), dim=1)
