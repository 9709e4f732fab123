"""The table of errors in README.md: what docs/accuracy.py writes from metrics.json."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from fake_closures import SMALL, fake_batch, fake_structure

from closures import comparison
from closures.comparison import CompareConfig, compare
from closures.outcomes import overall

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = runpy.run_path(str(ROOT / "docs/accuracy.py"))


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Metrics of a small comparison in which hermite-3 fails once a family."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "run_batch", fake_batch)
        patch.setattr(comparison, "structure", fake_structure)
        patch.setattr(comparison, "write_report", lambda _: None)
        return compare(SMALL, tmp_path_factory.mktemp("accuracy"), progress=False).metrics()


def rows(metrics: dict[str, Any]) -> dict[str, list[str]]:
    """Return the cells of the table by closure."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in SCRIPT["table"](metrics)]
    assert len({len(line) for line in lines}) == 1
    return {line[0]: line[1:] for line in lines}


def test_a_row_for_each_closure_and_a_column_for_each_family(metrics: dict[str, Any]) -> None:
    found = rows(metrics)
    assert found.pop("closure") == ["wave", "transition", "ms a case"]
    assert list(found) == ["---", "euler", "hermite-3", "entropy", "kinetic"]
    assert found["kinetic"][:2] == ["–", "–"]
    assert float(found["kinetic"][2]) > 0.0
    assert found["euler"][2] == "250"  # the stand-in says 0.25 s
    for name in ("euler", "entropy"):
        for cell, family in zip(found[name], ("wave", "transition"), strict=False):
            mean = overall(metrics["summary"][name][family])
            assert mean is not None
            assert float(cell) == pytest.approx(100 * mean, rel=0.06)  # two digits


def test_failures_are_counted(metrics: dict[str, Any]) -> None:
    assert rows(metrics)["hermite-3"][0].endswith(" (1 failed)")
    lost = metrics["summary"]["hermite-3"]["wave"] | {
        "density": None,
        "momentum": None,
        "energy": None,
        "seconds": None,
        "failed": 2,
    }
    summary = metrics["summary"] | {"hermite-3": {"wave": lost, "transition": lost}}
    assert rows(metrics | {"summary": summary})["hermite-3"] == ["– (2 failed)"] * 2 + ["–"]


def test_the_command_makes_the_same_comparison(metrics: dict[str, Any]) -> None:
    command = SCRIPT["command"](metrics["configuration"])
    assert command.startswith("closures compare cells=12 ")
    assert "compare.families=[wave,transition]" in command
    assert SCRIPT["command"](CompareConfig().to_mapping()) == "closures compare"


def test_a_trained_model_is_called_by_its_run(metrics: dict[str, Any]) -> None:
    trained = metrics["summary"] | {"outputs/reproduce/network/model": metrics["summary"]["euler"]}
    closures = ["euler", "outputs/reproduce/network/model"]
    found = rows(metrics | {"summary": trained, "closures": closures})
    assert found["network"] == found["euler"]


def test_only_what_is_between_the_markers_changes(metrics: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text()
    once = SCRIPT["update"](readme, metrics)
    assert SCRIPT["section"](metrics) in once
    assert SCRIPT["update"](once, metrics) == once
    plane = metrics["configuration"]["velocity"] | {"dim": 2}
    other = metrics | {"configuration": metrics["configuration"] | {"velocity": plane}}
    twice = SCRIPT["update"](once, metrics, other)
    assert "The same with `velocity.dim=2` and `collision=bgk`" in twice
    assert twice.count("| euler |") == 2
    alike = SCRIPT["update"](once, metrics, metrics)
    assert "The same with `velocity.dim=1`" in alike
    assert alike.count("Errors in percent: relative L2 norms") == 1
    begin, end = SCRIPT["BEGIN"], SCRIPT["END"]
    assert once.partition(begin)[0] == readme.partition(begin)[0]
    assert once.partition(end)[2] == readme.partition(end)[2]
    with pytest.raises(ValueError, match="lacks"):
        SCRIPT["update"]("# Title", metrics)
