"""The benchmark of rough gases and long runs: its profiles, and what it says of a closure."""

from __future__ import annotations

import runpy
from typing import Any

import numpy as np
import pytest

from kinetic.config import FAMILIES
from kinetic.errors import NonPhysicalState
from kinetic.problems import cell_centers, draw
from kinetic.resources import config_dir


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(config_dir().parent / "benchmarks/robustness.py"))


@pytest.mark.parametrize("family", FAMILIES)
def test_profiles_are_stronger_about_what_they_vary_around(
    script: dict[str, Any], family: str
) -> None:
    profile, _ = draw(family, 7)
    x = cell_centers(200)
    assert script["stronger"](profile, 1.0) == profile
    weak, strong = (script["stronger"](profile, a).components(x) for a in (1.0, 1.5))
    flat = script["stronger"](profile, 0.0).components(x)
    for fields in zip(weak, strong, flat, strict=True):
        for q, q_strong, q_flat in zip(*fields, strict=True):
            assert np.ptp(q_flat) < 1e-12
            assert np.allclose(q_strong - q_flat, 1.5 * (q - q_flat), atol=1e-12)


def test_it_says_how_closures_fare(script: dict[str, Any]) -> None:
    states = [script["state_of"]("wave", seed, 1.5) for seed in range(2)]
    found = script["outcomes"]("entropy-6-fast", states, 0.02)
    assert all(one.error < 2e-3 for one in found)
    assert all(one.drift < 1e-13 for one in found)
    assert all(script["decay"](one.solution) < 1.0 for one in found)
    failure = NonPhysicalState(0.01, 3, {"T": -1.0}, "cold")
    said = "\n".join(script["lines"]([*found, failure]))
    assert "1 of 3 failed" in said
    assert "profile 2: " in said
