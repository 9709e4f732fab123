"""The model at the end of a run: the first member of the ensemble, with its fast path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from closures.closure import MomentClosure
from closures.distil import compare, fit
from closures.features import SplineFeatures
from closures.learn.ensemble import Member, learned_of
from closures.learn.store import LabelSet
from closures.learned import BASIS
from closures.library import read_model, write_model
from closures.samples import read_samples
from closures.start import StartNetwork
from kinetic.config import FAMILIES
from kinetic.errors import InvalidInput

SAMPLES = 20_000
"""Of the labels, to fit where the compiled solver starts."""


def keep_model(folder: Path, member: Member, labels: LabelSet) -> Path:
    """Write the model of a member to a directory, unless it is there; return the directory."""
    made = {"round": member.round, "labels": list(labels.keys)}
    if _is_there(folder, made):
        return folder
    with torch.no_grad():
        closure = learned_of(member.weights(), member.config).closure()
    manifest: dict[str, Any] = {"training": {"configuration": member.config.identity(), **made}}
    start = None
    if isinstance(closure, MomentClosure):
        start = _start(closure, labels, member.config.learn.seed)
        manifest["fast"] = compare(closure, start, FAMILIES)
    write_model(folder, closure, manifest, start)
    return folder


def _is_there(folder: Path, made: Mapping[str, Any]) -> bool:
    """Whether the directory holds the model of that round, and no damaged one."""
    try:
        training = getattr(read_model(folder), "manifest", {})["training"]
        return all(training.get(name) == value for name, value in made.items())
    except (InvalidInput, KeyError, AttributeError):
        return False


def _start(closure: MomentClosure, labels: LabelSet, seed: int) -> StartNetwork:
    """Where the compiled solver starts, fitted to the labels."""
    assert isinstance(closure.features, SplineFeatures)
    samples = read_samples(labels, BASIS, SAMPLES, seed)
    with torch.no_grad():
        m = samples.averages @ closure.features.coefficients
        theta, good = closure.decode(m, torch.ones_like(m[:, 0]))
    return fit(m[good], theta[good], closure.features.parity, seed)
