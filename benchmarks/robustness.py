"""How closures stand gases that are rougher, and runs that are longer, than what they learned from.

python benchmarks/robustness.py entropy-6-fast entropy-9-fast --cases 100
python benchmarks/robustness.py entropy-6-fast --cases 10 --end 2

Profiles are those of the families with amplitudes and jumps `--strength` times as large: A of rho,
u and T of a wave about their means, and what the inside of a plateau has beyond its outside. For
each closure and family it is said how many profiles failed and how large the errors of the others
are (`closures.metrics`, mean of the three fields; momentum counts relative to itself, so it says
little once the gas is at rest); the largest change of total mass, momentum or energy, per mass;
and, of the way to equilibrium,

    sqrt< (rho - rho_e)^2/rho_e^2 + (u - u_e)^2/T_e + (T - T_e)^2/T_e^2 >

at the end as a share of what it was at the start, rho_e, u_e, T_e the uniform Maxwellian that has
the same totals: of the closure and of the kinetic reference.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr

from closures.library import parse
from closures.metrics import FIELDS, Array, field, relative_errors
from closures.solution import run_batch
from kinetic.collisions import BGK
from kinetic.config import (
    FAMILIES,
    SEED_RANGES,
    SchemeConfig,
    SolveConfig,
    TimeConfig,
    VelocityConfig,
)
from kinetic.errors import NonPhysicalState
from kinetic.moments import moments_of
from kinetic.problems import (
    Harmonic,
    InitialState,
    Mix,
    Profile,
    Shock,
    Wave,
    cell_centers,
    draw,
)
from kinetic.reference import discretise

STRENGTH = 1.5
CELLS = 100
VELOCITY = VelocityConfig(points=101, extent=10.0)
"""Holds the tails of hotter gases than the default grid does."""


@dataclass(frozen=True)
class Outcome:
    """U (time, cells, 3) of one profile at the start and the end."""

    reference: Array
    solution: Array

    @property
    def error(self) -> float:
        """Mean relative error of the three fields at the end."""
        return float(np.mean(relative_errors(self.solution[-1].T, self.reference[-1].T)))

    @property
    def drift(self) -> float:
        """Largest change of total mass, momentum and energy per mass."""
        totals = self.solution.sum(axis=1)
        return float(np.abs(totals[-1] - totals[0]).max() / totals[0, 0])


def stronger_wave(wave: Wave, factor: float) -> Wave:
    """Return the wave with amplitudes `factor` times as large."""

    def raised(field: Harmonic) -> Harmonic:
        return replace(field, amplitude=factor * field.amplitude)

    return replace(
        wave, fields=tuple((raised(rho), raised(u), raised(T)) for rho, u, T in wave.fields)
    )


def stronger_shock(shock: Shock, factor: float) -> Shock:
    """Return the plateau with jumps `factor` times as large."""
    jumps = zip(shock.inside, shock.outside, strict=True)
    rho, T = (outside + factor * (inside - outside) for inside, outside in jumps)
    return replace(shock, inside=(rho, T))


def stronger(profile: Profile, factor: float) -> Profile:
    """Return a profile of a family with amplitudes and jumps `factor` times as large."""
    match profile:
        case Wave():
            return stronger_wave(profile, factor)
        case Shock():
            return stronger_shock(profile, factor)
        case Mix(alpha, wave, shock):
            return Mix(alpha, stronger_wave(wave, factor), stronger_shock(shock, factor))
    raise TypeError(f"no amplitudes and jumps are known of {type(profile).__name__}")


def state_of(family: str, seed: int, strength: float) -> InitialState:
    """Return draw number `seed` of a family, stronger."""
    profile, knudsen = draw(family, seed)
    x = cell_centers(CELLS)
    return InitialState(x, knudsen(x), stronger(profile, strength).components(x))


def reference_of(state: InitialState, end: float) -> Array:
    """Return U (2, cells, 3) of the kinetic solution at the start and the end."""
    config = SolveConfig(cells=CELLS, velocity=VELOCITY, time=TimeConfig(end, 2))
    solver, f0 = discretise(config, state)
    snapshots = solver.evolve(f0, end=end, snapshots=2)
    return np.stack([moments_of(snapshot.f, solver.grid) for snapshot in snapshots])


def conserved_of(solution: xr.Dataset) -> Array:
    """Return U (2, cells, 3) of a solution."""
    return np.stack([field(solution, name).values for name in FIELDS], axis=-1)


def deviation(U: Array) -> float:
    """Return how far U (cells, 3) is from the uniform Maxwellian with the same totals."""

    def primitive(U: Array) -> Array:
        rho, momentum, energy = np.moveaxis(U, -1, 0)
        u = momentum / rho
        return np.stack((rho, u, 2.0 * energy / rho - u**2), axis=-1)

    rho, u, T = primitive(U.mean(axis=0))
    difference = (primitive(U) - (rho, u, T)) / (rho, np.sqrt(T), T)
    return float(np.sqrt((difference**2).sum(axis=1).mean()))


def decay(U: Array) -> float:
    """Return the deviation at the end as a share of that at the start, of U (2, cells, 3)."""
    return deviation(U[-1]) / deviation(U[0])


def outcomes(
    name: str, states: Sequence[InitialState], end: float
) -> list[Outcome | NonPhysicalState]:
    """Return what a closure makes of the states, or why it failed."""
    found = run_batch(
        parse(name),
        states,
        end=end,
        snapshots=2,
        collision=BGK(),
        boundary=None,
        scheme=SchemeConfig(),
    )
    return [
        one
        if isinstance(one, NonPhysicalState)
        else Outcome(reference_of(state, end), conserved_of(one))
        for state, one in zip(states, found, strict=True)
    ]


def spread(values: Sequence[float]) -> str:
    """Return median and largest value in percent."""
    return f"{100 * np.median(values):.2g} % median, {100 * max(values):.2g} % at most"


def lines(found: Sequence[Outcome | NonPhysicalState]) -> Iterator[str]:
    """Yield what is said of the outcomes of one closure on one family."""
    solved = [one for one in found if isinstance(one, Outcome)]
    yield f"{len(found) - len(solved)} of {len(found)} failed"
    if solved:
        mistakes = [one.error for one in solved]
        yield f"error {100 * np.mean(mistakes):.2g} % mean, {spread(mistakes)}"
        yield f"totals change by {max(one.drift for one in solved):.0e}"
        yield f"deviation left {spread([decay(one.solution) for one in solved])}"
        yield f"kinetic        {spread([decay(one.reference) for one in solved])}"
    for number, one in enumerate(found):
        if isinstance(one, NonPhysicalState):
            yield f"profile {number}: {one}"


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="rough gases, long runs: failures and errors")
    parser.add_argument("closures", nargs="+", help="as in compare.closures")
    parser.add_argument(
        "--families", nargs="+", choices=FAMILIES, default=["wave", "mix", "transition"]
    )
    parser.add_argument("--cases", type=int, default=100, help="profiles of each family")
    parser.add_argument("--seed", type=int, default=SEED_RANGES["test"][0], help="of the first one")
    parser.add_argument("--strength", type=float, default=STRENGTH, help="of amplitudes and jumps")
    parser.add_argument("--end", type=float, default=0.1, help="time at the end")
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    asked = arguments()
    for name in asked.closures:
        for family in asked.families:
            states = [state_of(family, asked.seed + i, asked.strength) for i in range(asked.cases)]
            found = outcomes(name, states, asked.end)
            print(f"{name} on {family}:", *lines(found), sep="\n    ", flush=True)
