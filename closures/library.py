"""The closures by name, and the directories in which learned ones are kept.

A model directory holds ``model.json`` (what it is, how it was trained) and ``weights.safetensors`` (the spline
coefficients of its w, orthonormalised: there is no other normalisation to apply). Nothing in it is executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from closures.closure import MomentClosure
from closures.dual import DualSolver
from closures.features import HermiteFeatures, SplineFeatures, invariants, trapezoid, unit_maxwellian
from closures.resources import closures_dir
from closures.splines import SplineBasis
from kinetic.errors import InvalidInput, check_choice, nearest
from kinetic.options import Options, choice, integer, optional, text

NAMES = ("euler", "navier_stokes", "hermite", "entropy", "model")
SHIPPED = (6, 9)
SCHEMA_VERSION = "1.0"
MANIFEST, WEIGHTS = "model.json", "weights.safetensors"
MAX_BYTES = 16 * 2**20
MAX_MOMENTS = 24
ORTHONORMALITY = 1e-6
"""Largest deviation from orthonormality under Mc accepted in a file."""


@dataclass(frozen=True)
class ClosureConfig(Options):
    """Which closure: a name, its number of moments, or with ``model`` the directory `path`."""

    PREFIX: ClassVar[str] = "closure"
    SCALAR: ClassVar[str] = "name"

    name: Annotated[str, choice(NAMES)] = "entropy"
    moments: Annotated[int | None, optional(integer(1, MAX_MOMENTS))] = 6
    path: Annotated[str | None, optional(text)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "model" and self.path is None:
            raise InvalidInput("closure.path", None, "closure=model needs the directory of a model")
        if self.name != "model" and self.path is not None:
            raise InvalidInput("closure.path", self.path, "only closure=model reads a directory")


@dataclass(frozen=True)
class LearnedClosure(MomentClosure):
    """A maximum-entropy closure on learned moments, with what its model directory says of it."""

    manifest: Mapping[str, Any] | None = None

    @property
    def history(self) -> Mapping[str, list[float]] | None:
        """Training curves: step, train, validation."""
        return (self.manifest or {}).get("history")


def load(name: str, moments: int | None = 6, path: str | Path | None = None) -> MomentClosure:
    """Return a closure by name.

    Raises:
        InvalidInput: no such closure, or its directory is missing, damaged or of another kind.
    """
    check_choice("closure", name, NAMES)
    if name == "model":
        return read_model(Path(str(path)), moments)
    if name == "entropy":
        if moments not in SHIPPED:
            allowed = "shipped are " + " and ".join(map(str, SHIPPED)) + "; train others"
            raise InvalidInput("closure.moments", moments, allowed)
        return read_model(closures_dir() / f"entropy-d1-bgk-k{moments}", moments)
    if name == "hermite":
        if moments is None:
            raise InvalidInput("closure.moments", None, f"must be from 1 to {MAX_MOMENTS}")
        return MomentClosure(name, HermiteFeatures(moments), None)
    return MomentClosure(name, HermiteFeatures(0), None, conductivity=name == "navier_stokes")


def parse(spec: str, moments: int | None = 6) -> MomentClosure:
    """Return the closure of ``NAME``, ``NAME-MOMENTS`` or a model directory.

    Raises:
        InvalidInput: under ``compare.closures``, when it is none of these.
    """
    name, _, number = spec.partition("-")
    if name in NAMES and name != "model" and (number.isdigit() or not number):
        return load(name, int(number) if number else moments)
    if "/" in spec or Path(spec).is_dir():
        return load("model", None, spec)
    named = [name for name in NAMES if name != "model"]
    allowed = f"must be one of {', '.join(named)}, NAME-MOMENTS, or a model directory"
    raise InvalidInput("compare.closures", spec, allowed + nearest(name, named))


def write_model(folder: Path, features: SplineFeatures, manifest: Mapping[str, Any]) -> None:
    """Write a model directory; `manifest` says how it was made.

    The weights go first and the manifest last, by renaming: a directory with a manifest is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"coefficients": features.coefficients.contiguous(), "parity": features.parity}
    _replace(folder / WEIGHTS, lambda path: save_file(tensors, path))
    kind = {
        "schema_version": SCHEMA_VERSION,
        "closure": "entropy",
        "dimension": 1,
        "moments": features.coefficients.shape[1],
        "basis": {"extent": features.basis.extent, "intervals": features.basis.intervals},
    }
    document = json.dumps(kind | dict(manifest), indent=1, allow_nan=False) + "\n"
    _replace(folder / MANIFEST, lambda path: path.write_text(document))


def _replace(path: Path, write: Any) -> None:
    partial = path.with_name(f"{path.name}.partial")
    write(partial)
    partial.replace(path)


def read_model(folder: Path, moments: int | None = None) -> LearnedClosure:
    """Read and check a model directory.

    Raises:
        InvalidInput: it is missing, damaged, of another kind, or has other than `moments` moments.
    """
    manifest = _read_manifest(folder)
    count = manifest["moments"]
    if moments is not None and count != moments:
        allowed = f"the model in {folder} has {count}; leave it out or give {count}"
        raise InvalidInput("closure.moments", moments, allowed)
    basis = SplineBasis(float(manifest["basis"]["extent"]), int(manifest["basis"]["intervals"]))
    features = _read_features(folder, basis, count)
    return LearnedClosure("entropy", features, DualSolver(), manifest=manifest)


def _refuse(folder: Path, why: str) -> InvalidInput:
    return InvalidInput("closure", folder, f"{why}; must be a directory written by closures train")


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        _check_size(folder / MANIFEST)
        manifest = json.loads((folder / MANIFEST).read_text())
    except OSError as error:
        raise _refuse(folder, f"{MANIFEST} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise _refuse(folder, f"{MANIFEST} is not JSON") from None
    expected = {"schema_version": SCHEMA_VERSION, "closure": "entropy", "dimension": 1}
    for key, value in expected.items():
        found = manifest.get(key) if isinstance(manifest, dict) else None
        if found != value:
            raise _refuse(folder, f"{MANIFEST} has {key} {found!r}, not {value!r}")
    basis, count = manifest.get("basis"), manifest.get("moments")
    numbers = [basis.get("extent"), basis.get("intervals")] if isinstance(basis, dict) else [None]
    if not all(isinstance(n, int | float) and 1 <= n <= 1024 for n in [*numbers, count]):
        raise _refuse(folder, f"{MANIFEST} has no valid basis and moments")
    return manifest


def _check_size(path: Path) -> None:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES} bytes")


def _read_features(folder: Path, basis: SplineBasis, count: int) -> SplineFeatures:
    try:
        _check_size(folder / WEIGHTS)
        tensors = load_file(folder / WEIGHTS)
        coefficients, parity = tensors["coefficients"].double(), tensors["parity"].double()
    except OSError as error:
        raise _refuse(folder, f"{WEIGHTS} cannot be read ({error})") from None
    except (SafetensorError, ValueError, KeyError):
        raise _refuse(folder, f"{WEIGHTS} is damaged") from None
    if coefficients.shape != (basis.size, count) or parity.shape != (count,):
        raise _refuse(folder, f"{WEIGHTS} has the wrong shapes")
    features = SplineFeatures(basis, coefficients, parity)
    if not _orthonormal(features):
        raise _refuse(folder, f"{WEIGHTS} holds functions that are not orthonormal")
    return features


def _orthonormal(features: SplineFeatures) -> bool:
    """Whether w and the invariants are orthonormal under Mc; false for NaN."""
    c, h = trapezoid(features.basis.extent + 2.0, 1601)
    phi = torch.cat((invariants(c), features.matrix(c)), dim=1)
    gram = phi.T @ ((unit_maxwellian(c) * h)[:, None] * phi)
    return bool((gram - torch.eye(len(gram))).abs().max() < ORTHONORMALITY)
