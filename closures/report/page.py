"""The page of a comparison: one file with its tables, text and figures, that needs no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr
from markupsafe import Markup

from closures.closure import Closure
from closures.library import LearnedClosure, LearnedReducedClosure
from closures.network.closure import NetworkClosure
from closures.outcomes import REFERENCE, Comparison, Outcome
from closures.report.figures import (
    dissipation_figure,
    error_figure,
    features_figure,
    training_figure,
)
from closures.report.hierarchy import hierarchies, hierarchy_figure
from closures.report.html import render, viewer, write_page
from closures.report.profiles import Showcase, distributions, profiles
from closures.report.reconstruction import samples
from closures.report.style import Drawing, Look, looks, settings
from closures.report.tables import (
    PROPERTY_NOTES,
    WORSE,
    accuracy,
    decade_rows,
    flat,
    structure_rows,
)
from closures.snapshots import Profile, fields, write_profiles
from kinetic.config import seed_range

TITLES = {
    "euler": "Euler",
    "navier_stokes": "Navier–Stokes",
    "hermite": "Hermite",
    "maxent": "maxent",
    "maxent_truncated": "maxent, truncated",
    "entropy": "entropy",
}


@dataclass(frozen=True)
class Section:
    """A part of the page: an anchor, a heading, a sentence on what is in it, and figures."""

    anchor: str
    heading: str
    text: str
    drawings: list[Drawing]


def write_report(comparison: Comparison) -> Path:
    """Write figures/, profiles.json and report.html to the folder of a comparison.

    Returns:
        The path of the page.
    """
    folder = comparison.folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    appearance = looks(labels(comparison.closures))
    shown = [profile(show, comparison) for show in showcases(comparison)]
    write_profiles(comparison.folder, shown)
    with settings():
        parts = [_drawn(section, folder) for section in sections(comparison, appearance)]
    return write_page(
        comparison.folder / "report.html", _render(comparison, appearance, parts, shown)
    )


def _drawn(section: Section, folder: Path) -> dict[str, Any]:
    """Save the figures of a section, and return what the template shows of it."""
    svgs = {one.name: Markup(one.save(folder)) for one in section.drawings}
    inside = [one for one in section.drawings if one.in_page]
    return {
        "section": replace(section, drawings=inside),
        "svgs": [svgs[one.name] for one in inside],
    }


def profile(show: Showcase, comparison: Comparison) -> Profile:
    """Return a case that is drawn, as the time slider shows it."""
    state = show.case.state
    solutions = {
        closure: fields(solution)
        for closure, outcome in show.outcomes.items()
        if isinstance(solution := outcome.solution, xr.Dataset)
    }
    failed = {name: one.failed_at for name, one in show.outcomes.items() if one.failed}
    return Profile(
        show.case.name,
        show.title,
        comparison.configuration["velocity"]["dim"],
        state.x,
        state.knudsen,
        show.reference.time.values,
        solutions,
        failed,
    )


def labels(closures: Mapping[str, Closure]) -> dict[str, str]:
    """Return a label for each closure; see `labels_of`."""
    return labels_of({spec: closure.moments for spec, closure in closures.items()})


def labels_of(counts: Mapping[str, int]) -> dict[str, str]:
    """Return a label for each closure, with as much of its directory as tells it from others.

    Those that would still share one keep their names as given. `counts` are numbers of moments.
    """
    short: dict[str, str] = {}
    for parts in (1, 2):
        often = Counter(short.values())
        short |= {
            spec: _label(spec, moments, parts)
            for spec, moments in counts.items()
            if often[short.get(spec, "")] != 1
        }
    often = Counter(short.values())
    return {spec: spec if often[name] > 1 else name for spec, name in short.items()}


def _label(spec: str, moments: int, parts: int) -> str:
    name = TITLES.get(spec.partition("-")[0], spec)
    if "/" in spec:
        place = Path(spec).parts[-parts:]
        # What training leaves is called like that in every run.
        name = "/".join(place[:-1] if len(place) > 1 and place[-1] == "model" else place)
    return f"{name}, K = {moments}" if moments else name


def sections(comparison: Comparison, appearance: Mapping[str, Look]) -> Iterator[Section]:
    """Yield the parts of the page that have figures, as they are drawn."""
    text = "How the error depends on the Knudsen number, that is, on the rarefaction of the gas."
    yield Section(
        "errors", "Error and Knudsen number", text, [error_figure(comparison, appearance)]
    )
    text = "What more moments bring, and what they cost."
    drawings = [hierarchy_figure(comparison, appearance)] if hierarchies(comparison) else []
    yield Section("hierarchy", "Moments and cost", text, drawings)
    text = (
        "The cases of the profiles above, at the end: f in three cells. Figures of the profiles at "
        "three times are among the files."
    )
    drawings = [
        one for show in showcases(comparison) for one in _case(show, comparison, appearance)
    ]
    yield Section("cases", "Distributions", text, drawings)
    yield from learned_sections(comparison.closures, appearance)


def learned_sections(
    closures: Mapping[str, Closure], appearance: Mapping[str, Look]
) -> Iterator[Section]:
    """Yield what was learned of the closures, and how; of networks their moments and fluxes."""
    kinds = LearnedClosure | LearnedReducedClosure
    maxent = {spec: one for spec, one in closures.items() if isinstance(one, kinds)}
    networks = {spec: one for spec, one in closures.items() if isinstance(one, NetworkClosure)}
    learned: dict[str, Any] = maxent | networks
    text = "What the learned closures carry besides density, momentum and energy."
    drawings = [
        features_figure(_slug(spec), one, appearance[spec]) for spec, one in learned.items()
    ]
    drawings += [
        dissipation_figure(_slug(spec), one, appearance[spec]) for spec, one in maxent.items()
    ]
    yield Section("moments", "Learned moments", text, drawings)
    text = "How the learned closures were trained."
    curves = {
        "training": {spec: one.history for spec, one in maxent.items() if one.history},
        "fluxes": {spec: one.history for spec, one in networks.items() if one.history},
        "rollout": {spec: one.rollout for spec, one in learned.items() if one.rollout},
    }
    drawings = [training_figure(name, each, appearance) for name, each in curves.items() if each]
    yield Section("training", "Training", text, drawings)


def showcases(comparison: Comparison) -> list[Showcase]:
    """Return the cases that are drawn: those whose reference was kept, by Knudsen number."""
    kept = [
        one.case
        for one in comparison.outcomes
        if one.closure == REFERENCE and one.solution is not None and not one.failed
    ]
    outcomes: dict[str, dict[str, Outcome]] = {case.name: {} for case in kept}
    for one in comparison.outcomes:
        if one.case.name in outcomes:
            outcomes[one.case.name][one.closure] = one
    kept.sort(key=lambda case: (case.knudsen is None, case.knudsen))
    return [Showcase(case, outcomes[case.name]) for case in kept]


def _case(show: Showcase, comparison: Comparison, appearance: Mapping[str, Look]) -> list[Drawing]:
    closures = {spec: one for spec, one in comparison.closures.items() if one.moments}
    chosen = samples(closures, show.reference.isel(time=-1))
    return [profiles(show, appearance), distributions(show, chosen, appearance)]


def _slug(spec: str) -> str:
    """Return a name for files: the letters, digits, - and _ of a closure's name."""
    return "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in spec).strip("-")


def _render(
    comparison: Comparison,
    appearance: Mapping[str, Look],
    parts: list[dict[str, Any]],
    shown: Sequence[Profile],
) -> str:
    return render(
        "comparison.html.j2",
        appearance,
        closures=list(comparison.closures),
        configuration=dict(flat(comparison.configuration)),
        decades=decade_rows(comparison),
        end=f"{comparison.configuration['time']['end']:g}",
        facts=_facts(comparison),
        failures=[one for one in comparison.outcomes if one.failed],
        parts=[part for part in parts if part["svgs"]],
        properties=PROPERTY_NOTES,
        structure=structure_rows(comparison),
        tables=accuracy(comparison),
        threads=comparison.threads,
        titles=[one.title for one in shown],
        viewer=viewer(shown, appearance),
        worse=f"{WORSE:g}",
    )


def _facts(comparison: Comparison) -> dict[str, str]:
    """Return what was run, in a few words each."""
    config = comparison.configuration
    compare, velocity = config["compare"], config["velocity"]
    first, last = compare["seed"], compare["seed"] + compare["cases"] - 1
    span = seed_range(first) if seed_range(first) == seed_range(last) else None
    failed = sum(one.failed for one in comparison.outcomes)
    return {
        "Families": ", ".join(comparison.families),
        "Cases": f"{compare['cases']} a family",
        "Seeds": f"{first} to {last}" + (f" ({span})" if span else ""),
        "Closures": str(len(comparison.closures)),
        "Failures": f"{failed} of {len(comparison.outcomes)} solutions",
        "Collisions": _collisions(config["collision"]),
        "Cells": str(config["cells"]),
        "Velocities of the reference": f"{velocity['points']} on ±{velocity['extent']:g}",
    }


def _collisions(collision: Mapping[str, Any]) -> str:
    """The operator, and its frequency nu where one can be chosen."""
    name = str(collision["name"])
    return name if name == "boltzmann" else f"{name}, nu {collision['frequency']}"
