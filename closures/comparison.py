"""Closures against the kinetic reference on many cases: metrics.json, figures and report.

A comparison changes the closure and nothing else: every case starts from the same distribution, on
the same cells, with the same collisions, boundary and final time as its reference.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import xarray as xr
from rich.console import Console
from rich.progress import Progress

from closures.blocks import Blocks, identify
from closures.closure import Closure
from closures.gas import Gas, check_gas, frequency
from closures.library import SHIPPED, ClosureConfig, parse
from closures.metrics import errors
from closures.outcomes import REFERENCE, Case, Comparison, Outcome, percent, summarise
from closures.report.page import write_report
from closures.solution import run_batch
from closures.structure import structure
from kinetic.config import FAMILIES, OutputConfig, Physics, ProblemConfig, SolveConfig, seed
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.options import Options, choice, integer, optional, several, text
from kinetic.problems import InitialState, problem
from kinetic.reference import run, warm_up
from kinetic.solver import Scheme

Result = xr.Dataset | Exception


@dataclass(frozen=True)
class CompareOptions(Options):
    """Which closures are compared, on which cases.

    A closure is a name, a name and a number of moments (``hermite-3``), or a model's directory;
    None: the standard ones of the gas. Case i of a family has the seed ``seed + i``.
    """

    PREFIX: ClassVar[str] = "compare"

    closures: Annotated[tuple[str, ...] | None, optional(several(text))] = None
    families: Annotated[tuple[str, ...], several(choice(FAMILIES))] = ("wave", "mix", "transition")
    cases: Annotated[int, integer(1, 1_000_000)] = 50
    seed: Annotated[int, seed] = 900_000

    def __post_init__(self) -> None:
        super().__post_init__()
        seed("compare.seed", self.seed + self.cases - 1)
        if REFERENCE in (self.closures or ()):
            raise InvalidInput("compare.closures", REFERENCE, "the reference is always included")


def standard_closures(gas: Gas) -> tuple[str, ...]:
    """Name what is compared if nothing is named: the classical closures and those shipped."""
    grad = ("hermite-3", "hermite-6") if gas.dimension == 1 else ("hermite-9",)
    shipped = (f"entropy-{moments}-fast" for moments in SHIPPED.get(gas.trained, ()))
    return ("euler", "navier_stokes", *grad, *shipped)


@dataclass(frozen=True)
class CompareConfig(Physics):
    """Everything that defines a comparison (``closures compare``).

    ``closure.moments`` belongs to the closures that are named without a number.
    """

    closure: ClosureConfig = field(default_factory=ClosureConfig)
    compare: CompareOptions = field(default_factory=CompareOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        gas = Gas.of(self)
        check_gas(gas)
        if self.compare.closures is None:
            completed = replace(self.compare, closures=standard_closures(gas))
            object.__setattr__(self, "compare", completed)

    @property
    def closures(self) -> tuple[str, ...]:
        """What is compared."""
        return self.compare.closures or ()

    def draw(self) -> list[Case]:
        """Draw the cases, family by family."""
        return [
            Case(
                family, number, problem(family, seed=number, knudsen=self.knudsen, cells=self.cells)
            )
            for family in self.compare.families
            for number in range(self.compare.seed, self.compare.seed + self.compare.cases)
        ]

    def reference(self, case: Case, distribution: bool) -> SolveConfig:
        """Return the configuration of the reference solution of a case."""
        return SolveConfig(
            **{item.name: getattr(self, item.name) for item in fields(Physics)},
            problem=ProblemConfig(case.family, case.seed),
            output=OutputConfig(distribution),
        )


def compare(
    config: CompareConfig | Mapping[str, Any], folder: str | os.PathLike[str], progress: bool = True
) -> Comparison:
    """Compare closures with the reference; write metrics.json, figures and report to `folder`.

    A closure that fails in a case stops nothing else: the failure is counted, with its reason.
    A comparison that was killed goes on where it was, see `closures.blocks`.

    Args:
        config: what to compare; a mapping is read by `CompareConfig.from_mapping`.
        folder: directory of the results.
        progress: tell standard error how far it is: in lines, and a bar on a terminal.

    Raises:
        InvalidInput: the configuration is not allowed, or names a closure that does not exist.
    """
    if not isinstance(config, CompareConfig):
        config = CompareConfig.from_mapping(config)
    closures = {
        spec: parse(spec, config.closure.moments, Gas.of(config)) for spec in config.closures
    }
    warm_up(Scheme(config.scheme.time, config.scheme.limiter, config.scheme.cfl))
    blocks = Blocks(Path(folder), identify(config.to_mapping(), closures))
    runner = _Runner(config, closures, _Announcer(progress), blocks)
    outcomes = tuple(runner.outcomes())
    kept = {spec: structure(closure) for spec, closure in closures.items()}
    threads = torch.get_num_threads()
    comparison = Comparison(Path(folder), config.to_mapping(), closures, outcomes, threads, kept)
    comparison.folder.mkdir(parents=True, exist_ok=True)
    comparison.write()
    _remove_figures(comparison.folder)
    write_report(comparison)
    blocks.remove()
    return comparison


def _remove_figures(folder: Path) -> None:
    """Remove the figures of an earlier comparison, which may have drawn others."""
    for suffix in ("png", "pdf"):
        for figure in (folder / "figures").glob(f"*.{suffix}"):
            figure.unlink()


def showcases(cases: Sequence[Case]) -> list[Case]:
    """Choose the cases to draw: one for each decade of eps that occurs, and one with eps(x).

    The families that a decade has take turns from one decade to the next.
    """
    decades: dict[int, list[tuple[float, Case]]] = {}
    for case in cases:
        if case.knudsen is not None:
            exponent = math.log10(case.knudsen)
            decade = math.floor(exponent)
            decades.setdefault(decade, []).append((abs(exponent - decade - 0.5), case))
    chosen = [_central(decades[decade], turn) for turn, decade in enumerate(sorted(decades))]
    return chosen + [case for case in cases if case.knudsen is None][:1]


def _central(candidates: Sequence[tuple[float, Case]], turn: int) -> Case:
    """Return the case nearest to the middle of its decade, of the family whose turn it is."""
    families = list(dict.fromkeys(case.family for _, case in candidates))
    family = families[turn % len(families)]
    return min((one for one in candidates if one[1].family == family), key=itemgetter(0))[1]


class _Announcer:
    """Says how far a comparison is: a line for each closure and family, and a bar on a terminal."""

    def __init__(self, enabled: bool) -> None:
        self._console = Console(stderr=True, quiet=not enabled)
        self._bar = Progress(
            console=self._console, transient=True, disable=not self._console.is_terminal
        )

    @contextmanager
    def total(self, solutions: int) -> Iterator[None]:
        """Show the bar for so many solutions."""
        with self._bar:
            self._bar.add_task("solutions", total=solutions)
            yield

    def report(self, outcomes: Sequence[Outcome]) -> None:
        """Print the line of one closure in one family, and move the bar."""
        for task in self._bar.task_ids:
            self._bar.advance(task, len(outcomes))
        summary, first = summarise(outcomes), outcomes[0]
        line = (
            f"{first.case.family}: {first.closure}: {summary['cases']} cases, "
            f"{summary['failed']} failed, mean error {percent(summary)}"
        )
        if summary["seconds"] is not None:
            line += f", {1e3 * summary['seconds']:.3g} ms a case"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class _Runner:
    """Solves the cases of a comparison in order."""

    config: CompareConfig
    closures: Mapping[str, Closure]
    announcer: _Announcer
    blocks: Blocks

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes family by family, those of the reference first."""
        cases = self.config.draw()
        shown = {case.name for case in showcases(cases)}
        with self.announcer.total(len(cases) * (1 + len(self.closures))):
            for family in self.config.compare.families:
                yield from self._family([case for case in cases if case.family == family], shown)

    def _family(self, cases: list[Case], shown: set[str]) -> Iterator[Outcome]:
        references = self._block(REFERENCE, cases, partial(self._solve_references, cases, shown))
        yield from (one if one.case.name in shown else _unseen(one) for one in references)
        results = [_result(one) for one in references]
        for spec in self.closures:
            solve = partial(self._solve, spec, cases, results, shown)
            yield from self._block(spec, cases, solve)

    def _block(
        self, closure: str, cases: list[Case], solve: Callable[[], list[Outcome]]
    ) -> list[Outcome]:
        """Return what an earlier run found, or else what `solve` finds, which is then kept."""
        outcomes = self.blocks.load(closure, cases)
        if outcomes is None:
            outcomes = solve()
            self.blocks.save(outcomes)
        self.announcer.report(outcomes)
        return outcomes

    def _solve_references(self, cases: list[Case], shown: set[str]) -> list[Outcome]:
        """Return the outcomes of the reference, with all solutions, to compare closures to them.

        One case is solved at a time so that its seconds are its own.
        """
        results = [self._reference(case, case.name in shown) for case in cases]
        return [
            judge(case, REFERENCE, result, result, keep=True)
            for case, result in zip(cases, results, strict=True)
        ]

    def _solve(
        self, spec: str, cases: list[Case], references: list[Result], shown: set[str]
    ) -> list[Outcome]:
        """Return the outcomes of a closure, which solves all cases at once."""
        results = self._batch(self.closures[spec], [case.state for case in cases])
        return [
            judge(case, spec, result, reference, keep=case.name in shown)
            for case, result, reference in zip(cases, results, references, strict=True)
        ]

    def _reference(self, case: Case, shown: bool) -> Result:
        """Solve with the kinetic equation; only cases that are shown need more than the end."""
        try:
            solution = run(self.config.reference(case, distribution=shown))
        except NonPhysicalState as failure:
            return failure
        return solution if shown else solution.isel(time=[-1])

    def _batch(self, closure: Closure, states: list[InitialState]) -> Sequence[Result]:
        config = self.config
        try:
            return run_batch(
                closure,
                states,
                end=config.time.end,
                snapshots=config.time.snapshots,
                collision=frequency(config.collision),
                boundary=config.boundary,
                scheme=config.scheme,
            )
        except (ArithmeticError, RuntimeError) as failure:
            # The closure did not even fail case by case: its cases are lost, no others are.
            return [failure] * len(states)


def _unseen(outcome: Outcome) -> Outcome:
    """Return an outcome without its solution."""
    return replace(outcome, solution=None)


def _result(outcome: Outcome) -> Result:
    """Return the solution that an outcome keeps, or the reason why it has none."""
    if outcome.solution is None or outcome.reason is not None:
        return ArithmeticError(outcome.reason)
    return outcome.solution


def judge(
    case: Case, closure: str, result: Result, reference: Result, *, keep: bool = False
) -> Outcome:
    """Return the outcome of a solution, or of the failure to find one, against its reference.

    Args:
        case: what was solved.
        closure: by what.
        result: its solution, or why there is none.
        reference: the reference solution, or why there is none.
        keep: whether the outcome holds the solution.
    """
    if isinstance(result, Exception):
        solution: xr.Dataset | None = getattr(result, "solution", None)
        reason: str | None = str(result)
        values = None
    else:
        solution = result
        values, reason = _errors(result, reference)
    return Outcome(
        case,
        closure,
        errors=values,
        seconds=None if solution is None else float(solution.attrs["solver_seconds"]),
        reason=reason,
        failed_at=result.time if isinstance(result, NonPhysicalState) else None,
        solution=solution if keep else None,
    )


def _errors(solution: xr.Dataset, reference: Result) -> tuple[dict[str, float] | None, str | None]:
    """Return the errors, or why there are none."""
    if isinstance(reference, Exception):
        return None, f"the reference failed: {reference}"
    values = errors(solution, reference)
    if not all(map(math.isfinite, values.values())):
        return None, "the solution is not finite"
    return values, None
