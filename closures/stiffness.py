"""Collisions as fast as a time-stepping method needs them to conduct heat as it should.

Near equilibrium f = M - eps k g: the equation conducts heat, and momentum, by k = 1. A method of
`kinetic.imex` with steps z = dt nu/eps takes for each stage (see `kinetic.imex._hsz2`)

    (I + z A) k = z A~ 1 + K,   K of the step before,   and conducts   phi(z) = sum_j b~_j k_j

times as well: 1 + O(z^2) for short steps, with hsz2 0.96 at z = 1 and 2.55 in the limit. The error
eps |phi - 1| <= 0.07 dt is of first order, and the larger the longer the steps. Collisions r nu/eps
in place of nu/eps, where

    r = phi(r z),

conduct exactly as well as nu/eps should. r = 1 + O(z^2) too, so the order stays what it is, a
convex combination stays one, and the limit z -> inf the same.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from kinetic.imex import TABLEAUX, ImexTableau
from kinetic.moments import Array

LOWEST, HIGHEST, DENSITY = -8.0, 16.0, 32
"""Range of log2 z that is tabulated, beyond which r is constant, and entries for each octave."""


def conduction(tableau: ImexTableau, z: Array) -> Array:
    """phi(z): how well heat is conducted with dt nu/eps = z (n,), 1 being right."""
    explicit, implicit = (matrix[1:, 1:] for matrix in tableau.matrices)
    drive = tableau.matrices[0][1:].sum(1)
    inverse = np.linalg.inv(np.eye(len(implicit)) + z[:, None, None] * implicit)
    forced, kept = z[:, None] * (inverse @ drive), inverse.sum(2)
    # K is what the last relaxation leaves of the last stage.
    before = forced[:, -1] / (1.0 + tableau.correction * z**2 - kept[:, -1])
    stages = forced + kept * before[:, None]
    phi: Array = tableau.matrices[0][-1, 0] * before + stages @ explicit[-1]
    return phi


@cache
def speed_up(name: str) -> Array:
    """r of the method of that name at log2 z = LOWEST + n/DENSITY, read-only."""
    tableau, octaves = TABLEAUX[name], HIGHEST - LOWEST
    # Where phi is known at rz, z is rz / phi.
    inner = np.exp2(np.linspace(LOWEST - 1.0, HIGHEST + 2.0, 4 * int(octaves + 3) * DENSITY))
    phi = conduction(tableau, inner)
    asked = LOWEST + np.arange(int(octaves) * DENSITY + 1) / DENSITY
    table: Array = np.interp(asked, np.log2(inner / phi), phi)
    table.flags.writeable = False
    return table


def sped_up(rate: Tensor, name: str) -> Tensor:
    """r z of z, by linear interpolation of r in log z."""
    table = torch.from_numpy(speed_up(name).copy()).to(rate)
    place = ((rate.log2() - LOWEST) * DENSITY).clamp(0.0, len(table) - 1.0)
    left = place.floor().clamp(max=len(table) - 2.0)
    low, t = left.long(), place - left
    return rate * ((1.0 - t) * table[low] + t * table[low + 1])
