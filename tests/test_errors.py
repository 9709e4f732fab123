"""The messages that users read when a run ends badly."""

from __future__ import annotations

import pickle

import pytest

from kinetic.errors import InvalidInput, NonPhysicalState, check_choice, nearest


def test_invalid_input_is_one_line_with_key_value_and_remedy():
    error = InvalidInput("cells", "4\n5", "must be an integer")
    assert str(error) == "cells=4 5: must be an integer"


def test_non_physical_state_names_time_cell_and_values():
    error = NonPhysicalState(0.25, 7, {"rho": -0.5, "T": 1.0}, "density must be positive")
    expected = "non-physical state at t=0.25, cell 7: rho=-0.5, T=1: density must be positive"
    assert str(error) == expected
    assert error.solution is None


@pytest.mark.parametrize(
    "error", [InvalidInput("a", 1, "b"), NonPhysicalState(0.5, 3, {"rho": 1.0}, "r")]
)
def test_errors_survive_the_way_back_from_a_worker_process(error):
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_nearest_name():
    assert nearest("wav", ["wave", "shock"]) == "; did you mean 'wave'?"
    assert nearest("xyz", ["wave", "shock"]) == ""


def test_check_choice():
    assert check_choice("boundary", "periodic", ["periodic", "outflow"]) == "periodic"
    with pytest.raises(InvalidInput, match=r"boundary=outflw: .* did you mean 'outflow'\?"):
        check_choice("boundary", "outflw", ["periodic", "outflow"])
    with pytest.raises(InvalidInput, match="must be one of periodic, outflow"):
        check_choice("boundary", 3, ["periodic", "outflow"])
