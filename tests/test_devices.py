"""Tensors stay on their device: those of "meta" have no numbers, and do not mix with others."""

from __future__ import annotations

import pytest
import torch

from closures.gas import Gas
from closures.learned import Learned
from closures.library import load
from closures.network.moments import LearnedMoments

META = torch.device("meta")
C = torch.zeros(5, dtype=torch.float64, device=META)


@pytest.mark.parametrize("dimension", [2, 3])
def test_hermite_functions_follow_what_they_are_asked_for(dimension):
    features = load("hermite", 5, gas=Gas(dimension)).features
    theta = torch.zeros(3, 5, dtype=torch.float64, device=META)
    g = torch.zeros(2, 3, 5, dtype=torch.float64, device=META)
    assert features.matrix(C).device == META
    assert features.combine(theta).device == META
    assert features.integrate(C.expand(3, 5), g).device == META


@pytest.mark.parametrize("gas", [Gas(), Gas(2), Gas(2, "boltzmann")], ids=str)
def test_a_closure_that_learns_is_moved_by_no_copy_which_would_take_the_gradients(gas):
    learned = Learned(4, gas).to(META)
    closure = learned.closure().to(META)
    assert closure.dissipation is learned.dissipation
    assert getattr(closure, "friction", None) is learned.friction


@pytest.mark.parametrize("dimension", [1, 2])
def test_moments_of_networks_are_where_their_weights_are(dimension):
    moments = LearnedMoments(3, 8, torch.Generator().manual_seed(0), dimension).to(META)
    assert moments(C).device == META
