"""profiles.json: what is written is read again, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closures.outcomes import Comparison
from closures.report.page import showcases
from closures.snapshots import FILE, QUANTITIES, Profile, read_profiles, write_profiles
from kinetic.errors import InvalidInput
from kinetic.files import MOST_JSON


def made(times: int = 3, cells: int = 4) -> Profile:
    """A profile of two closures, of which the second failed before the last time."""
    values = np.arange(times * cells, dtype=np.float32).reshape(times, cells) / 7
    x = (np.arange(cells) + 0.5) / cells
    whole = {name: values + i for i, name in enumerate(QUANTITIES)}
    solutions = {"kinetic": whole, "hermite-3": {name: one[:-1] for name, one in whole.items()}}
    return Profile(
        "mix-1", "mix, seed 1", 1, x, 0.1 * x, np.arange(times) / 10, solutions, {"hermite-3": 0.15}
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    (found,) = read_profiles(write_profiles(tmp_path, [made()]))
    expected = made()
    assert (found.name, found.title, found.dimension) == ("mix-1", "mix, seed 1", 1)
    assert found.failed == expected.failed
    for name in ("x", "knudsen", "times"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6)
    for closure, fields in expected.solutions.items():
        for name, values in fields.items():
            np.testing.assert_array_equal(found.solutions[closure][name], values)


def test_a_comparison_leaves_the_profiles_of_its_cases(compared: Comparison) -> None:
    found = {one.name: one for one in read_profiles(compared.folder / FILE)}
    shows = showcases(compared)
    assert list(found) == [show.case.name for show in shows]
    for show in shows:
        one = found[show.case.name]
        for closure, outcome in show.outcomes.items():
            assert outcome.solution is not None
            for name in QUANTITIES:
                values = outcome.solution[name].values
                np.testing.assert_array_equal(one.solutions[closure][name], values.astype("f4"))
        assert ("hermite-3" in one.failed) is show.outcomes["hermite-3"].failed


def broken() -> dict[str, Any]:
    """Texts of files that are none, by what is wrong with them."""
    content = {"schema_version": "1.0", "cases": [made().record()]}

    def changed(**entries: Any) -> str:
        return json.dumps(content | {"cases": [content["cases"][0] | entries]})

    return {
        "no JSON": "{",
        "a list": "[]",
        "deep": "[" * 100_000,
        "another version": json.dumps(content | {"schema_version": "9.9"}),
        "no cells": changed(x=[], knudsen=[]),
        "no times": changed(times=[]),
        "words": changed(x=["a"]),
        "eps of other cells": changed(knudsen=[1.0]),
        "no base64": changed(solutions={"a": dict.fromkeys(QUANTITIES, "?")}),
        "a part of a time": changed(solutions={"a": dict.fromkeys(QUANTITIES, "AAAAAA==")}),
        "too many times": changed(times=[0.0]),
        "a field missing": changed(solutions={"a": {}}),
        "no solutions": changed(solutions=3),
        "no failures": changed(failed=None),
        "another folder": changed(name="../../x"),
    }


@pytest.mark.parametrize("text", broken().values(), ids=broken().keys())
def test_what_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InvalidInput, match=r"report.runs=.*profiles.json"):
        read_profiles(tmp_path / FILE)


def test_a_file_is_not_read_that_is_too_large(tmp_path: Path) -> None:
    path = write_profiles(tmp_path, [made()])
    with path.open("r+b") as file:
        file.truncate(MOST_JSON + 1)
    with pytest.raises(InvalidInput, match="larger than"):
        read_profiles(path)
