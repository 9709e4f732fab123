"""The stage in which a closure of networks learns Boltzmann's collisions.

    R = -A(m) m,    A = L L^T,    R_k = int w_k(c) Q(f) dv / rho^2        (Maxwell molecules)

for w as the first stage has left it. A is that of `closures.network.production`: the response of
the operator near equilibrium, plus a network of m. Labels are the operator's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from closures import distributed
from closures.linear_response import in_frame, linear_response, operator_of
from closures.network.closure import Networks
from closures.network.moments import HermiteMoments, LearnedMoments
from closures.network.production import Production, relative_error
from closures.network.stages import averages
from closures.reduced_samples import reduce
from closures.samples import drawn
from closures.stages import History, patience_is_spent
from closures.training import TrainOptions
from kinetic.dataset import TrajectorySet

CHECK_EVERY = 100
"""Steps between two looks at the validation set, each of which leaves a checkpoint."""

RATE, SHARE = 3e-3, 10
"""Learning rate of A, and how many samples of f there are for each of its."""

TOGETHER = 256
"""Distributions that w is integrated over at a time."""


@dataclass(frozen=True)
class AsFeatures:
    """w of networks as `closures.reduced.ReducedFeatures` of the collision operator."""

    moments: HermiteMoments | LearnedMoments

    @torch.no_grad()
    def matrix(self, c: Tensor) -> Tensor:
        """a and b at nodes (n,): (2, n, K)."""
        return torch.stack(self.moments(c).chunk(2))

    @torch.no_grad()
    def integrate(self, c: Tensor, g: Tensor) -> Tensor:
        """sum_n g_n a_k(c_n) + s_n b_k(c_n), (M, K)."""
        rows = zip(c.split(TOGETHER), torch.cat(g.unbind(), dim=1).split(TOGETHER), strict=True)
        return torch.cat([torch.einsum("mn,mnk->mk", f, self.moments(nodes)) for nodes, f in rows])


class Collisions:
    """The stage that learns R = -A(m) m of Boltzmann's collisions, for w as it is."""

    name = "collisions"
    data: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]

    def __init__(self, networks: Networks, options: TrainOptions) -> None:
        self.networks, self.options = networks, options
        self.steps, self.check_every = options.steps, CHECK_EVERY

    @property
    def production(self) -> Production:
        """What is trained."""
        assert self.networks.production is not None
        return self.networks.production

    def rates(self, learned: Networks) -> list[tuple[nn.Module, float]]:
        return [(part, RATE) for part in self.production.network]

    def begin(self, learned: Networks) -> None:
        """Near equilibrium A is known."""
        self.production.set_response(self.response)

    def read(self, data: TrajectorySet, validation: TrajectorySet) -> None:
        count, features = self.options.samples // SHARE, AsFeatures(self.networks.moments)
        self.response = linear_response(features, operator_of(data))
        self.data = self._labelled(data, features, count)
        self.held_out = self._labelled(validation, features, count // 10)

    def _labelled(
        self, data: TrajectorySet, features: AsFeatures, most: int
    ) -> tuple[Tensor, Tensor]:
        """m and R (n, K) of distributions drawn evenly from all trajectories."""
        operator, average = operator_of(data), averages(self.networks)
        m, R = [], []
        for stored, v in drawn(data, most, self.options.seed):
            f = stored.astype(np.float64)
            m.append(average(f, v))
            gained, held = (reduce(one, v, data.dim) for one in (operator(f), f))
            R.append(features.integrate(*in_frame(gained, held, v, data.dim)))
        return torch.cat(m), torch.cat(R)

    def loss(self, learned: Networks, step: int) -> Tensor:
        rng = np.random.default_rng([self.options.seed, 3, step])
        rows = torch.as_tensor(rng.integers(len(self.data[0]), size=self.options.batch))
        m, R = (part[distributed.share(rows)] for part in self.data)
        return relative_error(self.production, m, R)

    def validate(self, learned: Networks) -> float:
        m, R = self.held_out
        return float(relative_error(self.production, m, R))

    def stalled(self, history: History) -> bool:
        return patience_is_spent(history, self.options.patience)
