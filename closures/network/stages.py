"""The stages in which a closure of networks is trained: moments, fluxes, closed equations.

The first two fit the networks to samples of f (`closures.network.objectives`); for Boltzmann's
collisions `closures.network.collisions` has another one, before the last. That lets the finite
volumes run over windows of the data (`closures.unrolling`), which grow, and adjusts F~ and G~ until
the closed equations follow the kinetic one; w and the decoder stay, and so do conservation, the
fluxes of the Maxwellian and what else the networks have by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from closures import distributed
from closures.finite_volume import Failure
from closures.network.closure import NetworkClosure, Networks
from closures.network.labels import Samples, per_mass, read_samples
from closures.network.objectives import Objective, encode, set_scales
from closures.network.speeds import characteristic_speeds
from closures.stages import History, patience_is_spent
from closures.training import TrainOptions
from closures.unrolling import Array, Windows, collect_windows, unrolled_error
from kinetic.dataset import TrajectorySet

CHECK_EVERY = {"moments": 100, "fluxes": 100, "rollout": 10}
"""Steps between two looks at the validation set, each of which leaves a checkpoint."""

WINDOWS = 400
"""Most trajectories that the solver is run on, and a twentieth of it for validation."""

STARTS = (0.0, 0.3, 0.5)
"""Where windows begin, as fractions of the time of a trajectory."""

SHORTEST, LONGEST = 0.1, 0.4
"""Windows at the first and the last step, as fractions of the time of a trajectory."""

SPEED_SAMPLES = 2000
"""Samples of which the characteristic speeds are found."""


class Fit:
    """A stage that fits networks to samples of f.

    Args:
        name: of the stage.
        number: of the stage, for the order of samples.
        objective: what is minimised.
        options: of the training run.
    """

    data: Any
    held_out: Any

    def __init__(self, name: str, number: int, objective: Objective, options: TrainOptions) -> None:
        self.name, self.number, self.objective, self.options = name, number, objective, options
        self.steps, self.check_every = options.steps, CHECK_EVERY[name]

    def rates(self, learned: Networks) -> list[tuple[nn.Module, float]]:
        return [(part, self.options.learning_rate) for part in self.objective.trained]

    def begin(self, learned: Networks) -> None:
        """Let the moments of the data be of order one for the networks that are new to them."""
        if self.number == 0:
            set_scales(learned, self.data)

    def read(self, data: TrajectorySet, validation: TrajectorySet) -> None:
        fixed, options = self.objective.networks.kind.fixed, self.options
        sizes = ((data, options.samples), (validation, options.samples // 10))
        self.data, self.held_out = (
            self.objective.prepare(read_samples(source, fixed, most, options.seed))
            for source, most in sizes
        )

    def loss(self, learned: Networks, step: int) -> Tensor:
        rng = np.random.default_rng([self.options.seed, self.number, step])
        rows = torch.as_tensor(rng.integers(len(self.data), size=self.options.batch))
        return self.objective(self.data.take(distributed.share(rows)))

    def validate(self, learned: Networks) -> float:
        return float(self.objective(self.held_out))

    def stalled(self, history: History) -> bool:
        return patience_is_spent(history, self.options.patience)


class Rollout:
    """The stage that adjusts F~ and G~ through the solver."""

    name = "rollout"
    windows: Windows
    held_out: Windows
    samples: Samples

    def __init__(self, networks: Networks, options: TrainOptions) -> None:
        self.networks, self.options = networks, options
        self.steps, self.check_every = options.updates, CHECK_EVERY[self.name]

    def rates(self, learned: Networks) -> list[tuple[nn.Module, float]]:
        return [(learned.fluxes, self.options.update_rate)]

    def begin(self, learned: Networks) -> None:
        """Nothing is to be done."""

    def read(self, data: TrajectorySet, validation: TrajectorySet) -> None:
        average = averages(self.networks)
        self.windows = collect_windows(data, average, WINDOWS, STARTS)
        self.held_out = collect_windows(validation, average, WINDOWS // 20, STARTS)
        self.samples = read_samples(data, self.networks.kind.fixed, SPEED_SAMPLES, 0)

    def loss(self, learned: Networks, step: int) -> Tensor:
        rng = np.random.default_rng([self.options.seed, 2, step])
        count = min(self.options.trajectories, len(self.windows))
        rows = torch.as_tensor(rng.choice(len(self.windows), count, replace=False))
        start = int(rng.integers(len(self.windows.starts)))
        share = SHORTEST + (LONGEST - SHORTEST) * step / self.steps
        length = max(1, round(share * (len(self.windows.time) - 1)))
        return self._error(learned, self.windows, distributed.share(rows), start, length)

    def validate(self, learned: Networks) -> float:
        rows, length = torch.arange(len(self.held_out)), len(self.held_out.time)
        return float(self._error(learned, self.held_out, rows, 0, length))

    def stalled(self, history: History) -> bool:
        return False

    def _error(
        self, learned: Networks, windows: Windows, rows: Tensor, start: int, length: int
    ) -> Tensor:
        """Mean error; one whose solution breaks down, which nothing precludes, counts as 100 %."""
        speed = speeds_of(learned, self.samples)["largest"]
        closure = NetworkClosure(learned, speed, device=windows.knudsen.device)
        whole, lost = len(rows), 0
        while lost < whole:
            m = windows.averages[rows, start]
            try:
                error = unrolled_error(closure, m, windows, rows, start, length)
            except Failure as failure:
                failed = torch.unique(failure.cells // windows.knudsen.shape[1])
                kept = torch.ones(len(rows), dtype=torch.bool).index_fill(0, failed.cpu(), False)
                rows, lost = rows[kept], whole - int(kept.sum())
            else:
                return ((whole - lost) * error + lost) / whole
        # No trajectory has a gradient.
        return 1.0 + 0.0 * nn.utils.parameters_to_vector(learned.fluxes.parameters()).sum()


def averages(networks: Networks) -> Callable[[Array, Array], Tensor]:
    """m (n, K) of distributions f (n, ...) at the nodes v."""
    kind = networks.kind

    def average(f: Array, v: Array) -> Tensor:
        # The files' float32 is less than the moments of f in more dimensions need.
        f = f.astype(np.float64) if kind.gas.dimension > 1 else f
        sampled = per_mass(f, v, kind.fixed, kind.gas.dimension)
        c, g = (torch.as_tensor(one) for one in sampled)
        with torch.no_grad():
            return (g * (c[1] - c[0])) @ networks.moments(c)

    return average


@torch.no_grad()
def speeds_of(networks: Networks, samples: Samples) -> dict[str, float]:
    """Largest characteristic speed on samples, and the largest imaginary part of one."""
    rows = torch.linspace(0, len(samples) - 1, min(SPEED_SAMPLES, len(samples))).long()
    some = samples.take(rows)
    m = encode(networks, some).m
    closure = NetworkClosure(networks, speed=1.0)
    speeds = characteristic_speeds(closure, some.u, some.T, m, some.knudsen)
    return {
        "largest": float(speeds.abs().max()),
        "largest_imaginary": float(speeds.imag.abs().max()),
    }
