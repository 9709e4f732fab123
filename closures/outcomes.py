"""What a comparison found: an outcome for every case and closure, and metrics.json made of them.

metrics.json is strict JSON and, but for seconds, a pure function of the configuration:

    schema_version, package_version, versions, configuration
    threads      threads that a batch of a closure's cases may use; the reference uses one
    closures     {closure: {name, moments}}
    cases        [{family, seed, knudsen, closure, status, errors, seconds, reason}]: knudsen is
                 null if it varies in x, status is "ok" or "failed", errors, null if failed, is
                 {density, momentum, energy}, fractions; the reason is there only if failed
    summary      {closure: {family: {density, momentum, energy, seconds, failed, cases}}}, the means
                 over the cases that did not fail, null if all did
    decades      {closure: {family: [{from, to, density, momentum, energy, failed, cases}]}}: the
                 same means over the cases with from <= knudsen < to, decades without a case left
                 out; only of families whose Knudsen number is constant in x
    structure    {closure: {property: {value, passes}}}: which properties of the kinetic equation a
                 closure keeps, by the names of `closures.structure`, where each value is explained;
                 null if it could not be measured

The reference is among the closures as ``kinetic``, with errors zero, for its seconds.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import xarray as xr

from closures.closure import Closure
from closures.metrics import FIELDS, mean_error
from closures.structure import Finding
from kinetic.files import write_json
from kinetic.output import package_version
from kinetic.problems import InitialState

SCHEMA_VERSION = "1.0"
REFERENCE = "kinetic"
LIBRARIES = ("numpy", "numba", "scipy", "torch", "xarray")


@dataclass(frozen=True)
class Case:
    """One problem of a comparison: a draw of a family, and the state that it starts from."""

    family: str
    seed: int
    state: InitialState

    @property
    def knudsen(self) -> float | None:
        """The Knudsen number, None where it varies in x."""
        eps = self.state.knudsen
        return float(eps[0]) if (eps == eps[0]).all() else None

    @property
    def name(self) -> str:
        """Name for files, e.g. ``"mix-900003"``."""
        return f"{self.family}-{self.seed}"


@dataclass(frozen=True)
class Outcome:
    """How one closure did in one case.

    Attributes:
        case: the problem.
        closure: the closure as it is named in the configuration, or `REFERENCE`.
        errors: fraction for each of `FIELDS`; None if it failed.
        seconds: wall time of the solve alone; None where a failure does not say it.
        reason: why it failed; None if it did not.
        failed_at: time of the failure, where it is known.
        solution: the snapshots to be drawn, of the cases that are; as far as it came.
    """

    case: Case
    closure: str
    errors: dict[str, float] | None
    seconds: float | None
    reason: str | None = None
    failed_at: float | None = None
    solution: xr.Dataset | None = None

    @property
    def failed(self) -> bool:
        """Whether there is no solution at the last time."""
        return self.reason is not None

    def record(self) -> dict[str, Any]:
        """Return the entry in metrics.json."""
        entry = {
            "family": self.case.family,
            "seed": self.case.seed,
            "knudsen": self.case.knudsen,
            "closure": self.closure,
            "status": "failed" if self.failed else "ok",
            "errors": self.errors,
            "seconds": self.seconds,
        }
        return entry | ({"reason": self.reason} if self.failed else {})


#: Mean errors, mean seconds, and numbers of cases and failures.
Summary = dict[str, float | int | None]


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """Return mean errors and mean seconds of the cases that did not fail, and how many did."""
    done = [outcome for outcome in outcomes if outcome.errors is not None]
    means = {name: _mean(one.errors[name] for one in done if one.errors) for name in FIELDS}
    seconds = _mean(one.seconds for one in done if one.seconds is not None)
    counts = {"failed": len(outcomes) - len(done), "cases": len(outcomes)}
    return means | {"seconds": seconds} | counts


def by_decade(outcomes: Sequence[Outcome]) -> list[Summary]:
    """Return the summary, without seconds, of each decade [from, to) of a constant eps."""
    members: dict[int, list[Outcome]] = {}
    for one in outcomes:
        if one.case.knudsen is not None:
            members.setdefault(math.floor(math.log10(one.case.knudsen)), []).append(one)
    found: list[Summary] = []
    for decade in sorted(members):
        summary = summarise(members[decade])
        del summary["seconds"]
        summary |= {"from": float(f"1e{decade}"), "to": float(f"1e{decade + 1}")}
        found.append(summary)
    return found


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison found, in the order of the configuration.

    Attributes:
        folder: where its files are.
        configuration: the whole of it, as plain values.
        closures: the closures compared, by their names in the configuration.
        outcomes: family by family, the reference first in each, its cases by seed.
        threads: how many the batch of a closure may use.
        structure: what each closure keeps of the structure of the kinetic equation.
    """

    folder: Path
    configuration: dict[str, Any]
    closures: Mapping[str, Closure]
    outcomes: tuple[Outcome, ...]
    threads: int
    structure: Mapping[str, Mapping[str, Finding]]

    def __str__(self) -> str:
        return f"{self.folder / 'report.html'} ({', '.join(map(self._total, self.closures))})"

    def _total(self, closure: str) -> str:
        total = summarise([one for one in self.outcomes if one.closure == closure])
        failed = f", {total['failed']} of {total['cases']} failed" if total["failed"] else ""
        return f"{closure} {percent(total)}{failed}"

    @property
    def families(self) -> tuple[str, ...]:
        """Families compared."""
        return tuple(dict.fromkeys(one.case.family for one in self.outcomes))

    def of(self, closure: str, family: str) -> list[Outcome]:
        """Return the outcomes of one closure in one family."""
        return [one for one in self.outcomes if (one.closure, one.case.family) == (closure, family)]

    def summary(self) -> dict[str, dict[str, Summary]]:
        """Return closure -> family -> mean errors, mean seconds, number of cases and failures."""
        return {
            closure: {family: summarise(self.of(closure, family)) for family in self.families}
            for closure in (REFERENCE, *self.closures)
        }

    def decades(self) -> dict[str, dict[str, list[Summary]]]:
        """Return closure -> family -> mean errors of each decade, where eps is constant in x."""
        found = {
            closure: {family: by_decade(self.of(closure, family)) for family in self.families}
            for closure in self.closures
        }
        return {
            closure: {family: decades for family, decades in families.items() if decades}
            for closure, families in found.items()
        }

    def metrics(self) -> dict[str, Any]:
        """Return the contents of metrics.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "package_version": package_version(),
            "versions": versions(),
            "configuration": self.configuration,
            "threads": self.threads,
            "closures": {
                spec: {"name": closure.name, "moments": closure.moments}
                for spec, closure in self.closures.items()
            },
            "cases": [outcome.record() for outcome in self.outcomes],
            "summary": self.summary(),
            "decades": self.decades(),
            "structure": {
                closure: {name: finding.record() for name, finding in findings.items()}
                for closure, findings in self.structure.items()
            },
        }

    def write(self) -> Path:
        """Write metrics.json, complete or not at all."""
        return write_json(self.folder / "metrics.json", self.metrics())


def overall(summary: Summary) -> float | None:
    """Return the mean error of the three fields, None if every case failed."""
    known = {name: value for name in FIELDS if (value := summary[name]) is not None}
    return mean_error(known) if len(known) == len(FIELDS) else None


def percent(summary: Summary) -> str:
    """Return the mean error of the three fields in percent, or a dash if every case failed."""
    mean = overall(summary)
    return "–" if mean is None else f"{100 * mean:.2g} %"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the numerical libraries."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
