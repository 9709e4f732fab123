"""Reconstructions: f of the reference, encoded to the moments of a closure and decoded again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from closures.closure import Closure, Frame
from closures.metrics import Array
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
    """Return f_hat = Phi(U, Psi(f)) at the velocities of f, shape (x, v).

    f is integrated on the nodes of the closure, as in its solver, not on the coarser ones of f.

    Args:
        closure: what encodes (Psi) and decodes (Phi).
        state: one time of a solution with its ``distribution``.
    """
    f, v = state["distribution"].values, state["v"].values
    rho, u, T = (state[name].values for name in ("density", "velocity", "temperature"))
    frame = Frame.of(torch.as_tensor(conserved(rho, u, T)))
    c = closure.c
    g = torch.as_tensor(local_frame(f, v, c.numpy()))
    nodes = frame.u[:, None] + frame.T.sqrt()[:, None] * c
    moments = closure.encode(frame, nodes, frame.rho[:, None] * g * (c[1] - c[0]))
    knudsen = torch.tensor(state["knudsen"].values)
    theta, found = closure.decode(moments, knudsen)
    f_hat = closure.distribution(frame, theta)(torch.tensor(v).expand(len(f), -1))
    return torch.where(found[:, None], f_hat, torch.nan).numpy()


def samples(closures: Mapping[str, Closure], state: xr.Dataset) -> list[Sample]:
    """Choose the cells where f deviates from its Maxwellian most, typically and least.

    Args:
        closures: those that carry moments, by name.
        state: one time of a reference solution with its ``distribution``.
    """
    f, v = state["distribution"].values, state["v"].values
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


def _window(u: float, T: float) -> tuple[float, float]:
    reach = WINDOW * float(np.sqrt(T))
    return float(u) - reach, float(u) + reach
