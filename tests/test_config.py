"""The configuration: what is accepted, what is refused, and how a refusal reads."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetic.config import SEED_RANGES, DatasetConfig, DatasetRunConfig, SolveConfig, seed_range
from kinetic.errors import InvalidInput

NAN, INF = float("nan"), float("inf")
PLANE = {"collision": "boltzmann"}


def test_defaults_are_the_contract() -> None:
    config = SolveConfig()
    assert (config.problem.name, config.cells, config.time.end, config.time.snapshots) == (
        "wave",
        100,
        0.1,
        11,
    )
    assert (config.velocity.points, config.velocity.extent) == (81, 8.0)
    assert config.knudsen is None
    assert config.boundary is None


@pytest.mark.parametrize(
    ("scalar", "group"),
    [
        ({"problem": "sod"}, {"problem": {"name": "sod"}}),
        ({"collision": "bgk"}, {"collision": {"name": "bgk"}}),
        ({"scheme": "ars443"}, {"scheme": {"time": "ars443"}}),
    ],
)
def test_scalar_stands_for_group(scalar: dict, group: dict) -> None:
    assert SolveConfig.from_mapping(scalar) == SolveConfig.from_mapping(group)


@pytest.mark.parametrize("config", [SolveConfig(knudsen=0.1), DatasetRunConfig(problem="mix")])
def test_round_trip_through_json(config: SolveConfig | DatasetRunConfig) -> None:
    stored = json.loads(json.dumps(config.to_mapping()))
    assert type(config).from_mapping(stored) == config


def test_whole_numbers_and_reals_are_normalised() -> None:
    config = SolveConfig.from_mapping({"cells": 64.0, "time": {"end": 1}})
    assert isinstance(config.cells, int)
    assert isinstance(config.time.end, float)


def test_instances_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        SolveConfig().cells = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("mapping", "key", "hint"),
    [
        ({"problem": "wavy"}, "problem.name", "did you mean 'wave'"),
        ({"collision": {"omega": 0.5}}, "collision.omega", "only for collision.frequency=power"),
        ({"problem": {"sed": 1}}, "problem.sed", "did you mean 'seed'"),
        ({"problem": None}, "problem", "must be a group"),
        ({"problem": {"seed": -1}}, "problem.seed", "from 0"),
        ({"problem": {"seed": 1.5}}, "problem.seed", "whole number"),
        ({"problem": "file"}, "problem.path", "needs a CSV"),
        ({"problem": {"path": "a.csv"}}, "problem.path", "only problem=file"),
        ({"problem": {"name": "file", "path": 3}}, "problem.path", "non-empty string"),
        ({"knudsen": 0.0}, "knudsen", "must be a number from"),
        ({"knudsen": -1.0}, "knudsen", "must be a number from"),
        ({"knudsen": NAN}, "knudsen", "must be a number from"),
        ({"knudsen": INF}, "knudsen", "must be a number from"),
        ({"knudsen": 10**400}, "knudsen", "must be a number from"),
        ({"knudsen": "0.1"}, "knudsen", "must be a number from"),
        ({"knudsen": True}, "knudsen", "must be a number from"),
        ({"cells": True}, "cells", "whole number"),
        ({"cells": NAN}, "cells", "whole number"),
        ({"cells": 10**9}, "cells", "whole number"),
        ({"cells": None}, "cells", "whole number"),
        ({"cells": 10**6, "velocity": {"points": 4096}}, "cells", "GiB"),
        (
            {"cells": 10**4, "time": {"snapshots": 10**4}, "output": {"distribution": True}},
            "cells",
            "GiB",
        ),
        ({"cells": 10**6, "time": {"end": 1e-6, "snapshots": 10**5}}, "cells", "GiB"),
        ({"cells": 10**5, "time": {"end": 1e4}}, "time.end", "time steps"),
        ({"time": 3}, "time", "must be a group with the keys end, snapshots"),
        ({"time": {"end": 0}}, "time.end", "must be a number from"),
        ({"time": {"end": [1]}}, "time.end", "must be a number from"),
        ({"time": {"snapshots": 1}}, "time.snapshots", "from 2"),
        ({"tiem": {}}, "tiem", "did you mean 'time'"),
        ({3: 1}, "3", "unknown key"),
        ({"velocity": {"points": 7}}, "velocity.points", "from 8"),
        ({"velocity": {"extent": -8}}, "velocity.extent", "must be a number from"),
        ({"velocity": {"dim": 0}}, "velocity.dim", "from 1 to 3"),
        ({"velocity": {"dim": 4}}, "velocity.dim", "from 1 to 3"),
        ({"collision": "es_bgk"}, "collision.name", "needs velocity.dim=2 or velocity.dim=3"),
        ({"collision": "boltzmann"}, "collision.name", "needs velocity.dim=2"),
        ({"collision": {"prandtl": 0.5}}, "collision.prandtl", "only for collision=es_bgk or shak"),
        (
            {"collision": {"name": "es_bgk", "prandtl": 0.6}, "velocity": {"dim": 3}},
            "collision.prandtl",
            "at least 0.6667",
        ),
        ({"collision": {"angles": 7}}, "collision.angles", "multiple of four"),
        ({"collision": {"angles": 8}}, "collision.angles", "only for collision=boltzmann"),
        (PLANE | {"velocity": {"dim": 2, "points": 49}}, "velocity.points", "must be even"),
        (
            PLANE | {"collision": {"name": "boltzmann", "frequency": "density"}},
            "collision.frequency",
            "only for collision=bgk",
        ),
        ({"collision": {"frequency": "desnity"}}, "collision.frequency", "mean 'density'"),
        ({"boundary": "peridoic"}, "boundary", "did you mean 'periodic'"),
        ({"scheme": {"cfl": 0.9}}, "scheme.cfl", "to 0.5"),
        ({"scheme": {"limiter": "superbee"}}, "scheme.limiter", "must be one of"),
        ({"output": {"distribution": "yes"}}, "output.distribution", "true or false"),
    ],
)
def test_refusal_names_key_and_remedy(mapping: dict, key: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SolveConfig.from_mapping(mapping)
    assert caught.value.key == key
    assert hint in caught.value.allowed
    assert "\n" not in str(caught.value)


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
NAMES = st.one_of(st.sampled_from([*SolveConfig().to_mapping(), "name", "end", "seed"]), st.text())
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=5
)


@given(st.dictionaries(NAMES, VALUES))
def test_any_mapping_is_accepted_or_refused(mapping: dict) -> None:
    with suppress(InvalidInput):
        config = SolveConfig.from_mapping(mapping)
        assert SolveConfig.from_mapping(config.to_mapping()) == config


def test_seed_ranges_are_disjoint_and_ordered() -> None:
    bounds = [bound for span in SEED_RANGES.values() for bound in span]
    assert bounds == sorted(bounds)
    assert [seed_range(first) for first, _ in SEED_RANGES.values()] == list(SEED_RANGES)
    assert seed_range(2**31) is None


@pytest.mark.parametrize("seed", [499_950, 899_999, 2**31 - 50])
def test_data_set_may_not_straddle_seed_ranges(seed: int) -> None:
    with pytest.raises(InvalidInput, match=r"dataset\.seed"):
        DatasetConfig(trajectories=100, seed=seed)


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        ({"problem": "sod"}, "problem.name"),
        ({"problem": {"seed": 4}}, "problem.seed"),
        ({"dataset": {"families": []}}, "dataset.families"),
        ({"dataset": {"families": ["wave", "wave"]}}, "dataset.families"),
        ({"dataset": {"families": "wave"}}, "dataset.families"),
        ({"dataset": {"families": ["wave", "sod"]}}, "dataset.families"),
        ({"dataset": {"trajectories": 0}}, "dataset.trajectories"),
        ({"dataset": {"workers": 0}}, "dataset.workers"),
        ({"dataset": {"paths": "x"}}, "dataset.paths"),
    ],
)
def test_data_set_refusals(mapping: dict, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        DatasetRunConfig.from_mapping(mapping)
    assert caught.value.key == key


def test_trajectories_alternate_families_and_count_seeds() -> None:
    config = DatasetRunConfig(dataset={"seed": 500_000, "families": ["shock", "mix"]}, cells=32)
    problems = [config.trajectory(index).problem for index in range(3)]
    assert [item.name for item in problems] == ["shock", "mix", "shock"]
    assert [item.seed for item in problems] == [500_000, 500_001, 500_002]
    assert config.trajectory(0).cells == 32


def test_identity_ignores_workers_and_resolves_the_family() -> None:
    one = DatasetRunConfig(problem="mix", dataset={"workers": 1})
    two = DatasetRunConfig(dataset={"families": ["mix"], "workers": 2})
    assert one.identity() == two.identity()
