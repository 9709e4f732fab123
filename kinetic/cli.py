"""The command line of the reference solver, and the runner of Hydra applications beneath it.

Hydra composes the configuration, sweeps and makes directories. By itself it reports a refused
configuration on many lines with exit status 1; here its exceptions are let through (as with
``HYDRA_FULL_ERROR=1``), and each is turned into one line with key, value and what is allowed. Jobs
never raise: they report their own outcome, so that a sweep goes on after a job that failed.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

from kinetic.commandline import (
    DONE,
    INTERRUPTED,
    INVALID,
    Command,
    Configuration,
    Program,
    abandon_output,
    leaves,
    telling,
)
from kinetic.errors import InvalidInput
from kinetic.refusals import dotted_keys, explain, explain_option, refuse_lists
from kinetic.resources import config_dir

#: Behaviour of Hydra that the configuration files are written for.
HYDRA_VERSION = "1.3"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program ``kinetic`` and return its exit status."""
    return run_program(KINETIC, sys.argv[1:] if arguments is None else arguments)


def run_program(
    program: Program,
    arguments: Sequence[str],
    rewrite: Callable[[list[str]], list[str]] = list,
) -> int:
    """Run the subcommand that `arguments` name and return the exit status.

    `rewrite` translates overrides that Hydra would not understand.
    """
    tracebacks = os.environ.get("HYDRA_FULL_ERROR") == "1"
    label = program.name
    try:
        command = program.select(arguments)
        if isinstance(command, str):
            with telling(label) as status:
                print(command, flush=True)
            return status[0]
        label = f"{program.name} {command.name}"
        overrides = quote_paths(rewrite(list(arguments[1:])))
        return _run_hydra(label, command, overrides, tracebacks)
    except InvalidInput as refusal:
        if tracebacks:
            traceback.print_exc()
        print(f"{label}: error: {refusal}", file=sys.stderr)
        return INVALID
    except KeyboardInterrupt:
        print(f"{label}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ImportError, SystemError) as failure:
        # What a library makes of an interruption while it is imported.
        if not isinstance(failure.__cause__, KeyboardInterrupt):
            raise
        print(f"{label}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left, as `head` does; nothing more can be written to it.
        abandon_output()
        return DONE


def _run_hydra(label: str, command: Command, overrides: list[str], tracebacks: bool) -> int:
    """Hand the subcommand to Hydra, and return the largest exit status of its jobs.

    Raises:
        InvalidInput: Hydra refuses the command line or the configuration.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    _register_resolvers()
    refuse_lists(overrides)
    arguments = _options_first(overrides)
    # Jobs of a cluster see the directory of this process, not those of its host.
    shared = any("submitit" in argument for argument in arguments)
    with tempfile.TemporaryDirectory(dir="." if shared else None) as scratch:
        ledger = Path(scratch).absolute() / "statuses"
        task = _task(label, command, ledger, tracebacks)
        application = hydra.main(str(config_dir()), command.config, HYDRA_VERSION)(task)
        if {"-m", "--multirun"} & set(arguments):
            command.prepare()
        try:
            with _hydra_process([label, *arguments]):
                application()
        except SystemExit as stop:  # after --help, or when --package names nothing
            return INVALID if stop.code else DONE
        except BrokenPipeError:
            raise
        except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
            raise explain(error, overrides, partial(valid_keys, command.config)) from error
        statuses = ledger.read_text().split() if ledger.exists() else []
    return max(map(int, statuses), default=DONE)


def _task(label: str, command: Command, ledger: Path, tracebacks: bool) -> Callable[[Any], None]:
    """Return the function that Hydra calls for every job, possibly in other processes.

    A job reports its outcome and appends its exit status to the file `ledger`; it does not raise.
    """

    def task(cfg: Any) -> None:
        """Run the job of a composed configuration and record its exit status."""
        from hydra.core.hydra_config import HydraConfig

        from kinetic.jobs import Job

        hydra = HydraConfig.get()
        sweep = hydra.mode is not None and hydra.mode.name == "MULTIRUN"
        name = f"{label} #{hydra.job.num} ({','.join(hydra.overrides.task)})" if sweep else label
        job = Job(name, command, Path(hydra.runtime.output_dir), sweep, tracebacks)
        with ledger.open("a") as statuses:
            statuses.write(f"{job.run(partial(_plain, cfg))}\n")

    return task


@contextmanager
def _hydra_process(arguments: list[str]) -> Iterator[None]:
    """Give Hydra its arguments, and make it raise rather than report and exit."""
    before = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = arguments, "1"
    try:
        yield
    finally:
        sys.argv = before[0]
        os.environ.pop("HYDRA_FULL_ERROR")
        if before[1] is not None:
            os.environ["HYDRA_FULL_ERROR"] = before[1]


def _options_first(arguments: list[str]) -> list[str]:
    """Return the arguments with options before overrides, the only order that Hydra reads whole.

    Raises:
        InvalidInput: an option is unknown or incomplete.
    """
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            overrides = parser.parse_intermixed_args(arguments).overrides
    except SystemExit as stop:
        if stop.code == DONE:
            raise
        raise explain_option(complaint.getvalue(), parser.format_usage()) from None
    return [argument for argument in arguments if argument not in overrides] + overrides


def _register_resolvers() -> None:
    """Make ``${fingerprint:}`` in a configuration stand for `kinetic.jobs.fingerprint` of it."""
    from omegaconf import OmegaConf

    from kinetic.jobs import fingerprint

    def resolve(*, _root_: Any) -> str:
        own = OmegaConf.masked_copy(_root_, [key for key in _root_ if key != "hydra"])
        return fingerprint(_plain(own))

    OmegaConf.register_new_resolver("fingerprint", resolve, replace=True)


def _plain(cfg: Any) -> Configuration:
    """Return a composed configuration as dictionaries, lists and scalars.

    Raises:
        InvalidInput: a value refers to another that does not exist.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(error.full_key or "configuration", "${...}", reason) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def valid_keys(config: str) -> list[str]:
    """Return every dotted key of the primary configuration `config`, and its groups."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(config_dir()), version_base=HYDRA_VERSION):
        return dotted_keys(_plain(compose(config)))


def quote_paths(overrides: list[str]) -> list[str]:
    """Quote existing files in ``...path=`` and ``...data=``, whatever characters they hold."""
    return [_quote_path(override) for override in overrides]


def _quote_path(override: str) -> str:
    key, equals, value = override.partition("=")
    if equals and key.endswith(("path", "data")) and value and Path(value).exists():
        return f"{key}={quote(value)}"
    return override


def quote(text: str) -> str:
    """Return `text` as a quoted string of Hydra's override grammar."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.single).with_quotes()


def _solve(config: Configuration, folder: Path) -> str:
    import kinetic
    from kinetic.jobs import describe_solution, solve_into

    return describe_solution(solve_into(kinetic.solve, config, folder), folder)


def _dataset(config: Configuration, folder: Path) -> str:
    from kinetic.dataset import generate
    from kinetic.jobs import IncompleteError

    report = generate(config, _data(config, folder))
    if report.failures:
        raise IncompleteError(str(report))
    return str(report)


def _data(config: Configuration, folder: Path) -> str:
    """Return where the data set of a run is written: a path or a URL."""
    return config.get("dataset", {}).get("path") or str(folder / "dataset.zarr")


def _has_left_data(config: Configuration, folder: Path) -> bool:
    """Whether a data set is there; one at a URL is not looked for, as that takes a network."""
    from kinetic.storage import Place

    place = Place.of(_data(config, folder))
    return place.remote or place.path.exists()


def compile_kernels() -> None:
    """Compile all kernels of the solver into their cache, or find them there.

    Processes that start together on a fresh installation would each compile every kernel, and write
    the same files.
    """
    from kinetic.limiters import LIMITERS
    from kinetic.reference import warm_up
    from kinetic.solver import Scheme

    for limiter in LIMITERS:
        warm_up(Scheme(limiter=limiter))
    warm_up(Scheme(), dim=2)  # compiles what D = 3 and the other operators take too


KINETIC = Program(
    "kinetic",
    "discrete-velocity solver of kinetic equations, accurate for every Knudsen number",
    (
        Command(
            "solve",
            "reference solution of one problem",
            "kinetic_solve",
            _solve,
            leaves("solution.zarr"),
            compile_kernels,
        ),
        Command(
            "dataset",
            "labelled trajectories of a family",
            "kinetic_dataset",
            _dataset,
            _has_left_data,
            compile_kernels,
        ),
    ),
)
