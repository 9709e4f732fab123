"""Every configuration: composed, accepted by the code that reads it, and commented."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from closures.cli import CLOSURES
from closures.cli import main as closures_main
from closures.comparison import CompareConfig
from closures.demo import Plan
from closures.gas import OPERATORS, TRAINED
from closures.learn.options import LearnConfig
from closures.library import NETWORKS
from closures.network.fit import NetworkTrainConfig
from closures.report.runs import ReportConfig
from closures.solution import ClosureSolveConfig
from closures.training import TrainConfig
from kinetic import config as schema
from kinetic.cli import HYDRA_VERSION, KINETIC
from kinetic.resources import config_dir

COMMANDS = (*KINETIC.commands, *CLOSURES.commands)
FILES = sorted(config_dir().rglob("*.yaml"))
OPTIONS = [(path.parent.name, path.stem) for path in FILES if path.parent != config_dir()]
#: Options that ask for something that their file cannot know.
REQUIRED = {
    ("problem", "file"): "problem.path=FILE.csv",
    ("closure", "model"): "closure.path=DIR",
    ("collision", "boltzmann"): "velocity.dim=2",
    ("collision", "es_bgk"): "velocity.dim=3",
}


def composed(name: str, *overrides: str) -> dict[str, Any]:
    """Compose a primary configuration as the command line does."""
    with initialize_config_dir(str(config_dir()), version_base=HYDRA_VERSION):
        plain = OmegaConf.to_container(compose(name, list(overrides)), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def train_part(config: Mapping[str, Any]) -> TrainConfig | NetworkTrainConfig:
    """Read the configuration of training, whose data set has no default."""
    whole = {**config, "train": {**config.get("train", {}), "data": "any"}}
    networks = config.get("closure", {}).get("name") in NETWORKS
    return (NetworkTrainConfig if networks else TrainConfig).from_mapping(whole)


def demo_plan(config: Mapping[str, Any]) -> Plan:
    """Read the configuration of the demonstration, which passes its parts on to its steps."""
    return Plan.read(dict(config), Path("demo"))


def report_part(config: Mapping[str, Any]) -> ReportConfig:
    """Read the configuration of a joined report, whose runs have no default."""
    return ReportConfig.from_mapping({"report": {**config.get("report", {}), "runs": ["any"]}})


#: Commands that train a closure, and so take no other, with what they train.
TRAINING = {
    "closures_train": ("entropy", *NETWORKS),
    "closures_demo": ("entropy",),
    "closures_learn": ("entropy",),
}

READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "closures_solve": ClosureSolveConfig.from_mapping,
    "closures_compare": CompareConfig.from_mapping,
    "closures_demo": demo_plan,
    "closures_learn": LearnConfig.from_mapping,
    "closures_report": report_part,
    "closures_train": train_part,
    "kinetic_solve": schema.SolveConfig.from_mapping,
    "kinetic_dataset": schema.DatasetRunConfig.from_mapping,
}


def test_every_command_has_its_primary_configuration() -> None:
    primaries = {path.stem for path in FILES if path.parent == config_dir()}
    assert primaries == {command.config for command in COMMANDS} | {"physics", "runtime"}


@pytest.mark.parametrize("name", sorted(READERS.keys() - {"closures_demo"}))
def test_defaults_are_those_of_the_code(name: str) -> None:
    from_files, from_code = READERS[name](composed(name)), READERS[name]({})
    assert from_files == from_code


def cases() -> list[tuple[str, str, str]]:
    """Return (primary configuration, group, option) for every choice that makes sense."""
    refused = {("kinetic_dataset", "sod"), ("kinetic_dataset", "file")}  # they have no seeds
    closures = {path.stem for path in FILES if path.parent.name == "closure"}
    refused |= {(name, one) for name, own in TRAINING.items() for one in closures - {*own}}
    untrained = OPERATORS.keys() - TRAINED
    learning = ("closures_demo", "closures_learn")
    refused |= {(name, operator) for name in learning for operator in untrained}
    refused |= {("closures_learn", "boltzmann")}  # which takes no odd number of velocities
    return [
        (name, group, option)
        for name in READERS
        for group, option in OPTIONS
        if (group in composed(name) or (name, group) == ("kinetic_dataset", "problem"))
        and (name, option) not in refused
    ]


@pytest.mark.parametrize(("name", "group", "option"), cases())
def test_every_option_is_composed_and_accepted(name: str, group: str, option: str) -> None:
    extra = [REQUIRED[group, option]] if (group, option) in REQUIRED else []
    config = composed(name, f"{group}={option}", *extra)
    READERS[name](config)
    assert config[group].get("name", option) == option


EXPERIMENTS = [option for group, option in OPTIONS if group == "experiment"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_when_it_is_small(name: str, tmp_path: Path, quick: None) -> None:
    small = ["cells=6", "time.end=0.002", "time.snapshots=3", "compare.cases=1"]
    given = composed("closures_compare", f"+experiment={name}")["compare"]
    # Networks have to be trained; what trains them has tests of its own.
    shipped = [one for one in given["closures"] if not one.startswith("outputs/")] or ["euler"]
    small += [
        f"compare.closures=[{','.join(shipped)}]",
        f"compare.families=[{given['families'][-1]}]",
    ]
    small += [f"hydra.run.dir={tmp_path}"]
    assert closures_main(["compare", f"+experiment={name}", *small]) == 0
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert {case["status"] for case in record["cases"]} == {"ok"}
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert set(REPRODUCE["SHOWN"][name]) <= figures


REPRODUCE = runpy.run_path(str(config_dir().parent / "docs" / "reproduce.py"))


def test_everything_that_can_be_reproduced_is() -> None:
    assert set(REPRODUCE["SHOWN"]) == set(EXPERIMENTS)
    assert set(REPRODUCE["TABLES"]) == {name for name in EXPERIMENTS if name.startswith("table")}
    models = {f"{REPRODUCE['OUTPUTS']}/{name}/model" for name in REPRODUCE["NETWORKS"]}
    for name in EXPERIMENTS:
        compared = composed("closures_compare", f"+experiment={name}")["compare"]["closures"]
        assert {one for one in compared if one.startswith("outputs/")} <= models
        trained = [words for words in REPRODUCE["commands"]([name]) if words[1] == "train"]
        assert bool(trained) == any(one in models for one in compared)


def test_the_options_of_a_group_have_the_same_keys() -> None:
    keys: dict[str, set[tuple[str, ...]]] = {}
    for group, option in OPTIONS:
        if group == "experiment":  # these set keys of any group
            continue
        loaded = OmegaConf.load(config_dir() / group / f"{option}.yaml")
        assert OmegaConf.is_dict(loaded)
        keys.setdefault(group, set()).add(tuple(map(str, loaded)))
    assert all(len(variants) == 1 for variants in keys.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_key_is_explained(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    own = re.compile(r"^\w+:\s*[^\s#]")  # values at the top level; hydra's own keys are nested
    unexplained = [line for line in lines if own.match(line) and "#" not in line]
    assert [line for line in unexplained if not line.startswith("name:")] == []


def test_the_reference_of_keys_is_up_to_date() -> None:
    docs = config_dir().parent / "docs"
    written = runpy.run_path(str(docs / "reference.py"))["reference"]()
    assert (docs / "configuration.md").read_text() == written, "run docs/reference.py"
