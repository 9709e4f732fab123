"""What the fast path of a closure learns from the closure itself: where Newton's method starts.

The network of `closures.start` is fitted to the coefficients theta that the dual problem gives for
the moments of a data set. Then the fast path is compared with the Newton path: both solve the same
problems, and the difference of their solutions is kept with the model, beside the residual of the
network alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from closures.closure import MomentClosure
from closures.features import SplineFeatures
from closures.library import LearnedClosure, read_model, write_model
from closures.metrics import errors as differences
from closures.samples import read_samples
from closures.solution import run_batch
from closures.start import StartNetwork
from kinetic.collisions import BGK
from kinetic.config import SEED_RANGES, SchemeConfig
from kinetic.dataset import TrajectorySet
from kinetic.errors import NonPhysicalState
from kinetic.problems import problem

SAMPLES, STEPS, BATCH, RATE = 20_000, 3000, 512, 5e-3
"""Of the fit: samples of the data, steps of Adam, samples a step and learning rate at the start."""

CASES, CELLS, END = 2, 50, 0.1
"""Problems of each family on which the paths are compared."""


@dataclass(frozen=True)
class Distilled:
    """The network, and what was measured of the fast path (plain numbers, for model.json)."""

    network: StartNetwork
    measured: dict[str, Any]


def distil(closure: MomentClosure, data: TrajectorySet, seed: int = 0) -> Distilled:
    """Fit the start of the dual problem on the moments of `data`; measure the fast path.

    Args:
        closure: a maximum-entropy closure on splines.
        data: distributions like those that the closure will meet.
        seed: of the samples and of the fit.
    """
    features = closure.features
    if not isinstance(features, SplineFeatures) or closure.dual is None:
        raise ValueError("only maximum-entropy closures on splines have a fast path")
    samples = read_samples(data, features.basis, SAMPLES, seed)
    with torch.no_grad():
        m = samples.averages @ features.coefficients
        theta, good = closure.decode(m, torch.ones_like(m[:, 0]))
    network = fit(m[good], theta[good], features.parity, seed)
    families = tuple(dict.fromkeys(data.families))
    return Distilled(network, _residual(closure, network, m) | compare(closure, network, families))


def distil_model(folder: Path, data: TrajectorySet) -> Distilled:
    """Give the model in a directory its fast path, or a new one; see `distil`."""
    closure = read_model(folder)
    if not isinstance(closure, LearnedClosure):
        raise ValueError("only closures of one velocity dimension have a fast path")
    found = distil(closure, data)
    manifest = dict(closure.manifest or {}) | {"fast": found.measured}
    write_model(folder, closure, manifest, found.network)
    return found


def fit(m: Tensor, theta: Tensor, parity: Tensor, seed: int) -> StartNetwork:
    """The network that gives theta of m, each coefficient in its own units.

    Far from equilibrium a few theta are huge; they count by their distance, not by its square.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = StartNetwork(parity)
    network.scale.copy_(theta.abs().median(0).values)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(m), (BATCH,), generator=generator)
        distance = (network(m[rows]) - theta[rows]) / network.scale
        loss = torch.nn.functional.smooth_l1_loss(distance, torch.zeros_like(distance))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.requires_grad_(False)


@torch.no_grad()
def _residual(closure: MomentClosure, network: StartNetwork, m: Tensor) -> dict[str, float]:
    """Median and 99th percentile of the largest moment error of the network's f_hat."""
    theta = network(m)
    density = torch.exp(theta @ closure.phi.T) * closure.measure
    mu = torch.cat((torch.eye(1, 3).to(m).expand(len(m), -1), m), dim=1)
    error = (density @ closure.phi - mu).abs().amax(1)
    return {
        "start_residual": float(error.median()),
        "start_residual_99": float(error.quantile(0.99)),
    }


def compare(
    closure: MomentClosure, network: StartNetwork | None, families: Sequence[str]
) -> dict[str, Any]:
    """Relative L2 differences at the last time between the fast path and the Newton path.

    Returns:
        ``error``: the largest of all problems, for density, momentum and energy; ``problems``;
        ``failed``: how many of them one of the paths did not finish; ``fallbacks``: cells that the
        fast path gave to the damped method.
    """
    from closures.fast import FastClosure

    shared = {one.name: getattr(closure, one.name) for one in fields(MomentClosure)}
    fast = FastClosure(**shared, start=network)
    first = SEED_RANGES["validation"][0]
    states = [problem(name, seed=first + n, cells=CELLS) for name in families for n in range(CASES)]
    solutions = [
        run_batch(
            one,
            states,
            end=END,
            snapshots=2,
            collision=BGK(),
            boundary=None,
            scheme=SchemeConfig(),
        )
        for one in (LearnedClosure(**shared), fast)
    ]
    found, fallbacks = [], 0
    for newton, quick in zip(*solutions, strict=True):
        if not isinstance(newton, NonPhysicalState) and not isinstance(quick, NonPhysicalState):
            found.append(differences(quick, newton))
            fallbacks += quick.attrs["newton_fallbacks"]
    worst = {name: max(one[name] for one in found) for name in found[0]} if found else None
    failed = len(states) - len(found)
    return {"error": worst, "problems": len(states), "failed": failed, "fallbacks": fallbacks}
