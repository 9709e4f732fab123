"""Features w(c): orthonormality, parity, bounds, and the two forms in which they are used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from moment_cases import CLOSURES, closure_of

from closures.encoder import Encoder
from closures.features import (
    EXTENT,
    INVARIANTS,
    NODES,
    HermiteFeatures,
    invariants,
    spline_rule,
    trapezoid,
    unit_maxwellian,
)
from closures.splines import SplineBasis

ORTHONORMAL = 1e-11
SPLINES = [name for name in CLOSURES if name.startswith("entropy")]


def starting(odd, even):
    with torch.no_grad():
        return Encoder(odd, even).features()


def shuffled(odd, even, seed):
    """The features of an encoder with random parameters."""
    encoder = Encoder(odd, even)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        return encoder.features()


FEATURES = {
    **{name: closure_of(name).features for name in CLOSURES},
    "hermite-20": HermiteFeatures(20),
    "start": starting(3, 3),
    "random": shuffled(5, 4, seed=0),
    "odd only": shuffled(2, 0, seed=1),
}
each = pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES.keys())


def orthonormality_defect(features):
    """On the nodes of the decoder; for polynomials on nodes that hold their tails."""
    bounded = not isinstance(features, HermiteFeatures)
    c, h = trapezoid(EXTENT, NODES) if bounded else trapezoid(14.0, 4001)
    w = features.matrix(c)
    phi = torch.cat((invariants(c), w), dim=1)
    gram = phi.T @ ((unit_maxwellian(c) * h)[:, None] * w)
    expected = torch.eye(len(gram), dtype=gram.dtype)[:, INVARIANTS:]
    return float((gram - expected).abs().max()) if gram.numel() else 0.0


@each
def test_orthonormal_to_each_other_and_to_the_invariants(features):
    assert orthonormality_defect(features) < ORTHONORMAL


@each
def test_parity(features):
    c = torch.linspace(-8, 8, 333, dtype=torch.float64)
    w = features.matrix(c)
    assert torch.allclose(w.flip(0), features.parity * w, rtol=1e-11, atol=1e-11)
    assert (features.parity.abs() == 1.0).all()


@each
def test_integrate_and_evaluate_agree_with_the_matrix(features):
    generator = torch.Generator().manual_seed(3)
    c = 2 * torch.randn((4, 30), generator=generator, dtype=torch.float64)
    g = torch.randn((4, 30), generator=generator, dtype=torch.float64)
    a = torch.randn((4, features.parity.numel()), generator=generator, dtype=torch.float64)
    w = torch.stack([features.matrix(row) for row in c])
    integrated, values = features.integrate(c, g), features.evaluate(features.combine(a), c)
    scale = float(w.abs().max()) if w.numel() else 1.0
    assert torch.allclose(integrated, (g[:, :, None] * w).sum(1), atol=1e-12 * scale)
    assert torch.allclose(values, (w * a[:, None]).sum(2), atol=1e-12 * scale)


@pytest.mark.parametrize("name", [*SPLINES, "start", "random"])
def test_learned_features_are_bounded(name):
    features = FEATURES[name]
    c = torch.tensor([-1e9, -20.0, 20.0, 1e9], dtype=torch.float64)
    assert features.matrix(c).abs().max() <= features.coefficients.abs().max()
    assert torch.equal(features.matrix(c)[0], features.matrix(c)[1])


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 2**31))
def test_structure_holds_for_every_value_of_the_parameters(odd, even, seed):
    features = shuffled(odd, even, seed)
    assert features.parity.tolist() == [-1.0] * odd + [1.0] * even
    assert orthonormality_defect(features) < ORTHONORMAL
    c = torch.linspace(0, 7, 50, dtype=torch.float64)
    w = features.matrix(c)
    assert torch.allclose(features.matrix(-c), features.parity * w, atol=1e-9 * (1 + w.abs().max()))


@each
def test_derivatives_are_those_of_the_values(features):
    c = torch.linspace(-5.9, 5.9, 37, dtype=torch.float64, requires_grad=True)
    values, slopes = features.matrix(c), features.derivative(c.detach())
    for k in range(values.shape[1]):
        (exact,) = torch.autograd.grad(values[:, k].sum(), c, retain_graph=True)
        scale = float(exact.abs().max())
        assert torch.allclose(slopes[:, k], exact, rtol=0, atol=1e-13 * scale)


def test_hermite_polynomials_are_those_of_numpy():
    c = np.linspace(-4, 4, 50)
    w = HermiteFeatures(6).matrix(torch.as_tensor(c)).numpy()
    for k in range(6):
        n = k + 3
        expected = np.polynomial.hermite_e.HermiteE.basis(n)(c) / np.sqrt(
            float(np.prod(np.arange(1, n + 1)))
        )
        assert np.allclose(w[:, k], expected, rtol=1e-12, atol=1e-12)


def test_no_features_at_all():
    none = HermiteFeatures(0)
    c = torch.zeros((3, 5), dtype=torch.float64)
    assert none.matrix(c[0]).shape == (5, 0)
    assert none.integrate(c, c).shape == (3, 0)
    assert none.evaluate(none.combine(c[:, :0]), c).shape == (3, 5)


@pytest.mark.parametrize("nodes", [31, 47, 49])
def test_few_nodes_integrate_every_spline_over_a_maxwellian(nodes):
    basis = SplineBasis(6.0, 24)
    c, weights = spline_rule(basis, nodes)
    v, h = trapezoid(12.0, 96_001)
    exact = basis.matrix(v).T @ (unit_maxwellian(v) * h)
    assert (basis.matrix(c).T @ weights - exact).abs().max() < 1e-13
    assert weights.min() > 0.0
    assert torch.equal(weights, weights.flip(0))
    plain = unit_maxwellian(c) * (c[1] - c[0])
    assert (basis.matrix(c).T @ plain - exact).abs().max() > 1e-6
