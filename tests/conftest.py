"""What every test shares: compiled kernels, single-threaded workers, repeatable examples."""

from __future__ import annotations

import os

# Before numerical libraries are loaded: the suite's workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from closures.fast import warm_up as warm_up_compiled
from kinetic.reference import warm_up
from kinetic.solver import Scheme

hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Fill the cache of compiled kernels before workers start, which would all write to it."""
    in_worker = hasattr(session.config, "workerinput")
    if not in_worker and session.config.getoption("numprocesses", None):
        warm_up(Scheme())
        warm_up_compiled()
