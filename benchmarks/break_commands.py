"""Kill and interrupt the long commands, fill their disk, start them twice: what is left is whole.

    python benchmarks/break_commands.py FOLDER [--kills 5] [--seed 0] [--commands NAME ...]

Each command is run once undisturbed. Then, in other directories,

- kill: it is killed (SIGKILL) again and again after a random part of that time, started again by
  the same command, and at last let finish: its results must be the same bits, wall times apart;
- interrupt: it gets SIGINT after a random part of that time: status 130 and one line, no traceback;
- full: no file may become larger than a few kilobytes (RLIMIT_FSIZE, which fails as a full disk
  does, after some of each file is written): status 2 and one line that says why;
- twice: it is started twice at the same time in one directory: both succeed, or one is refused
  with a line that says so, and the results are those of the undisturbed run.

After each, no file under a final name may be half written, and the same command must finish.
Prints a table; the exit status is 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PROGRAM = "from {}.cli import main; raise SystemExit(main())"
QUICK = "from closures import distil; distil.STEPS, distil.CASES, distil.END = 1, 1, 0.001; "
"""Makes the last part of a training, which is as long as a real one's, short."""

PHYSICS = ["cells=12", "time.end=0.01", "time.snapshots=3"]
LEAST_FILE = 2048
"""Bytes that a file may have on the disk that is full."""

TIMES = ("seconds", "solver_seconds", "message", "versions")
"""Keys of JSON that hold wall times."""


@dataclass(frozen=True)
class Case:
    """A command: program, arguments, and the results whose bits are compared."""

    program: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]

    def line(self, folder: Path) -> list[str]:
        """The command line that writes to `folder`."""
        place = "hydra.sweep.dir" if "--multirun" in self.arguments else "hydra.run.dir"
        quick = QUICK * (self.program == "closures")
        program = [sys.executable, "-c", quick + PROGRAM.format(self.program)]
        return [*program, *self.arguments, f"{place}={folder}"]


def cases(folder: Path) -> dict[str, Case]:
    """The long commands, small; those that train learn from a data set in `folder`."""
    data = f"train.data={folder / 'data/dataset.zarr'}"
    held = f"train.validation={folder / 'held/dataset.zarr'}"
    few = ("train.steps=6", "train.updates=2", "train.samples=1000", "train.trajectories=2")
    demo = ("dataset.trajectories=8", "compare.closures=[euler]", "compare.families=[wave]")
    learn = ("learn.rounds=1", "learn.first=5", "learn.labels=2", "learn.draws=6", "learn.climbs=0")
    learning = ("learn.members=2", "learn.cells=8", "learn.steps=4", "learn.samples=1000")
    compare = ("compare.closures=[euler,entropy-6]", "compare.families=[wave,mix]")
    solved = ("0/solution.zarr", "1/solution.zarr", "2/solution.zarr")
    return {
        "dataset": Case(
            "kinetic",
            ("dataset", *PHYSICS, "dataset.trajectories=60", "dataset.workers=1"),
            ("dataset.zarr",),
        ),
        "train": Case("closures", ("train", "closure.moments=3", data, held, *few), ("model",)),
        "compare": Case(
            "closures", ("compare", *PHYSICS, *compare, "compare.cases=2"), ("metrics.json",)
        ),
        "demo": Case(
            "closures",
            ("demo", *PHYSICS, *few, *demo, "compare.cases=1", "dataset.workers=1"),
            ("dataset.zarr", "model", "solution.zarr", "metrics.json"),
        ),
        "learn": Case(
            "closures",
            ("learn", "cells=12", *learn, *learning, "learn.updates=1", "execution.workers=1"),
            ("model", "labels"),
        ),
        "sweep": Case("kinetic", ("solve", "--multirun", *PHYSICS, "knudsen=0.1,1,10"), solved),
    }


def prepare(folder: Path) -> None:
    """Make the data sets that are learned from."""
    for name, seed in (("data", 0), ("held", 500_000)):
        arguments = ("dataset", *PHYSICS, "dataset.trajectories=8", f"dataset.seed={seed}")
        if not (folder / name / "status.json").exists():
            check(Case("kinetic", arguments, ()).line(folder / name))


def check(line: list[str]) -> None:
    """Run a command that must succeed."""
    found = subprocess.run(line, capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(f"{' '.join(line[2:])} failed: {found.stderr}")


# ------------------------------------------------------------------------------------------
# Results


def contents(folder: Path, results: tuple[str, ...]) -> dict[str, str]:
    """Return a digest of each file of the results, wall times left out."""
    found = {}
    for name in results:
        path = folder / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                content = stripped(file, folder)
                found[str(file.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def stripped(file: Path, folder: Path) -> bytes:
    """Return the content of a file without wall times, and without where it lies."""
    content = file.read_bytes()
    if file.suffix != ".json":
        return content
    content = content.replace(str(folder).encode(), b"FOLDER")
    return json.dumps(_without_times(json.loads(content)), sort_keys=True).encode()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: one for name, one in value.items() if name not in TIMES}
        return {name: _without_times(one) for name, one in kept.items()}
    return [_without_times(one) for one in value] if isinstance(value, list) else value


def half_written(folder: Path) -> list[str]:
    """Return the JSON files, and the stores, that are not whole under a final name."""
    bad = []
    for file in folder.rglob("*.json"):
        if not any(part.endswith((".partial", ".old")) for part in file.parts):
            try:
                json.loads(file.read_bytes())
            except ValueError:
                bad.append(str(file))
    return bad


# ------------------------------------------------------------------------------------------
# Ways to break a command


def start(line: list[str], limit: int | None = None) -> subprocess.Popen[str]:
    """Start a command, with a limit on the size of its files."""

    def bound() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    pipe = subprocess.PIPE
    return subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, preexec_fn=bound)


def complaint(error: str) -> str:
    """What was wrong with a message of an end: nothing if it is one line, no traceback."""
    said = [one for one in error.strip().splitlines() if ": error: " in one or "Traceback" in one]
    if "Traceback" in error:
        return f"a traceback: {error[-2000:]}"
    return "" if len(said) == 1 else f"{len(said)} messages: {error[-1000:]}"


@dataclass(frozen=True)
class Trial:
    """A command to be broken, how long it takes, and what it must leave in the end."""

    case: Case
    seconds: float
    expected: dict[str, str]

    def kill(self, folder: Path, rng: np.random.Generator) -> str:
        """Kill it after a random time; it must not leave anything half written."""
        process = start(self.case.line(folder))
        time.sleep(rng.uniform(0.05, 1.0) * self.seconds)
        process.kill()
        process.communicate()
        return ", ".join(half_written(folder))

    def interrupt(self, folder: Path, rng: np.random.Generator) -> str:
        """Interrupt it after a random time in which it works."""
        process = start(self.case.line(folder))
        time.sleep(rng.uniform(0.3, 0.9) * self.seconds)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
        if process.returncode == 0:
            return ""  # it was done before
        # The second is what a shell calls 130 too: it was done, and Python was about to end.
        if process.returncode not in (130, -signal.SIGINT) or "Traceback" in error:
            return f"status {process.returncode}: {error[-2000:]}"
        return ", ".join(half_written(folder))

    def full(self, folder: Path, rng: np.random.Generator) -> str:
        """Let no file be larger than some bytes."""
        process = start(self.case.line(folder), int(rng.integers(LEAST_FILE)))
        _, error = process.communicate()
        if process.returncode != 2 or (
            complaint(error) and "--multirun" not in self.case.arguments
        ):
            return f"status {process.returncode}: {complaint(error) or error[-500:]}"
        if "File too large" not in error:
            return f"the message does not say why: {error[-500:]}"
        return ", ".join(half_written(folder))

    def twice(self, folder: Path, rng: np.random.Generator) -> str:
        """Start it twice; one may be refused."""
        both = [start(self.case.line(folder)) for _ in range(2)]
        ends = [(process.communicate()[1], process.returncode) for process in both]
        several = "--multirun" in self.case.arguments  # either may be refused some jobs
        if not several and 0 not in (status for _, status in ends):
            return f"none succeeded: {ends}"
        for error, status in ends:
            if status and (status != 2 or "by another process" not in error):
                return f"status {status}: {error[-1000:]}"
        return ""

    def finish(self, folder: Path) -> str:
        """Run it to its end, and compare what it leaves."""
        process = start(self.case.line(folder))
        _, error = process.communicate()
        if process.returncode:
            return f"it did not finish: status {process.returncode}: {error[-1000:]}"
        if (found := contents(folder, self.case.results)) != self.expected:
            names = sorted(set(found) | set(self.expected))
            other = [name for name in names if found.get(name) != self.expected.get(name)]
            return f"other bits in {', '.join(other[:5])}"
        left = [str(path) for path in folder.rglob(".*.partial")]
        return f"left behind: {', '.join(left)}" if left else ""


def trial_of(case: Case, folder: Path) -> Trial:
    """Run a command undisturbed."""
    begin = time.perf_counter()
    check(case.line(folder))
    return Trial(case, time.perf_counter() - begin, contents(folder, case.results))


WAYS: dict[str, Callable[[Trial, Path, np.random.Generator], str]] = {
    "kill": Trial.kill,
    "interrupt": Trial.interrupt,
    "full": Trial.full,
    "twice": Trial.twice,
}


def break_command(
    case: Case, folder: Path, kills: int, seed: int
) -> Iterator[tuple[str, list[str]]]:
    """Break a command in every way; yield each way and what went wrong."""
    trial, rng = trial_of(case, folder / "straight"), np.random.default_rng(seed)
    for way, broken in WAYS.items():
        times = kills if way == "kill" else 2 if way == "interrupt" else 1
        said = [broken(trial, folder / way, rng) for _ in range(times)]
        yield way, [one for one in [*said, trial.finish(folder / way)] if one]


def main(arguments: list[str] | None = None) -> int:
    """Break the commands, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description="kills, interruptions, full disks, two at once")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=list(cases(Path())))
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    folder = given.folder.resolve()
    prepare(folder)
    wrong = 0
    print(f"{'':10}" + "".join(f"{way:>11}" for way in WAYS), flush=True)
    for name, case in cases(folder).items():
        if given.commands is None or name in given.commands:
            found = dict(break_command(case, folder / name, given.kills, given.seed))
            row = ("wrong" if found[way] else "right" for way in WAYS)
            print(f"{name:10}" + "".join(f"{one:>11}" for one in row), flush=True)
            for way, said in found.items():
                for one in said:
                    print(f"    {name}, {way}: {one}", file=sys.stderr, flush=True)
            wrong += sum(map(len, found.values()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
