"""The command line of the closures: train, solve, compare, and a demonstration of all of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from kinetic.cli import compile_kernels, quote, run_program
from kinetic.commandline import DONE, INVALID, Command, Configuration, Program, leaves
from kinetic.errors import InvalidInput, nearest
from kinetic.resources import config_dir


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program ``closures`` and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["learn"] and (asked := [one for one in given if one.startswith("status=")]):
        return _learning_status(asked[-1].removeprefix("status="))
    rewrite = run_directories if given[:1] == ["report"] else closure_directories
    return run_program(CLOSURES, given, rewrite)


#: Options of Hydra that take the next argument.
WITH_VALUE = {"-c", "-p", "-cp", "-cn", "-cd", "--cfg", "--package"}
WITH_VALUE |= {f"--config-{of}" for of in ("path", "name", "dir")} | {"--info"}


def run_directories(arguments: list[str]) -> list[str]:
    """Let the arguments DIR... stand for the list ``report.runs`` of directories."""
    before = ["", *arguments]
    runs = [
        argument
        for argument, last in zip(arguments, before, strict=False)
        if last not in WITH_VALUE and not argument.startswith("-")
        if "=" not in argument or Path(argument).is_dir()
    ]
    rest = [argument for argument in arguments if argument not in runs]
    return [*rest, f"report.runs=[{','.join(map(quote, runs))}]"] if runs else rest


def _learning_status(folder: str) -> int:
    """Print how far a run of concurrent learning is; return the exit status."""
    from closures.learn.status import read_status

    try:
        print(read_status(Path(folder)))
    except InvalidInput as refusal:
        print(f"closures learn: error: {refusal}", file=sys.stderr)
        return INVALID
    return DONE


def closure_directories(overrides: list[str]) -> list[str]:
    """Let ``closure=DIR`` stand for the closure in the directory DIR, also in a sweep.

    Hydra takes the value of a group for the name of a configuration file, so a directory is passed
    as the mapping ``{name: model, moments: null, path: DIR}`` merged into the group.
    """
    return [_closure_directory(override) for override in overrides]


def _closure_directory(override: str) -> str:
    key, _, value = override.partition("=")
    if key != "closure" or value.startswith(("{", "[")):
        return override
    entries = [value] if Path(value).is_dir() else value.split(",")
    return "closure=" + ",".join(_closure_entry(entry) for entry in entries)


def _closure_entry(entry: str) -> str:
    """Return what Hydra takes for one closure: a name as it is, a directory as a mapping."""
    if entry in _shipped():
        return entry
    if not ("/" in entry or Path(entry).is_dir()):
        return _plugin_entry(entry)
    return f"{{name:model,moments:null,path:{quote(entry)}}}"


def _shipped() -> set[str]:
    """The names of the closures that have a configuration file."""
    return {file.stem for file in (config_dir() / "closure").glob("*.yaml")} - {"model"}


def _plugin_entry(entry: str) -> str:
    """Return the mapping of the closure of a plugin, without a file; what is no name as it is.

    Raises:
        InvalidInput: it is a name, and no closure has it.
    """
    from closures.plugins import found

    plugins = found()
    if entry in plugins:
        return f"{{name:{quote(entry)},moments:null}}"
    if re.fullmatch(r"\w+", entry) and entry != "model":
        known = [*sorted(_shipped()), *sorted(plugins)]
        allowed = f"must be one of {', '.join(known)}, or the directory of a trained closure"
        raise InvalidInput("closure", entry, allowed + nearest(entry, known))
    return entry


def _train(config: Configuration, folder: Path) -> str:
    if str(config.get("closure", {}).get("name")).startswith("network"):
        from closures.network.fit import train as train_network

        return str(train_network(config, folder))
    from closures.training import train

    return str(train(config, folder))


def _solve(config: Configuration, folder: Path) -> str:
    import closures
    from kinetic.jobs import describe_solution, solve_into

    return describe_solution(solve_into(closures.solve, config, folder), folder)


def _compare(config: Configuration, folder: Path) -> str:
    from closures.comparison import compare

    return str(compare(config, folder))


def _report(config: Configuration, folder: Path) -> str:
    from closures.report.runs import report

    return str(report(config, folder))


def _learn(config: Configuration, folder: Path) -> str:
    from closures.learn.loop import learn
    from closures.report.learning import write_report
    from kinetic.jobs import IncompleteError

    finished = learn(config, folder)
    write_report(folder)
    if finished.failures:
        raise IncompleteError(str(finished))
    return str(finished)


def _demo(config: Configuration, folder: Path) -> str:
    from closures.demo import run

    return run(config, folder)


CLOSURES = Program(
    "closures",
    "learned moment closures of kinetic equations, and their finite-volume solver",
    (
        Command(
            "train",
            "moments and closure from a data set",
            "closures_train",
            _train,
            leaves("model"),
        ),
        Command(
            "solve",
            "advance a closed moment system",
            "closures_solve",
            _solve,
            leaves("solution.zarr"),
        ),
        Command(
            "compare",
            "closures against the reference",
            "closures_compare",
            _compare,
            leaves("metrics.json", "report.html"),
            compile_kernels,
        ),
        Command(
            "report",
            "several runs joined in one page",
            "closures_report",
            _report,
            leaves("report.html"),
        ),
        Command(
            "learn",
            "concurrent learning: explore, label, train",
            "closures_learn",
            _learn,
            leaves("model", "report.html"),
            compile_kernels,
        ),
        Command(
            "demo",
            "data set, training, solution and report",
            "closures_demo",
            _demo,
            leaves("model", "solution.zarr", "metrics.json", "report.html"),
            compile_kernels,
        ),
    ),
)
