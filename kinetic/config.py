"""Configuration of the reference solver and of data sets: names, defaults and what is allowed.

The names are a contract shared by the command line, `kinetic.solve` and the attributes of every
file written. All quantities are dimensionless, in the scaling stated in `kinetic`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar

from kinetic.errors import InvalidInput
from kinetic.execution import ExecutionConfig
from kinetic.options import (
    Options,
    choice,
    flag,
    integer,
    optional,
    positive,
    several,
    text,
)

#: Seeded families of initial data (design, section 3).
FAMILIES = ("wave", "shock", "mix", "transition")
PROBLEMS = (*FAMILIES, "sod", "file")
#: Values of velocity.dim for which each collision operator is available.
OPERATORS: dict[str, tuple[int, ...]] = {
    "bgk": (1, 2, 3),
    "shakhov": (1, 2, 3),
    "es_bgk": (2, 3),
    "boltzmann": (2,),
}
#: Keys of a collision operator that the others must leave at their defaults.
OWN_KEYS = {
    "frequency": ("bgk", "es_bgk", "shakhov"),
    "prandtl": ("es_bgk", "shakhov"),
    "angles": ("boltzmann",),
}
#: Nodes along an axis and extent, by dimension, of the grids used where none is asked for.
DEFAULT_POINTS = {1: 81, 2: 48, 3: 81}
#: 9.2 lets `boltzmann` relax stress and heat flux of the seeded families at rates right to 0.1 %;
#: with 8 the cut tails of the hottest gas, at T = 2, cost 1 %, with 10 the spacing 0.1 %.
DEFAULT_EXTENT = {1: 8.0, 2: 9.2, 3: 8.0}
FREQUENCIES = ("constant", "density", "power")
BOUNDARIES = ("periodic", "outflow")
TABLEAUX = ("hsz2", "ars222", "ars443")
LIMITERS = ("third", "minmod", "van_leer", "mc", "van_albada")

#: Seeds [first, end) of each kind of data set; the ranges are disjoint, so no two kinds ever
#: share a trajectory. All seeds for training, validation and testing are taken from here.
SEED_RANGES = {
    "training": (0, 500_000),
    "validation": (500_000, 900_000),
    "test": (900_000, 2**31),
}

#: Cells where neither a file nor the configuration says how many.
CELLS = 100

#: Largest run accepted: time steps, and bytes of arrays held at once.
STEP_LIMIT = 1e9
MEMORY_LIMIT = 16 * 2**30
#: Arrays that a time step holds (stages, work space and result), and fields of a snapshot.
ARRAYS_PER_STEP = 12
FIELDS = 6

seed = integer(0, 2**31 - 1)


@dataclass(frozen=True)
class ProblemConfig(Options):
    """Initial data: a seeded family, ``sod``, or ``file`` with a `path` (CSV or solution.zarr)."""

    PREFIX: ClassVar[str] = "problem"
    SCALAR: ClassVar[str] = "name"

    name: Annotated[str, choice(PROBLEMS)] = "wave"
    seed: Annotated[int, seed] = 0
    path: Annotated[str | None, optional(text)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "file" and self.path is None:
            raise InvalidInput("problem.path", None, "problem=file needs a CSV or a solution.zarr")
        if self.name != "file" and self.path is not None:
            raise InvalidInput("problem.path", self.path, "only problem=file reads a file")


@dataclass(frozen=True)
class CollisionConfig(Options):
    """Collision operator.

    `bgk`, `es_bgk` and `shakhov` relax at the `frequency` nu = 1, rho or rho T^(1 - omega), the
    last two with the Prandtl number `prandtl`, by default that of Maxwell molecules. `boltzmann`:
    Maxwell molecules, by the fast spectral method with so many `angles`.
    """

    PREFIX: ClassVar[str] = "collision"
    SCALAR: ClassVar[str] = "name"

    name: Annotated[str, choice(OPERATORS)] = "bgk"
    frequency: Annotated[str, choice(FREQUENCIES)] = "constant"
    omega: Annotated[float, positive(0.5, 1.5)] = 0.81
    prandtl: Annotated[float | None, optional(positive(0.01, 100.0))] = None
    angles: Annotated[int, integer(4, 128)] = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.angles % 4:
            raise InvalidInput("collision.angles", self.angles, "must be a multiple of four")
        defaults = {item.name: item.default for item in fields(self)}
        for name, owners in OWN_KEYS.items():
            value = getattr(self, name)
            if self.name not in owners and value != defaults[name]:
                allowed = f"only for collision={' or '.join(owners)}, not for {self.name}"
                raise InvalidInput(self.key(name), value, allowed)
        if self.frequency != "power" and self.omega != defaults["omega"]:
            raise InvalidInput(self.key("omega"), self.omega, "only for collision.frequency=power")


@dataclass(frozen=True)
class VelocityConfig(Options):
    """Uniform velocity grid: `points` nodes on [-extent, extent] along each of its axes.

    Those that are not given are 81 points to 8, for `dim` 2 instead 48 points to 9.2.
    """

    PREFIX: ClassVar[str] = "velocity"

    dim: Annotated[int, integer(1, 3)] = 1
    # None only until the instance is made.
    points: Annotated[int, optional(integer(8, 4096))] = None  # type: ignore[assignment]
    extent: Annotated[float, optional(positive(0.1, 1000.0))] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points is None:
            object.__setattr__(self, "points", DEFAULT_POINTS[self.dim])
        if self.extent is None:
            object.__setattr__(self, "extent", DEFAULT_EXTENT[self.dim])

    @property
    def columns(self) -> int:
        """Numbers that hold f in one cell."""
        return {1: self.points, 2: self.points**2, 3: 2 * self.points}[self.dim]


@dataclass(frozen=True)
class TimeConfig(Options):
    """Final time (absolute, also after a restart) and number of snapshots, both ends included."""

    PREFIX: ClassVar[str] = "time"

    end: Annotated[float, positive(1e-12, 1e4)] = 0.1
    snapshots: Annotated[int, integer(2, 100_000)] = 11


@dataclass(frozen=True)
class SchemeConfig(Options):
    """IMEX Runge-Kutta tableau, limiter of the reconstruction, and CFL number of transport."""

    PREFIX: ClassVar[str] = "scheme"
    SCALAR: ClassVar[str] = "time"

    time: Annotated[str, choice(TABLEAUX)] = "hsz2"
    limiter: Annotated[str, choice(LIMITERS)] = "third"
    cfl: Annotated[float, positive(1e-6, 0.5)] = 0.4


@dataclass(frozen=True)
class OutputConfig(Options):
    """Whether the distribution function is stored beside its moments, as a restart needs."""

    PREFIX: ClassVar[str] = "output"

    distribution: Annotated[bool, flag] = False


@dataclass(frozen=True)
class Physics(Options):
    """What one run of the solver needs besides its initial data.

    `knudsen` replaces the Knudsen number of the problem by a constant; `boundary` replaces the
    boundary condition that goes with the problem.
    """

    knudsen: Annotated[float | None, optional(positive(1e-12, 1e12))] = None
    collision: CollisionConfig = field(default_factory=CollisionConfig)
    velocity: VelocityConfig = field(default_factory=VelocityConfig)
    cells: Annotated[int, integer(4, 1_000_000)] = CELLS
    time: TimeConfig = field(default_factory=TimeConfig)
    boundary: Annotated[str | None, optional(choice(BOUNDARIES))] = None
    scheme: SchemeConfig = field(default_factory=SchemeConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_operator(self)
        check_size(self, distributions=0)


@dataclass(frozen=True)
class SolveConfig(Physics):
    """Everything that defines one reference solution (``kinetic solve``)."""

    problem: ProblemConfig = field(default_factory=ProblemConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self, distributions=self.time.snapshots if self.output.distribution else 0)


@dataclass(frozen=True)
class DatasetConfig(Options):
    """Size and seeds of a data set.

    Trajectory i belongs to family ``families[i % len(families)]`` and has seed ``seed + i``.
    `workers` is the number of processes, as ``execution.workers``; it does not change the result.
    `path` is where the data set goes, a directory or a URL for fsspec (``s3://...``); by default
    ``dataset.zarr`` in the directory of the results.
    """

    PREFIX: ClassVar[str] = "dataset"

    trajectories: Annotated[int, integer(1, 10_000_000)] = 100
    families: Annotated[tuple[str, ...], several(choice(FAMILIES))] = FAMILIES
    seed: Annotated[int, seed] = 0
    workers: Annotated[int | None, optional(integer(1, 1024))] = None
    path: Annotated[str | None, optional(text)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if seed_range(self.seed) != seed_range(self.seed + self.trajectories - 1):
            spans = ", ".join(f"{name} [{a}, {b})" for name, (a, b) in SEED_RANGES.items())
            allowed = f"seed and the last of {self.trajectories} must lie in one range: {spans}"
            raise InvalidInput("dataset.seed", self.seed, allowed)


@dataclass(frozen=True)
class DatasetRunConfig(Physics):
    """Everything that defines a data set (``kinetic dataset``).

    `problem`, when it is given, names the only family; the seeds come from ``dataset.seed``.
    """

    problem: Annotated[ProblemConfig | None, optional(ProblemConfig.accept)] = None
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self, distributions=self.time.snapshots)
        if self.execution.workers is None and self.execution.address is None:
            execution = replace(self.execution, workers=self.dataset.workers)
            object.__setattr__(self, "execution", execution)
        if self.problem is None:
            return
        choice(FAMILIES)("problem.name", self.problem.name)
        if self.problem.seed != 0:
            raise InvalidInput("problem.seed", self.problem.seed, "use dataset.seed for a data set")

    @property
    def families(self) -> tuple[str, ...]:
        """Families in the data set."""
        return self.dataset.families if self.problem is None else (self.problem.name,)

    def trajectory(self, index: int) -> SolveConfig:
        """Return the configuration of one trajectory, distribution included."""
        family = self.families[index % len(self.families)]
        return SolveConfig(
            **{item.name: getattr(self, item.name) for item in fields(Physics)},
            problem=ProblemConfig(family, self.dataset.seed + index),
            output=OutputConfig(distribution=True),
        )

    def identity(self) -> dict[str, Any]:
        """Return what determines the result, and nothing else, as a nested mapping."""
        values = self.to_mapping()
        del values["problem"], values["execution"]
        del values["dataset"]["workers"], values["dataset"]["path"]
        values["dataset"]["families"] = list(self.families)
        return values


def check_cells(cells: int, rows: int) -> None:
    """Refuse cells that were asked for beside a file that has others.

    Raises:
        InvalidInput: they are neither its rows nor the default.
    """
    if cells not in (CELLS, rows):
        allowed = f"the rows of the file give the cells, {rows}; leave it out"
        raise InvalidInput("cells", cells, allowed)


def seed_range(value: int) -> str | None:
    """Return the name of the range in `SEED_RANGES` that holds the seed, None beyond the last."""
    for name, (first, end) in SEED_RANGES.items():
        if first <= value < end:
            return name
    return None


def check_operator(config: Physics) -> None:
    """Refuse a collision operator on a velocity grid that it does not work on.

    Raises:
        InvalidInput: it is not available in so many dimensions, or with so many points.
    """
    name, velocity = config.collision.name, config.velocity
    if velocity.dim not in OPERATORS[name]:
        dims = " or ".join(f"velocity.dim={dim}" for dim in OPERATORS[name])
        allowed = f"not available with velocity.dim={velocity.dim}; needs {dims}"
        raise InvalidInput("collision.name", name, allowed)
    prandtl, least = config.collision.prandtl, (velocity.dim - 1) / velocity.dim
    if name == "es_bgk" and prandtl is not None and prandtl < least * (1.0 - 1e-12):
        allowed = f"must be at least {least:.4g} for es_bgk with velocity.dim={velocity.dim}"
        raise InvalidInput("collision.prandtl", prandtl, allowed)
    if name == "boltzmann" and (velocity.points % 2 or not 16 <= velocity.points <= 1024):
        allowed = "must be even, from 16 to 1024, for collision=boltzmann"
        raise InvalidInput("velocity.points", velocity.points, allowed)


def check_size(config: Physics, distributions: int) -> None:
    """Refuse a run that would never end or that no memory would hold.

    Args:
        config: the run; its time step is cfl dx / extent.
        distributions: number of distribution functions that are stored besides those of a step.

    Raises:
        InvalidInput: more than `STEP_LIMIT` steps, or arrays of more than `MEMORY_LIMIT` bytes.
    """
    cells, snapshots = config.cells, config.time.snapshots
    columns = config.velocity.columns
    steps = config.time.end * config.velocity.extent * cells / config.scheme.cfl
    if steps > STEP_LIMIT:
        allowed = f"needs {steps:.2g} time steps on these grids; at most {STEP_LIMIT:.0e}"
        raise InvalidInput("time.end", config.time.end, allowed)
    in_cell = columns * (ARRAYS_PER_STEP + distributions) + FIELDS * snapshots
    if 8 * cells * in_cell > MEMORY_LIMIT:
        sizes = f"{cells} cells, {columns} velocities and {snapshots} snapshots"
        needed, most = 8 * cells * in_cell / 2**30, MEMORY_LIMIT / 2**30
        allowed = f"{sizes} need {needed:.0f} GiB; use fewer, for at most {most:.0f} GiB"
        raise InvalidInput("cells", cells, allowed)
