"""`make reproduce`: which commands it runs, and what it writes of what they leave."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from closures.outcomes import Comparison
from kinetic.resources import config_dir

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script, its README and its folders below a temporary one."""
    names = runpy.run_path(str(ROOT / "docs" / "reproduce.py"))
    shared = names["main"].__globals__
    shutil.copy(ROOT / "README.md", tmp_path / "README.md")
    changed = {
        "README": tmp_path / "README.md",
        "FIGURES": tmp_path / "figures",
        "OUTPUTS": tmp_path / "outputs",
    }
    for name, value in changed.items():
        monkeypatch.setitem(shared, name, value)
    return shared


class Programs:
    """Stand-ins for the programs, which leave the results of a small comparison."""

    def __init__(self, compared: Comparison, status: int = 0) -> None:
        self.compared, self.status = compared, status
        self.commands: list[list[str]] = []

    def __call__(self, words: list[str]) -> int:
        self.commands.append(words)
        if words[0] == "compare" and not self.status:
            folder = Path(words[-1].removeprefix("hydra.run.dir="))
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            shutil.copy(self.compared.folder / "metrics.json", folder)
            for path in (self.compared.folder / "figures").glob("*.png"):
                shutil.copy(path, folder / "figures")
        return self.status


def test_all_experiments_are_run_and_collected(
    script: dict[str, Any], compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(compared)
    monkeypatch.setitem(script, "PROGRAMS", dict.fromkeys(("kinetic", "closures"), programs))
    assert script["main"]([]) == 0
    kinds = [words[0] for words in programs.commands]
    experiments = sorted((config_dir() / "experiment").glob("*.yaml"))
    assert kinds == ["dataset", *["train"] * 3, *["compare"] * len(experiments)]
    readme = script["README"].read_text()
    assert readme.count("| hermite-3 |") == len(script["TABLES"])
    assert (script["FIGURES"] / "table_line-errors.png").is_file()


def test_one_experiment_writes_its_figures_and_no_tables(
    script: dict[str, Any], compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(compared)
    monkeypatch.setitem(script, "PROGRAMS", {"closures": programs})
    assert script["main"](["table_plane"]) == 0
    assert [words[1] for words in programs.commands] == ["+experiment=table_plane"]
    assert {path.name for path in script["FIGURES"].iterdir()} == {"table_plane-errors.png"}
    assert script["README"].read_text() == (ROOT / "README.md").read_text()


def test_what_is_done_is_repeated_only_if_it_is_made_of_something_else(
    script: dict[str, Any], compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(compared)
    monkeypatch.setitem(script, "PROGRAMS", {"closures": programs})
    chosen = ["table_plane", "table_boltzmann"]
    for _ in range(2):
        assert script["main"](chosen) == 0
        assert len(programs.commands) == 2
    monkeypatch.setitem(script, "package_version", lambda: "another")
    assert script["main"](chosen[:1]) == 0
    assert len(programs.commands) == 3


def test_a_model_that_is_trained_anew_is_compared_anew(
    script: dict[str, Any], tmp_path: Path
) -> None:
    digest = script["_digest"]
    assert digest(tmp_path / "euler") is None
    weights = tmp_path / "model" / "weights.safetensors"
    weights.parent.mkdir()
    found = [weights.write_bytes(content) and digest(weights.parent) for content in (b"a", b"b")]
    assert len(set(found)) == 2


def test_a_step_that_fails_ends_it(
    script: dict[str, Any], compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(compared, status=3)
    monkeypatch.setitem(script, "PROGRAMS", {"closures": programs})
    assert script["main"](["table_plane", "table_line"]) == 3
    assert len(programs.commands) == 1
    assert not script["FIGURES"].exists()
