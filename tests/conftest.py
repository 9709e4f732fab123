"""What every test shares: compiled kernels, single-threaded workers, repeatable examples."""

from __future__ import annotations

import os

# Before numerical libraries are loaded: the suite's workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from closures.outcomes import Comparison

hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


KERNELS = (
    """
from kinetic.reference import warm_up
from kinetic.solver import Scheme
warm_up(Scheme())
warm_up(Scheme(), dim=2)
from closures.fast import warm_up
warm_up()
""",
    """
import closures
small = {"cells": 8, "time": {"end": 1e-3, "snapshots": 2}, "velocity": {"dim": 2}}
fast = {"name": "entropy", "moments": 9, "fast": True}
closures.solve(problem={"name": "mix", "seed": 0}, closure=fast, **small)
""",
)
"""Programs that compile what many tests use, each about as long as the other."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Fill the cache of compiled kernels before workers start, which would all write to it."""
    in_worker = hasattr(session.config, "workerinput")
    if not in_worker and session.config.getoption("numprocesses", None):
        running = [subprocess.Popen([sys.executable, "-c", program]) for program in KERNELS]
        for one in running:
            assert one.wait() == 0


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A small comparison of stand-ins with its report, which the tests of reports share."""
    from fake_closures import SMALL, fake_batch, fake_structure, with_history

    from closures import comparison

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "run_batch", fake_batch)
        patch.setattr(comparison, "structure", fake_structure)
        patch.setattr(comparison, "parse", with_history)
        config = SMALL | {"time": {"end": 0.02, "snapshots": 4}}
        return comparison.compare(config, tmp_path_factory.mktemp("comparison"), progress=False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long and is tested elsewhere: drawing figures, measuring structure."""
    from fake_closures import fake_structure

    from closures import comparison
    from closures.report.style import Drawing

    def draw(drawing: Drawing, folder: Path) -> str:
        (folder / f"{drawing.name}.png").touch()
        return "<svg></svg>"

    monkeypatch.setattr(Drawing, "save", draw)
    monkeypatch.setattr(comparison, "structure", fake_structure)
