"""Model directories of the closure: ``model.json`` and ``weights.safetensors``.

They are read with the care of `closures.model_files`; shapes are those that the manifest's
architecture implies, and every number is finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from closures.gas import TRAINED, Gas, is_known
from closures.library import MAX_MOMENTS, NETWORKS
from closures.model_files import (
    MANIFEST,
    WEIGHTS,
    read_manifest,
    read_weights,
    refuse,
    write_files,
)
from closures.network.closure import Architecture, NetworkClosure, Networks
from closures.network.moments import FRAMES
from kinetic.errors import InvalidInput

#: What is trained under each name of a closure: the frame of its moments, and their functions.
VARIANTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    dict(
        zip(
            NETWORKS,
            (("galilean", "learned"), ("fixed", "learned"), ("galilean", "hermite")),
            strict=True,
        )
    )
)

SCHEMA_VERSION = "1.0"
FEATURES = ("learned", "hermite")
WIDTHS = ("encoder", "decoder", "flux")
MAX_WIDTH = 512
MAX_SPEED = 1e3


def write_network(
    folder: Path, networks: Networks, speeds: Mapping[str, float], manifest: Mapping[str, Any]
) -> None:
    """Write a model directory; `manifest` says how it was made."""
    kind = networks.kind
    what = {
        "schema_version": SCHEMA_VERSION,
        "closure": "network",
        "dimension": kind.gas.dimension,
        "collision": kind.gas.collision,
        "moments": kind.moments,
        "frame": kind.frame,
        "features": kind.features,
        "widths": {name: getattr(kind, name) for name in WIDTHS},
        "speeds": dict(speeds),
    }
    write_files(folder, networks.state_dict(), what | dict(manifest))


def read_network(folder: Path, moments: int | None = None) -> NetworkClosure:
    """Read and check a model directory.

    Raises:
        InvalidInput: it is missing, damaged, of another kind, or has other than `moments` moments.
    """
    manifest = _read_manifest(folder)
    count = manifest["moments"]
    if moments is not None and count != moments:
        allowed = f"the model in {folder} has {count}; leave it out or give {count}"
        raise InvalidInput("closure.moments", moments, allowed)
    widths = (manifest["widths"][name] for name in WIDTHS)
    kind = Architecture(manifest["frame"], manifest["features"], count, *widths)
    networks = Networks(replace(kind, gas=gas_of(manifest)))
    networks.load_state_dict(_read_weights(folder, manifest, networks.state_dict()))
    closure = NetworkClosure(networks.requires_grad_(False), _speed(manifest), manifest)
    _check_functions(folder, closure)
    return closure


def _read_manifest(folder: Path) -> dict[str, Any]:
    expected = {"schema_version": SCHEMA_VERSION, "closure": "network"}
    manifest = read_manifest(folder, expected)
    if not _architecture_allowed(manifest):
        raise refuse(folder, f"{MANIFEST} has no valid architecture")
    if not 1.0 <= _speed(manifest) <= MAX_SPEED:  # also false for NaN
        raise refuse(folder, f"{MANIFEST} has no valid speed")
    return manifest


def gas_of(manifest: Mapping[str, Any]) -> Gas:
    """The gas of a model; those of before Boltzmann's collisions do not say theirs."""
    return Gas(manifest.get("dimension", 0), manifest.get("collision", "bgk"))


def _architecture_allowed(manifest: Mapping[str, Any]) -> bool:
    gas = gas_of(manifest)
    named = type(gas.dimension) is int and isinstance(gas.collision, str)
    if not (named and is_known(gas, TRAINED)) or (
        gas.dimension > 1 and manifest.get("frame") == "fixed"
    ):
        return False
    widths = manifest.get("widths")
    if not isinstance(widths, dict):
        return False
    counts = [(manifest.get("moments"), MAX_MOMENTS)]
    counts += [(widths.get(name), MAX_WIDTH) for name in WIDTHS]
    whole = all(type(n) is int and 1 <= n <= most for n, most in counts)  # bool is no number
    return whole and manifest.get("frame") in FRAMES and manifest.get("features") in FEATURES


def _speed(manifest: Mapping[str, Any]) -> float:
    """The largest characteristic speed; NaN if there is none."""
    speeds = manifest.get("speeds")
    value = speeds.get("largest") if isinstance(speeds, dict) else None
    return float(value) if isinstance(value, int | float) else math.nan


def _read_weights(
    folder: Path, manifest: Mapping[str, Any], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    tensors = read_weights(folder, manifest)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if shapes != {name: tensor.shape for name, tensor in expected.items()}:
        raise refuse(folder, f"{WEIGHTS} has the wrong shapes")
    if not all(t.dtype == torch.float64 and torch.isfinite(t).all() for t in tensors.values()):
        raise refuse(folder, f"{WEIGHTS} does not hold real numbers")
    if not all((t > 0.0).all() for name, t in tensors.items() if name.endswith(".scale")):
        raise refuse(folder, f"{WEIGHTS} has a scale that is not positive")
    return tensors


def _check_functions(folder: Path, closure: NetworkClosure) -> None:
    """Refuse functions w that are not independent, so that they have no orthonormal coordinates."""
    try:
        independent = bool(torch.isfinite(closure.w).all())
    except RuntimeError:  # of the Cholesky decomposition
        independent = False
    if not independent:
        raise refuse(folder, f"{WEIGHTS} holds functions that are not independent")
