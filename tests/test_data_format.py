"""docs/data-format.md says of every file exactly what is in one that is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
import zarr
from fake_closures import SMALL, fake_batch, fake_structure

import closures
import kinetic
from closures import comparison
from closures.outcomes import Comparison
from kinetic.commandline import Command
from kinetic.jobs import RECORD, Job

PAGE = (Path(__file__).resolve().parent.parent / "docs/data-format.md").read_text()
ONE = {"cells": 8, "time": {"end": 0.01, "snapshots": 2}}
Row = tuple[list[str], str, list[str]]


def rows(section: str, heading: str) -> Iterator[Row]:
    """Yield names, remark and further cells of a table, by its section and its first heading.

    "| `a`, `b`, optional | x |" is (["a", "b"], "optional", ["x"]).
    """
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (body,) = (part for part in text if part.startswith(section + "\n"))
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", body, re.MULTILINE)
    assert table is not None
    for line in table[1].splitlines():
        first, *others = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        names = re.findall(r"`([^`]+)`", first.partition(", with ")[0])
        remark = re.sub(r"`[^`]+`,?", "", first.partition(", with ")[0]).strip()
        yield names, remark or first.partition(", with ")[2], others


def named(section: str, heading: str, *left_out: str) -> set[str]:
    """Return the names in a table, without the rows of some remarks."""
    return {
        name
        for names, remark, _ in rows(section, heading)
        if remark not in left_out
        for name in names
    }


@pytest.fixture(scope="module")
def solutions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, xr.Dataset]:
    """Solutions as they are read from disk: of the kinetic equation, in full, and of a closure."""
    folder = tmp_path_factory.mktemp("solutions")
    made = {
        "plain": kinetic.solve(**ONE),
        "full": kinetic.solve(**ONE, output={"distribution": True}),
        "closure": closures.solve(**ONE, closure={"name": "hermite", "moments": 3}),
        "fast": closures.solve(**ONE, closure={"name": "entropy", "fast": True}),
        "hybrid": closures.solve(**ONE, hybrid={"threshold": 0.01}),
    }
    for name, solution in made.items():
        kinetic.write_solution(solution, folder / name)
    return {name: xr.open_zarr(folder / name) for name in made}


WITHOUT = {
    "plain": ("optional", "closures only", "fast closures only", "hybrid only", "`distribution`"),
    "full": ("closures only", "fast closures only", "hybrid only"),
    "closure": ("optional", "fast closures only", "hybrid only", "`distribution`"),
    "fast": ("optional", "hybrid only", "`distribution`"),
    "hybrid": ("optional", "fast closures only", "`distribution`"),
}


@pytest.mark.parametrize("kind", WITHOUT)
def test_variables_and_attributes_of_a_solution(
    kind: str, solutions: dict[str, xr.Dataset]
) -> None:
    found = solutions[kind]
    assert named("solution.zarr", "variable", *WITHOUT[kind]) == set(found.variables)
    assert named("solution.zarr", "attribute", *WITHOUT[kind]) == set(found.attrs)
    for (name, *_), _, (dimensions, kind_of_number, _) in rows("solution.zarr", "variable"):
        if name in found.variables:
            assert found[name].dims == tuple(dimensions.split(", ")), name
            assert found[name].dtype == kind_of_number, name


def test_the_closure_is_described_as_the_page_says(solutions: dict[str, xr.Dataset]) -> None:
    assert set(json.loads(solutions["closure"].attrs["closure"])) == {"name", "moments", "probe"}
    assert f"`{solutions['plain'].attrs['schema_version']}`" in PAGE


def test_arrays_and_attributes_of_a_data_set(tmp_path: Path) -> None:
    path = tmp_path / "dataset.zarr"
    kinetic.generate(ONE | {"dataset": {"trajectories": 2, "workers": 1}}, path, progress=False)
    store = zarr.open_group(path, mode="r")
    assert named("dataset.zarr", "array") == set(store.array_keys())
    assert named("dataset.zarr", "attribute") == set(store.attrs)
    for names, _, (dimensions, kind_of_number, chunk, _) in rows("dataset.zarr", "array"):
        for name in names:
            array: Any = store[name]
            expected = (name,) if dimensions == "themselves" else tuple(dimensions.split(", "))
            assert array.metadata.dimension_names == expected, name
            assert array.dtype == kind_of_number, name
            first = array.shape[0] if chunk == "whole" else 1
            assert array.chunks == (first, *array.shape[1:]), name


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Contents of metrics.json of a small comparison in which a closure fails."""
    folder = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(comparison, "run_batch", fake_batch)
        patched.setattr(comparison, "structure", fake_structure)
        patched.setattr(comparison, "write_report", lambda _: None)
        some = {"closures": ["hermite-3"], "families": ["wave", "transition"], "cases": 2}
        comparison.compare(SMALL | {"compare": some}, folder, progress=False)
    return json.loads((folder / "metrics.json").read_text())


def inner(key: str) -> set[str]:
    """Return the names that the page gives in backquotes for what is inside a key."""
    (content,) = (others[0] for names, _, others in rows("metrics.json", "key") if names == [key])
    return set(re.findall(r"`(\w+)`", content))


def test_keys_of_metrics(metrics: dict[str, Any]) -> None:
    assert named("metrics.json", "key") == set(metrics)
    closure = metrics["closures"]["hermite-3"]
    assert inner("closures") == set(closure)
    assert inner("summary") == set(metrics["summary"]["hermite-3"]["wave"])
    assert list(metrics["decades"]["hermite-3"]) == ["wave"]
    for decade in metrics["decades"]["hermite-3"]["wave"]:
        assert inner("decades") == set(decade)
    for finding in metrics["structure"]["hermite-3"].values():
        assert inner("structure") == set(finding)


def test_keys_of_a_case(metrics: dict[str, Any]) -> None:
    always = named("metrics.json", "key of a case", "failed only")
    for case in metrics["cases"]:
        reason = named("metrics.json", "key of a case") if case["status"] == "failed" else always
        assert set(case) == reason
        assert case["errors"] is None or inner("summary") > set(case["errors"])
    assert {case["status"] for case in metrics["cases"]} == {"ok", "failed"}


def test_keys_of_a_record(tmp_path: Path) -> None:
    command = Command("work", "", "none", lambda config, folder: "done")
    Job("test", command, tmp_path, resume=False, tracebacks=False).run(dict)
    assert named("status.json", "key") == set(json.loads((tmp_path / RECORD).read_text()))


def test_keys_of_profiles(compared: Comparison) -> None:
    content = json.loads((compared.folder / "profiles.json").read_text())
    assert named("profiles.json", "key") == set(content)
    for case in content["cases"]:
        assert named("profiles.json", "key of a case") == set(case)
        for fields in case["solutions"].values():
            (cell,) = (
                others[0]
                for names, _, others in rows("profiles.json", "key of a case")
                if names == ["solutions"]
            )
            assert set(re.findall(r"`(\w+)`", cell)) == set(fields)
