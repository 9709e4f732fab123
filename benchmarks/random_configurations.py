"""Solve random valid configurations: each must end in a finite solution or in one clear line.

    python benchmarks/random_configurations.py [--configurations 1000] [--seed 0] [--limit 300]

Every key of ``kinetic solve`` and ``closures solve`` that changes the solution is drawn from what
it allows, mostly where gases are and sometimes at the ends of its range. The commands run in a
process of their own, which is ended when a case takes longer than the limit. An outcome is

    solved        status 0, and every number in solution.zarr is finite, density and temperature > 0
    refused       status 2 and one line that names key, value and what is allowed
    non-physical  status 3 and one line with time, cell and values; what came before is finite
    DEFECT        anything else: NaN, traceback, hang, another status, an unclear message

Each defect is printed with the command that shows it again; the exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from closures.gas import OPERATORS as KNOWN
from closures.gas import Gas
from closures.library import SHIPPED
from kinetic.config import BOUNDARIES, FAMILIES, FREQUENCIES, LIMITERS, OPERATORS, TABLEAUX

CLOSURES = ("euler", "navier_stokes", "hermite", "maxent", "maxent_truncated", "entropy")
SOLVED, REFUSED, NON_PHYSICAL, DEFECT = "solved", "refused", "non-physical", "DEFECT"
STEPS = {"boltzmann": 30.0, "kinetic": 600.0, "closures": 150.0}
"""Most steps of a case, by what is slow in it: it should take seconds."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended: one of the four words, what was said, and seconds."""

    kind: str
    message: str
    seconds: float = 0.0


# ------------------------------------------------------------------------------------------
# Draws


def physics(rng: np.random.Generator, operators: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Yield the overrides that both solvers know, mostly of one of these operators."""
    dim = int(rng.choice([1, 1, 2, 3]))
    allowed = operators if rng.random() < 0.95 else OPERATORS
    collision = str(rng.choice([name for name, dims in allowed.items() if dim in dims]))
    cells, cfl = int(rng.integers(4, 41)), 10 ** rng.uniform(-1.5, np.log10(0.5))
    extent = 10 ** rng.uniform(0.8, 1.2)
    slow = "kinetic" if operators is OPERATORS else "closures"
    most = STEPS.get(collision, STEPS[slow]) * cfl / (extent * cells)
    yield f"velocity.dim={dim}"
    yield f"cells={cells}"
    yield f"scheme.cfl={cfl:.4g}"
    yield f"time.end={min(10 ** rng.uniform(-4, 0), most):.4g}"
    yield f"time.snapshots={rng.integers(2, 6)}"
    if rng.random() < 0.5:
        yield f"velocity.extent={extent:.4g}"
        if rng.random() < 0.8:
            yield f"velocity.points={2 * rng.integers(int(1.5 * extent), int(4 * extent))}"
    yield from _collision(rng, collision)
    yield f"scheme.time={rng.choice(TABLEAUX)}"
    yield f"scheme.limiter={rng.choice(LIMITERS)}"
    if rng.random() < 0.7:
        yield f"knudsen={10 ** rng.uniform(-6, 1):.4g}"
    elif rng.random() < 0.2:
        yield f"knudsen={rng.choice(['1e-12', '1e-8', '1e3', '1e12'])}"
    if rng.random() < 0.5:
        yield f"boundary={rng.choice(BOUNDARIES)}"
    if rng.random() < (0.3 if dim == 1 else 0.1):
        yield "output.distribution=true"


def _collision(rng: np.random.Generator, name: str) -> Iterator[str]:
    yield f"collision={name}"
    if name == "boltzmann":
        yield f"collision.angles={rng.choice([4, 8, 12])}"
        return
    yield f"collision.frequency={rng.choice(FREQUENCIES)}"
    if rng.random() < 0.3:
        yield f"collision.omega={rng.uniform(0.5, 1.5):.4g}"
    if name != "bgk" and rng.random() < 0.5:
        yield f"collision.prandtl={10 ** rng.uniform(-0.3, 0.5):.4g}"


def initial(rng: np.random.Generator, folder: Path) -> Iterator[str]:
    """Yield the overrides that choose initial data, a table among them."""
    name = str(rng.choice([*FAMILIES, "sod", "file"]))
    yield f"problem={name}"
    if name == "file":
        yield f"problem.path={table(rng, folder)}"
    else:
        yield f"problem.seed={rng.integers(0, 2**31)}"


def table(rng: np.random.Generator, folder: Path) -> Path:
    """Write a CSV of a random gas, rough or smooth, and return its path."""
    cells, strength = int(rng.integers(4, 41)), 10 ** rng.uniform(-2, 1)
    x = (np.arange(cells) + 0.5) / cells
    rough = rng.normal(size=(3, cells)) if rng.random() < 0.5 else np.sin(2 * np.pi * x)
    rho, u, T = np.broadcast_to(strength * rough, (3, cells))
    columns = {"x": x, "density": np.exp(0.5 * rho), "velocity": u, "temperature": np.exp(0.5 * T)}
    if rng.random() < 0.5:
        columns["knudsen"] = 10 ** rng.uniform(-6, 1, cells)
    path = folder / "problem.csv"
    rows = (
        ",".join(f"{value:.17g}" for value in row) for row in zip(*columns.values(), strict=True)
    )
    path.write_text("\n".join([",".join(columns), *rows]) + "\n", encoding="utf-8")
    return path


def closure(rng: np.random.Generator, gas: Gas) -> Iterator[str]:
    """Yield the overrides that `closures solve` adds, mostly those that a gas has closures for."""
    few = gas != Gas()
    names = ("euler", "navier_stokes", "hermite", "entropy") if few else CLOSURES
    names = names if rng.random() < 0.95 else CLOSURES
    name = str(rng.choice([*names, "entropy", "entropy"]))
    yield f"closure={name}"
    if name == "entropy":
        if rng.random() < 0.7:
            yield f"closure.moments={rng.choice(SHIPPED[gas])}"
        if hybrid := rng.random() < 0.25:
            yield f"hybrid.threshold={rng.choice([0.0, 0.01, 0.1, 2.0])}"
        if rng.random() < (0.05 if hybrid else 0.6):
            yield "closure.fast=true"
    elif rng.random() < 0.6:
        yield f"closure.moments={rng.integers(1, 13)}"


def command(seed: int, number: int, folder: Path) -> list[str]:
    """Return the command line of case `number`, a pure function of its arguments."""
    rng = np.random.default_rng([seed, number])
    start = list(initial(rng, folder))
    if rng.random() < 0.5:
        return ["kinetic", "solve", *start, *physics(rng, OPERATORS)]
    chosen = list(physics(rng, KNOWN))
    given = dict(one.split("=") for one in chosen)
    gas = Gas(int(given["velocity.dim"]), given["collision"])
    of = gas if gas in SHIPPED else Gas(gas.dimension)
    return ["closures", "solve", *start, *chosen, *closure(rng, of)]


# ------------------------------------------------------------------------------------------
# Runs


def run(arguments: list[str], folder: Path) -> Outcome:
    """Run a command in this process and judge it."""
    import closures.cli
    import kinetic.cli

    main = {"kinetic": kinetic.cli.main, "closures": closures.cli.main}[arguments[0]]
    said, complaint = io.StringIO(), io.StringIO()
    start = time.perf_counter()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaint):
        status = main([*arguments[1:], f"hydra.run.dir={folder}"])
    kind, message = judge(status, complaint.getvalue().strip(), folder)
    return Outcome(kind, message, time.perf_counter() - start)


def judge(status: int, complaint: str, folder: Path) -> tuple[str, str]:
    """Return the kind of an outcome and what is to be said of it."""
    if status not in (0, 2, 3):
        return DEFECT, f"exit status {status}: {complaint[-2000:]}"
    if "\n" in complaint or (status != 0) != bool(complaint):
        return DEFECT, f"exit status {status} with the message {complaint[-2000:]!r}"
    path = folder / "solution.zarr"
    if (status == 0 or path.exists()) and (wrong := not_finite(path)):
        return DEFECT, wrong
    if status == 2:
        clear = " error: " in complaint and "=" in complaint
        return (REFUSED if clear else DEFECT), complaint
    if status == 3:
        clear = "t=" in complaint and "cell " in complaint and "rho=" in complaint
        return (NON_PHYSICAL if clear else DEFECT), complaint
    return SOLVED, ""


def not_finite(path: Path) -> str:
    """Say what is wrong with the numbers of a solution, nothing if all are right."""
    from kinetic.errors import InvalidInput
    from kinetic.output import read_solution

    if not path.exists():
        return "there is no solution.zarr"
    try:
        solution = read_solution(path).load()
    except InvalidInput as refusal:
        return str(refusal)
    bad = [name for name, one in solution.variables.items() if not np.isfinite(one.values).all()]
    return f"not finite: {', '.join(map(str, bad))}" if bad else ""


def _serve(calls: Connection) -> None:
    """Run the commands that come in, and send back their outcomes."""
    with contextlib.suppress(EOFError):
        while True:
            calls.send(run(*calls.recv()))


class Runner:
    """Runs commands in a process that is ended when one takes longer than `limit` seconds."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._calls, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def __call__(self, arguments: list[str], folder: Path) -> Outcome:
        """Return the outcome of a command; that of one that hangs or dies is a defect."""
        self._calls.send((arguments, folder))
        if self._calls.poll(self.limit):
            try:
                outcome: Outcome = self._calls.recv()
                return outcome
            except EOFError:
                said = "the process died, or raised what the command should have told"
        else:
            said = f"not done after {self.limit:g} s"
        self._process.kill()
        self._process.join()
        self._start()
        return Outcome(DEFECT, said, self.limit)


def table_of(counts: dict[str, Counter[str]]) -> str:
    """Return the table of outcomes by solver."""
    kinds = (SOLVED, REFUSED, NON_PHYSICAL, DEFECT)
    head = f"{'':24}" + "".join(f"{kind:>14}" for kind in kinds)
    rows = (
        f"{name:24}" + "".join(f"{found[kind]:14}" for kind in kinds)
        for name, found in sorted(counts.items())
    )
    return "\n".join([head, *rows])


def solver_name(arguments: list[str]) -> str:
    """Return what solves a case: the kinetic solver or a closure."""
    chosen = [one.removeprefix("closure=") for one in arguments if one.startswith("closure=")]
    hybrid = any(one.startswith("hybrid.threshold=") for one in arguments)
    fast = "closure.fast=true" in arguments
    return (chosen[0] if chosen else "kinetic") + " fast" * fast + " hybrid" * hybrid


def main(arguments: list[str] | None = None) -> int:
    """Run the cases, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description="random valid configurations")
    parser.add_argument("--configurations", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of a case")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    given = parser.parse_args(arguments)
    counts: dict[str, Counter[str]] = {}
    slowest, runner = 0.0, Runner(given.limit)
    for number in range(given.first, given.first + given.configurations):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            line = command(given.seed, number, folder)
            outcome = runner(line, folder / "run")
            for name in (solver_name(line), "together"):
                counts.setdefault(name, Counter())[outcome.kind] += 1
            slowest = max(slowest, outcome.seconds)
            if given.verbose or outcome.kind == DEFECT:
                print(f"{number}: {outcome.kind} {outcome.seconds:.1f} s: {shlex.join(line)}")
                print(f"    {outcome.message}", flush=True)
            if outcome.kind == DEFECT and (table := folder / "problem.csv").exists():
                shutil.copy(table, Path(tempfile.gettempdir()) / f"problem-{number}.csv")
    print(table_of(counts), f"slowest case: {slowest:.1f} s", sep="\n")
    return 1 if counts["together"][DEFECT] else 0


if __name__ == "__main__":
    sys.exit(main())
