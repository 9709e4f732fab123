"""What users of comparable tools complain about and like, and the tests that show it is otherwise.

`COMPLAINTS` is the index: for each, the tests that would fail if it were true of this project. What
no other test shows is tested below.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import closures
from closures import comparison, joined, metrics
from closures.cli import main as closures_main
from closures.features import invariants
from closures.library import MomentClosure, load
from closures.resources import closures_dir

ROOT = Path(__file__).resolve().parent.parent

COMPLAINTS = {
    "a sweep cannot be resumed, job numbers restart at 0": [
        "test_cli::test_a_sweep_is_resumed_by_the_same_command",
        "test_jobs::test_what_is_done_is_not_repeated",
        "test_jobs::test_a_damaged_record_is_not_taken_for_done",
    ],
    "a restart throws away finished labels": [
        "test_dataset::test_killed_run_goes_on_to_the_same_bits",
        "test_learn::test_a_killed_run_goes_on_to_the_same_bits",
        "test_learn::test_labels_are_shared_by_what_is_in_them",
        "test_comparison::test_a_killed_comparison_goes_on_where_it_was",
    ],
    "a crashed task is skipped in silence": [
        "test_dataset::test_failures_are_reported_kept_and_tried_again",
        "test_learn::test_failures_are_listed_and_retried_on_request",
        "test_comparison::test_a_failure_is_counted_with_its_reason_and_stops_nothing",
        "test_joined::test_a_run_that_failed_is_listed_with_its_reason",
    ],
    "thresholds that fit no system, NaN deviations, no end, everything fails in round one": [
        "test_learn_selection::test_levels_are_quantiles_of_each_decade",
        "test_learn_selection::test_a_member_without_a_solution_is_infinite_and_says_when",
        "test_learn_selection::test_gases_are_accurate_candidates_or_failed",
        "test_learn_selection::test_a_run_stops_for_its_reasons",
        "test_learn::test_status_is_that_of_a_run_that_goes_on",
    ],
    "keys renamed, unclear configuration": [
        "test_conf::test_every_key_is_explained",
        "test_conf::test_the_reference_of_keys_is_up_to_date",
        "test_cli::test_what_hydra_refuses_is_told_in_one_line",
        "test_snapshots::test_what_is_none_is_refused",
        "test_output::test_damaged_file_is_refused",
    ],
    "a solver restart breaks or depends on the process count": [
        "test_closures_solve::test_restart_is_the_straight_run_bit_for_bit",
        "test_problem_file::test_interrupted_run_equals_the_straight_run_to_the_bit",
        "test_solver::test_restart_from_a_snapshot_is_bit_for_bit_the_straight_run",
        "test_dataset::test_workers_do_not_change_the_result",
    ],
    "a training restart breaks": [
        "test_training::test_an_interrupted_run_goes_on_to_the_same_bits",
        "test_training::test_a_killed_run_goes_on_to_the_same_bits",
        "test_network_training::test_an_interrupted_run_ends_with_the_same_bits",
    ],
    "seeds do not reproduce": [
        "test_training::test_the_bits_depend_on_the_seed_alone",
        "test_kinetic_api::test_same_configuration_gives_the_same_bits",
        "test_cli::test_the_command_line_and_python_give_the_same_bits",
        "test_comparison::test_the_same_configuration_gives_the_same_metrics",
    ],
    "normalisation applied in training but not in use; published weights score worse": [
        "test_users::test_a_model_needs_nothing_but_its_directory",
        "test_users::test_the_moments_of_a_model_are_normalised_in_it",
        "test_users::test_one_metric_states_all_errors",
    ],
    "the code differs from the paper; missing configurations": [
        "test_conf::test_every_experiment_runs_when_it_is_small",
        "test_conf::test_everything_that_can_be_reproduced_is",
        "test_reproduce::test_all_experiments_are_run_and_collected",
    ],
    "a pip install that cannot import": [
        "test_packaging::test_an_installed_program_solves",
        "test_packaging::test_the_installed_packages_are_not_those_of_the_checkout",
    ],
    "examples missing or broken": [
        "test_docs::test_every_block_of_a_page_runs",
        "test_docs::test_what_a_page_links_to_exists",
        "test_docs::test_the_targets_of_make_that_a_page_names_exist",
    ],
    "a launcher that blocks": ["test_users::test_that_launchers_wait_is_documented_and_how_not_to"],
}

LIKED = {
    "frames to restart from, with metadata in every file": [
        "test_data_format::test_variables_and_attributes_of_a_solution",
        "test_closures_solve::test_restart_is_the_straight_run_bit_for_bit",
    ],
    "a folder for each run that holds what made it": [
        "test_users::test_a_run_keeps_what_made_it",
    ],
    "reference figures in the repository": ["test_users::test_reference_figures_are_kept"],
    "labelled arrays": ["test_output::test_xarray_reads_it_back_without_a_warning"],
    "a status table for long loops": ["test_learn::test_status_is_that_of_a_run_that_goes_on"],
    "small base installs": [
        "test_imports::test_the_reference_solver_runs_without_torch_hydra_and_matplotlib",
        "test_imports::test_a_module_imports_only_what_its_package_may",
    ],
    "data loaders that know what they hold": [
        "test_dataset::test_xarray_reads_it_without_a_warning",
        "test_data_format::test_arrays_and_attributes_of_a_data_set",
    ],
    "one table that compares baselines": [
        "test_accuracy::test_a_row_for_each_closure_and_a_column_for_each_family",
        "test_report::test_the_tables_state_the_summary",
    ],
}


def shown() -> list[tuple[str, str]]:
    """Return every complaint or liking with each test that shows it."""
    return [(claim, test) for claim, tests in (COMPLAINTS | LIKED).items() for test in tests]


def marks(test: ast.FunctionDef) -> str:
    """Return the decorators of a test as text."""
    return " ".join(map(ast.unparse, test.decorator_list))


@pytest.mark.parametrize(("claim", "test"), shown(), ids=lambda one: one.partition("::")[2] or one)
def test_what_shows_it_is_a_test(claim: str, test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / "tests" / f"{file}.py").read_text())
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name in found, claim
    assert "skip" not in marks(found[name])


def test_a_model_needs_nothing_but_its_directory(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(closures_dir() / "entropy-d1-bgk-k6", copy)
    problem = {"problem": "mix", "cells": 12, "time": {"end": 0.01, "snapshots": 2}}
    named = closures.solve(**problem, closure="entropy")
    read = closures.solve(**problem, closure={"name": "model", "path": str(copy)})
    for name, variable in named.data_vars.items():
        np.testing.assert_array_equal(variable.values, read[name].values)


@pytest.mark.parametrize("moments", [6, 9, 12, 16])
def test_the_moments_of_a_model_are_normalised_in_it(moments: int) -> None:
    closure = load("entropy", moments)
    assert isinstance(closure, MomentClosure)
    w = closure.features.matrix(closure.c)
    weighted = closure.measure[:, None] * w
    assert float((w.T @ weighted - torch.eye(moments)).abs().max()) < 1e-9
    assert float((invariants(closure.c).T @ weighted).abs().max()) < 1e-9


def test_one_metric_states_all_errors() -> None:
    assert comparison.errors is metrics.errors
    assert joined.errors is metrics.errors
    norms = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "closures").rglob("*.py")
        if re.search(r"^def relative_l2\b", path.read_text(), re.MULTILINE)
    ]
    assert norms == ["closures/metrics.py"]


def test_a_run_keeps_what_made_it(tmp_path: Path) -> None:
    small = ["problem=wave", "cells=8", "time.end=0.01", "time.snapshots=2"]
    assert closures_main(["solve", *small, f"hydra.run.dir={tmp_path}"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {".hydra", "solution.zarr", "status.json"}
    assert "cells=8" in (tmp_path / ".hydra" / "overrides.yaml").read_text()
    assert "cells: 8" in (tmp_path / ".hydra" / "config.yaml").read_text()
    assert json.loads((tmp_path / "status.json").read_text())["status"] == 0


def test_reference_figures_are_kept() -> None:
    figures = ROOT / "docs" / "figures"
    pages = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    shown = re.findall(r"\]\((?:\.\./)?(figures/[^)]+)\)", pages)
    assert shown
    kept = {path.relative_to(ROOT / "docs").as_posix() for path in figures.glob("*.png")}
    assert set(shown) == kept


def test_that_launchers_wait_is_documented_and_how_not_to() -> None:
    page = (ROOT / "docs" / "how-to" / "cluster.md").read_text().lower()
    assert "process waits" in " ".join(page.split())
    assert "nohup" in page
    assert "--multirun" in page
