"""Reconstructions: f of the reference, encoded to the moments of a closure and decoded again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from closures.closure import Closure, Frame, spacing
from closures.metrics import Array
from closures.reduced_samples import reduce, reduced_frame
from closures.samples import local_frame
from kinetic.maxwellian import maxwellian
from kinetic.moments import conserved

#: Half width of the velocities shown, in thermal speeds of the cell.
WINDOW = 4.5


@dataclass(frozen=True)
class Sample:
    """f in one cell, its local Maxwellian and its reconstructions.

    Attributes:
        label: why this cell was chosen.
        x: centre of the cell.
        deviation: int |f - M| dv / rho.
        v: velocities, shape (n,).
        f, maxwellian: the distribution and M[rho, u, T], shape (n,).
        reconstructions: closure -> f_hat, shape (n,); NaN where no f_hat has the moments.
        window: velocities between which there is something to see.
    """

    label: str
    x: float
    deviation: float
    v: Array
    f: Array
    maxwellian: Array
    reconstructions: dict[str, Array]
    window: tuple[float, float]


@torch.no_grad()
def reconstruct(closure: Closure, state: xr.Dataset) -> Array:
    """Return f_hat = Phi(U, Psi(f)) at the velocities of f along x, shape (x, v).

    f is integrated on the nodes of the closure, as in its solver, not on the coarser ones of f. In
    more than one dimension it is f_hat integrated across the flow that is returned.

    Args:
        closure: what encodes (Psi) and decodes (Phi).
        state: one time of a solution with its ``distribution``.
    """
    dimension, c = closure.dimension, closure.c
    v = _along(state)
    rho, u, T = (state[name].values for name in ("density", "velocity", "temperature"))
    frame = Frame.of(torch.as_tensor(conserved(rho, u, T, dimension)), dimension)
    nodes = frame.u[:, None] + frame.T.sqrt()[:, None] * c
    scale = frame.rho[:, None] * spacing(closure)
    f = state["distribution"].values.astype(float)
    if dimension == 1:
        masses = torch.as_tensor(local_frame(f, v, c.numpy())) * scale
    else:
        parts = reduced_frame(reduce(f, v, dimension), v, c.numpy(), dimension)
        g, tau = (torch.as_tensor(one) for one in parts)
        masses = g * scale
        masses = torch.stack((masses, masses * tau * ((dimension - 1) * frame.T[:, None])))
    moments = closure.encode(frame, nodes, masses)
    knudsen = torch.tensor(state["knudsen"].values)
    theta, found = closure.decode(moments, knudsen)
    f_hat = closure.distribution(frame, theta)(torch.tensor(v).expand(len(f), -1))
    f_hat = f_hat if dimension == 1 else f_hat[0]
    return torch.where(found[:, None], f_hat, torch.nan).numpy()


def samples(closures: Mapping[str, Closure], state: xr.Dataset) -> list[Sample]:
    """Choose the cells where f deviates from its Maxwellian most, typically and least.

    Args:
        closures: those that carry moments, by name.
        state: one time of a reference solution with its ``distribution``.
    """
    v = _along(state)
    f = _marginal(state, v)
    rho, u, T = (state[name].values[:, None] for name in ("density", "velocity", "temperature"))
    M = maxwellian(rho, u, T, v)
    deviation = np.abs(f - M).sum(axis=1) * (v[1] - v[0]) / rho[:, 0]
    order = np.argsort(deviation, kind="stable")
    chosen = {"largest": order[-1], "median": order[len(order) // 2], "smallest": order[0]}
    f_hat = {name: reconstruct(closure, state) for name, closure in closures.items()}
    return [
        Sample(
            f"{label} deviation",
            float(state["x"][cell]),
            float(deviation[cell]),
            v,
            f[cell],
            M[cell],
            {name: values[cell] for name, values in f_hat.items()},
            _window(u[cell, 0], T[cell, 0]),
        )
        for label, cell in chosen.items()
    ]


def _along(state: xr.Dataset) -> Array:
    """The velocities of f along x."""
    values: Array = state["v" if "v" in state else "v1"].values
    return values


def _marginal(state: xr.Dataset, v: Array) -> Array:
    """f integrated across the flow, shape (x, v)."""
    f: Array = state["distribution"].values
    if f.ndim == 2:
        return f
    return reduce(f, v, 2 if "v2" in state else 3)[0]


def _window(u: float, T: float) -> tuple[float, float]:
    reach = WINDOW * float(np.sqrt(T))
    return float(u) - reach, float(u) + reach
