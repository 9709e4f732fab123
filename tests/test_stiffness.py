"""Collisions sped up so that long steps conduct heat as well as short ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closures.fast import method
from closures.runtime import _sped_up
from closures.stiffness import conduction, sped_up
from kinetic.imex import TABLEAUX

RATES = [1e-3, 0.1, 0.7, 3.0, 20.0, 1e3, 1e6]


def conducted(tableau, z, rate):
    """Mean of m over a step of d_t m = 1 - m/eps, m relaxing at `rate` times dt, once it lasts.

    In units of eps = dt/z, by the Shu-Osher form that solvers step in.
    """
    alpha, beta = tableau.shu_osher
    eps, last = 1.0 / z, len(alpha) - 1
    m = np.zeros(len(alpha))
    for _ in range(40 + int(30.0 / z)):
        m[0] = m[last]
        for i in range(1, len(alpha)):
            # L(m) = 1 for every stage.
            m[i] = alpha[i] @ m + beta[i].sum()
            m[i] /= 1.0 + tableau.implicit_diagonal[i] * rate
        m[last] /= 1.0 + tableau.correction * rate**2
    m[0] = m[last]
    return (np.array(tableau.explicit)[-1] @ m) / eps


@pytest.mark.parametrize("name", ["hsz2", "ars222", "ars443"])
@pytest.mark.parametrize("z", RATES)
def test_heat_is_conducted_as_well_as_it_should_be(name, z):
    tableau = TABLEAUX[name]
    rate = float(sped_up(torch.tensor(z, dtype=torch.float64), name))
    assert conducted(tableau, z, rate) == pytest.approx(1.0, abs=6e-5)
    plain = conducted(tableau, z, z)
    assert plain == pytest.approx(conduction(tableau, np.array([z]))[0], abs=1e-9)
    if name == "hsz2" and 0.5 < z < 1e4:
        assert abs(plain - 1.0) > 0.02


@pytest.mark.parametrize("name", TABLEAUX)
def test_kernels_have_the_same_rate(name):
    one = method(TABLEAUX[name], 1.0)
    asked = sped_up(torch.tensor(RATES, dtype=torch.float64), name)
    assert [_sped_up(z, one) for z in RATES] == pytest.approx(asked.tolist(), rel=1e-14)


def test_order_is_two_where_a_step_is_as_long_as_the_mean_free_time():
    z = np.array([0.02, 0.01])
    slow, slower = np.abs(sped_up(torch.tensor(z), "hsz2").numpy() / z - 1.0)
    assert slow / slower == pytest.approx(4.0, rel=0.05)
