"""How the suite measures: calls of one benchmark by turns, the best of each; growth by a fit.

Times of a machine with other work are worth little, ratios within one run are: what a benchmark
calls, what bounds it and what one would use instead take turns, so that whatever slows one slows
all. The best of many rounds is what the machine does when it is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

#: Seconds that the rounds of a benchmark take together, and that one timing takes at least.
BUDGET, SHORTEST = 4.0, 2e-3
MOST_ROUNDS = 200
#: How far the measured exponent may exceed the stated one. Repeated runs differ by 0.05; larger
#: arrays leave a cache, which adds as much.
NOISE = 0.15


@dataclass(frozen=True)
class Call:
    """Something to be timed.

    Attributes:
        function: called without arguments.
        factor: how often the benchmark would do this; its time is that of a call times this.
        reports: whether the function returns the seconds it took, by a clock of its own.
        once: whether a first call is worth as much as the next, and too long to be thrown away.
    """

    function: Callable[[], object]
    factor: float = 1.0
    reports: bool = False
    once: bool = False

    def seconds(self, number: int) -> float:
        """Return the seconds of a call, over `number` of them, times the factor."""
        if self.reports:
            own = self.function()
            assert isinstance(own, float)
            return self.factor * own
        begin = perf_counter()
        for _ in range(number):
            self.function()
        return self.factor * (perf_counter() - begin) / number


@dataclass(frozen=True)
class Case:
    """What a benchmark calls, and what it is compared with in the same run."""

    measured: Call
    limit: Call
    instead: Call
    rounds: int = MOST_ROUNDS


@dataclass(frozen=True)
class Benchmark:
    """A declared benchmark.

    Attributes:
        name: what is measured.
        limit, instead: what bounds it, and what one would use in its place.
        build: makes the case.
        seconds, times, bound: goals: most seconds, least times faster than `instead`, and most
            times `limit`.
    """

    name: str
    limit: str
    instead: str
    build: Callable[[], Case]
    seconds: float | None = None
    times: float | None = None
    bound: float | None = None


@dataclass(frozen=True)
class Result:
    """Seconds of a benchmark, of its limit and of the alternative, each the best of its run."""

    name: str
    limit: str
    instead: str
    measured: float
    bound: float
    alternative: float
    goal: str = ""

    @property
    def of_limit(self) -> float:
        """Times the limit."""
        return self.measured / self.bound

    @property
    def faster(self) -> float:
        """Times faster than the alternative."""
        return self.alternative / self.measured


@dataclass(frozen=True)
class Growth:
    """A declared growth: the time of a call against one size, and the complexity stated for it.

    Attributes:
        name, variable: what is timed, and what grows.
        sizes: values of the variable, increasing.
        stated: the complexity in words.
        cost: the complexity as a function of the size, up to a factor.
        build: makes the call of a size.
        rounds: most rounds.
    """

    name: str
    variable: str
    sizes: Sequence[float]
    stated: str
    cost: Callable[[float], float]
    build: Callable[[float], Call]
    rounds: int = MOST_ROUNDS


@dataclass(frozen=True)
class Grown:
    """Seconds at each size, the complexity there, and the exponent p of seconds ~ complexity^p."""

    name: str
    variable: str
    sizes: Sequence[float]
    stated: str
    costs: Sequence[float]
    seconds: Sequence[float]

    @property
    def exponent(self) -> float:
        """p; one if the time grows as stated, less if it grows more slowly."""
        return exponent(self.costs, self.seconds)

    @property
    def falls(self) -> bool:
        """Whether the time falls with the size, as with cores, where other work counts too."""
        return self.costs[-1] < self.costs[0]

    @property
    def as_stated(self) -> bool:
        """Whether the time grows no faster than stated, or falls as fast, within what is noise."""
        p = self.exponent
        return p >= 1.0 - NOISE if self.falls else p <= 1.0 + NOISE


def exponent(costs: Sequence[float], seconds: Sequence[float]) -> float:
    """Return p of the least-squares fit log seconds = p log cost + constant."""
    x, y = ([math.log(value) for value in values] for values in (costs, seconds))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return products / sum((a - mean_x) ** 2 for a in x)


def best_by_turns(
    calls: Mapping[str, Call], rounds: int, budget: float = BUDGET
) -> dict[str, float]:
    """Return the least seconds of each call, all measured in turns.

    Calls before the first turn compile and allocate, and say how often each is called in a timing.
    There are `rounds` turns, fewer if they take longer than `budget` seconds, but one at least.
    """
    numbers = {name: _number(call) for name, call in calls.items()}
    best = dict.fromkeys(calls, math.inf)
    begin = perf_counter()
    for _ in range(rounds):
        for name, call in calls.items():
            best[name] = min(best[name], call.seconds(numbers[name]))
        if perf_counter() - begin > budget:
            break
    return best


def _number(call: Call) -> int:
    """Return how many calls take long enough to be timed, after one that is not."""
    if call.reports or call.once:
        return 1
    call.function()
    once = call.seconds(1) / call.factor
    return max(1, math.ceil(SHORTEST / max(once, 1e-9)))


def run(benchmark: Benchmark) -> Result:
    """Measure a benchmark."""
    case = benchmark.build()
    calls = {"measured": case.measured, "limit": case.limit, "instead": case.instead}
    best = best_by_turns(calls, case.rounds)
    result = Result(
        benchmark.name,
        benchmark.limit,
        benchmark.instead,
        best["measured"],
        best["limit"],
        best["instead"],
    )
    goal = _goal(benchmark, result)
    return Result(**{**result.__dict__, "goal": goal})


def _goal(benchmark: Benchmark, result: Result) -> str:
    """Return the goal and whether it is reached, or nothing if there is none."""
    if benchmark.seconds is not None:
        reached = result.measured < benchmark.seconds
        return f"< {benchmark.seconds:g} s: {'yes' if reached else 'no'}"
    if benchmark.times is not None:
        return f">= {benchmark.times:g}: {'yes' if result.faster >= benchmark.times else 'no'}"
    if benchmark.bound is not None:
        reached = result.of_limit <= benchmark.bound
        return f"<= {benchmark.bound:g} × limit: {'yes' if reached else 'no'}"
    return ""


def grow(growth: Growth) -> Grown:
    """Measure a growth."""
    calls = {str(size): growth.build(size) for size in growth.sizes}
    best = best_by_turns(calls, growth.rounds)
    return Grown(
        growth.name,
        growth.variable,
        list(growth.sizes),
        growth.stated,
        [growth.cost(size) for size in growth.sizes],
        list(best.values()),
    )
