"""Does a decoder gain by features whose coefficients are a network of the moments and of eps?

    python benchmarks/network_exponent.py DATA VALIDATION [--moments 6] [--extra 4] [--updates 24]

    f_hat = rho T^(-1/2) Mc(c) exp(theta.phi(c) + alpha(m, eps).psi(c)),    alpha(0, eps) = 0,

psi being bounded splines beside w, and alpha a perceptron, bounded and of their parity, so that
equilibrium and reflections stay what they are; theta solves the dual problem of the measure
Mc exp(alpha.psi) dc, so that moments match and f_hat > 0. DATA and VALIDATION are data sets in one
dimension of training and of validation seeds. Printed are, on validation data,

- the share of the information beyond the Maxwellian that f_hat loses (`closures.objective`) for the
  shipped closure, and with alpha learned by it, w as shipped;
- the error of the closed equations (`closures.unrolling`) of the shipped closure, with that alpha,
  and with one that is learned through the solver instead, from zero.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from closures.closure import Decoded, Frame, MomentClosure
from closures.dual import Dual, DualSolver, ExponentialDual
from closures.encoder import hermite_features
from closures.features import INVARIANTS, SplineFeatures, invariants
from closures.finite_volume import FiniteVolume, Scheme
from closures.learned import BASIS
from closures.library import load
from closures.memory import keep_freed_memory
from closures.objective import POWER
from closures.samples import basis_averages
from closures.training import Rollout, TrainOptions
from closures.unrolling import Windows, rollout_error
from kinetic.collisions import BGK
from kinetic.dataset import TrajectorySet, open_dataset

WIDTH, MOST = 48, 2.0
"""Of the perceptron, and the largest alpha, psi being at most 1."""

SAMPLES, STEPS, BATCH, RATE = 100_000, 1000, 2048, 5e-3
"""Of learning by the share of information that is lost."""

FLOOR = 1e-5
UPDATE_RATE = 3e-3
OWN = DualSolver(tolerance=1e-6, regularization=1e-7)


class Exponent(nn.Module):
    """alpha (M, J) of moments m (M, K) and eps (M,)."""

    def __init__(self, features: SplineFeatures, psi: SplineFeatures, spread: Tensor) -> None:
        super().__init__()
        self.parity, self.own, self.spread = features.parity, psi.parity, spread
        sizes = len(self.parity) + 3, WIDTH, WIDTH, len(self.own)
        self.layers = nn.ModuleList(
            nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(sizes)
        )
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, m: Tensor, knudsen: Tensor) -> Tensor:
        x = torch.log10(knudsen).clamp(-3.0, 1.0)
        eps = torch.stack((x, x * x / 3.0, torch.relu(x + 0.5)), dim=1)
        raw = self._symmetric(m, eps) - self._symmetric(torch.zeros_like(m), eps)
        return MOST * torch.tanh(raw / MOST)

    def _symmetric(self, m: Tensor, eps: Tensor) -> Tensor:
        mirrored = self._perceptron(self.parity * m, eps)
        return 0.5 * (self._perceptron(m, eps) + self.own * mirrored)

    def _perceptron(self, m: Tensor, eps: Tensor) -> Tensor:
        hidden = torch.cat((m / self.spread, eps), dim=1)
        for layer in self.layers[:-1]:
            hidden = torch.tanh(layer(hidden))
        out: Tensor = self.layers[-1](hidden)
        return out


class EachCell(ExponentialDual):
    """The dual function of cells with measures of their own (M, n)."""

    def take(self, rows: Tensor) -> ExponentialDual:
        strength = None if self.strength is None else self.strength[rows]
        return replace(self, measure=self.measure[rows], strength=strength)


class EachCellSolver(DualSolver):
    """Damped Newton for it."""

    def _better_start(self, dual: Dual, mu: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(dual, EachCell)
        density = dual.density(start)
        good = (dual.value(mu, start, density) <= dual.measure.sum(1))[:, None]
        zero = torch.zeros_like(start)
        return torch.where(good, start, zero), torch.where(good, density, dual.measure)


@dataclass(frozen=True)
class NetworkClosure(MomentClosure):
    """A `MomentClosure` with psi and alpha in its exponent; theta holds alpha behind theta."""

    psi: SplineFeatures | None = None
    alpha: Exponent | None = None

    def solver(
        self, knudsen: Tensor, collision: BGK, boundary: str, scheme: Scheme
    ) -> FiniteVolume:
        return NetworkVolume(self, knudsen, collision, boundary, scheme)

    @property
    def whole(self) -> SplineFeatures:
        """(w, psi)."""
        assert isinstance(self.features, SplineFeatures)
        assert self.psi is not None
        coefficients = torch.cat((self.features.coefficients, self.psi.coefficients), dim=1)
        return SplineFeatures(
            BASIS, coefficients, torch.cat((self.features.parity, self.psi.parity))
        )

    def decode(
        self, m: Tensor, knudsen: Tensor, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        _, theta, found = self.settle_at(m, knudsen, torch.zeros_like(m[:, 0]), start)
        return theta, found

    def settle_at(
        self, m: Tensor, knudsen: Tensor, strength: Tensor, start: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`MomentClosure.settle` at eps (M,)."""
        assert self.alpha is not None
        assert self.psi is not None
        assert self.dual is not None
        P, gamma, alpha = self.phi.shape[1], self.dual.regularization, self.alpha(m, knudsen)
        mu, begin = self._asked(m, None if start is None else start[:, :P])

        def dual(phi: Tensor, measure: Tensor, friction: Tensor, strength: Tensor) -> Dual:
            return EachCell(phi, measure, gamma, friction, strength)

        measure = self.measure * torch.exp(alpha @ self.psi.matrix(self.c).T)
        inputs = self.phi, measure, self.friction_matrix, strength
        solver = EachCellSolver(
            **{one.name: getattr(self.dual, one.name) for one in fields(DualSolver)}
        )
        theta, found = solver.minimise(dual, inputs, mu, begin)
        force = (theta @ self.friction_matrix)[:, INVARIANTS:]
        return m - strength[:, None] * force, torch.cat((theta, alpha), dim=1), found

    def distribution(self, frame: Frame, theta: Tensor) -> Decoded:
        whole = self.whole
        combined = whole.combine(theta[:, INVARIANTS:])
        return Decoded(replace(self, features=whole), frame, theta[:, :INVARIANTS], combined)

    def particles(self, frame: Frame, theta: Tensor) -> tuple[Tensor, Tensor]:
        phi = torch.cat((invariants(self.c), self.whole.matrix(self.c)), dim=1)
        v = frame.u[:, None] + frame.T.sqrt()[:, None] * self.c
        return v, frame.rho[:, None] * self.measure * torch.exp(theta @ phi.T)


class NetworkVolume(FiniteVolume):
    """`FiniteVolume`, which tells the closure of eps where it decodes."""

    closure: NetworkClosure

    def _settle(self, m: Tensor, dt: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        strength = (dt[:, None] * self._friction).flatten()
        return self.closure.settle_at(m, self.knudsen.flatten(), strength, start)


def further(closure: MomentClosure, extra: int) -> SplineFeatures:
    """psi: the next Hermite functions times Mc^(1/2), orthogonal to phi under Mc, at most 1."""
    hermite = hermite_features(closure.moments + extra, 1)
    x = torch.linspace(-BASIS.extent, BASIS.extent, 4 * BASIS.size, dtype=torch.float64)
    functions = hermite.matrix(x)[:, closure.moments :] * torch.exp(-0.25 * x * x)[:, None]
    splines = torch.linalg.lstsq(BASIS.matrix(x), functions, driver="gels").solution
    B = BASIS.matrix(closure.c)
    assert isinstance(closure.features, SplineFeatures)
    for _ in range(2):
        overlap = closure.features.matrix(closure.c).T @ (closure.measure[:, None] * (B @ splines))
        splines = splines - closure.features.coefficients @ overlap
    return SplineFeatures(BASIS, splines / splines.abs().amax(0), hermite.parity[closure.moments :])


def samples(data: TrajectorySet, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Averages of the splines (n, J), KL(g || Mc) (n,) and eps (n,) of distributions of a set."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for index in range(len(data)):
        trajectory = data[index]
        f = np.asarray(trajectory.distribution)
        knudsen = np.broadcast_to(np.asarray(trajectory.knudsen), f.shape[:2]).ravel()
        f = f.reshape(-1, f.shape[-1])
        rows = np.random.default_rng(index).choice(len(f), min(len(f), most // len(data) + 1))
        averages, divergence = basis_averages(f[rows], np.asarray(trajectory.v), BASIS, 1)
        parts.append((averages, divergence, torch.as_tensor(knudsen[rows]).double()))
    averages, divergence, eps = (torch.cat(one) for one in zip(*parts, strict=True))
    return averages, divergence, eps


def lost(closure: NetworkClosure, given: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Mean of (KL(g || g_hat)/(KL(g || Mc) + floor))^POWER, with a gradient in alpha."""
    averages, divergence, knudsen = given
    assert isinstance(closure.features, SplineFeatures)
    assert closure.psi is not None
    assert closure.alpha is not None
    m = averages @ closure.features.coefficients
    alpha = closure.alpha(m, knudsen)
    measure = closure.measure * torch.exp(alpha @ closure.psi.matrix(closure.c).T)
    mu, begin = closure._asked(m, None)

    def dual_of(phi: Tensor, measure: Tensor) -> Dual:
        return EachCell(phi, measure, OWN.regularization)

    solver = EachCellSolver(OWN.tolerance, OWN.regularization)
    with torch.no_grad():
        theta, _ = solver.minimise(dual_of, (closure.phi, measure), mu, begin)
    dual = dual_of(closure.phi, measure)
    added = (alpha * (averages @ closure.psi.coefficients)).sum(1)
    missing = divergence - 1.0 + dual.value(mu, theta, dual.density(theta)) - added
    return (missing.clamp(min=0.0) / (divergence + FLOOR)).pow(POWER).mean()


def descend(alpha: Exponent, steps: int, rate: float, loss: Callable[[int], Tensor]) -> None:
    """Adam, the rate falling like a cosine."""
    optimizer = torch.optim.Adam(alpha.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()
        schedule.step()


def error(closure: MomentClosure, windows: Windows) -> float:
    """That of the closed equations, in percent."""
    rows = torch.arange(len(windows))
    with torch.no_grad():
        return 100 * float(rollout_error(closure, windows, rows, len(windows.time)))


def study(asked: argparse.Namespace) -> Iterator[str]:
    """Yield what is found, line by line."""
    torch.manual_seed(0)
    data, validation = open_dataset(asked.data), open_dataset(asked.validation)
    shipped = load("entropy", asked.moments)
    assert isinstance(shipped, MomentClosure)
    features = shipped.features
    assert isinstance(features, SplineFeatures)
    given = {one.name: getattr(shipped, one.name) for one in fields(MomentClosure)}
    learned, held_out = samples(data, SAMPLES), samples(validation, SAMPLES // 10)
    spread = (learned[0] @ features.coefficients).std(0)
    psi = further(shipped, asked.extra)

    def fresh() -> NetworkClosure:
        return NetworkClosure(**given, psi=psi, alpha=Exponent(features, psi, spread))

    def share(closure: NetworkClosure) -> str:
        with torch.no_grad():
            return f"{100 * float(lost(closure, held_out)) ** (1 / POWER):.2f} % lost"

    def batch(step: int) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.as_tensor(
            np.random.default_rng([0, step]).integers(len(learned[1]), size=BATCH)
        )
        return learned[0][rows], learned[1][rows], learned[2][rows]

    options = TrainOptions(data=asked.data, updates=asked.updates, favour=12.0)
    rollout = Rollout(options)
    rollout.read(data, validation)

    def unrolled(closure: NetworkClosure) -> Callable[[int], Tensor]:
        return lambda step: rollout_error(closure, rollout.windows, *rollout.drawn(step))

    closure = fresh()
    yield f"as shipped: {share(closure)}, error {error(shipped, rollout.held_out):.4f} %"
    assert closure.alpha is not None
    descend(closure.alpha, STEPS, RATE, lambda step: lost(closure, batch(step)))
    yield f"by what is lost: {share(closure)}, error {error(closure, rollout.held_out):.4f} %"
    closure = fresh()
    assert closure.alpha is not None
    descend(closure.alpha, asked.updates, UPDATE_RATE, unrolled(closure))
    yield f"through the solver: {share(closure)}, error {error(closure, rollout.held_out):.4f} %"


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="features with coefficients of a network")
    parser.add_argument("data")
    parser.add_argument("validation")
    parser.add_argument("--moments", type=int, default=6)
    parser.add_argument("--extra", type=int, default=4)
    parser.add_argument("--updates", type=int, default=24)
    return parser.parse_args()


if __name__ == "__main__":
    keep_freed_memory()
    for line in study(arguments()):
        print(line, flush=True)
