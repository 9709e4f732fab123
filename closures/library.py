"""The closures by name, and the directories in which learned ones are kept.

A model directory holds ``model.json`` (what it is, how it was trained) and ``weights.safetensors``
(the spline coefficients of its w, orthonormalised: there is no other normalisation to apply; its
dissipation, friction and response to collisions; and the network of `closures.start`, if it was
distilled); see `closures.model_files`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from closures import plugins
from closures.closure import Closure, MomentClosure
from closures.dissipation import Dissipation
from closures.features import (
    INVARIANTS,
    REDUCED_NODES,
    HermiteFeatures,
    SplineFeatures,
    decoder_rule,
    invariants,
    trapezoid,
    unit_maxwellian,
)
from closures.friction import Friction
from closures.gas import BGK_GAS, TRAINED, Gas, check_gas
from closures.grad import GradClosure
from closures.learned import DUAL, REDUCED_DUAL
from closures.linear_response import relaxation_response
from closures.maxent import MAXENT, maxent
from closures.maxwell import MaxwellCollisions
from closures.model_files import (
    MANIFEST,
    WEIGHTS,
    kind_of,
    read_manifest,
    read_weights,
    refuse,
    write_files,
)
from closures.reduced import ReducedClosure, reduced_invariants
from closures.reduced_features import ReducedHermiteFeatures, ReducedSplineFeatures, degrees
from closures.resources import closures_dir
from closures.response import Response
from closures.splines import SplineBasis
from closures.start import StartNetwork, from_tensors
from kinetic.errors import InvalidInput, check_choice, nearest
from kinetic.options import Options, flag, integer, optional, text

NETWORKS = ("network", "network_fixed", "network_hermite")
"""Closures of networks by name: to be trained, none is shipped (`closures.network`)."""

NAMES = ("euler", "navier_stokes", "hermite", *MAXENT, "entropy", *NETWORKS, "model")
CARRYING = ("hermite", *MAXENT, "entropy")
"""Closures by name that carry moments, as many as they are asked for."""

DEFAULT_MOMENTS = {1: 6, 2: 9, 3: 9}
"""By velocity dimension."""

SCHEMA_VERSION = "1.2"
DISSIPATION = "dissipation."
"""Begins the names of the tensors of the dissipation."""

FRICTION = "friction"
"""Name of the tensor of the friction; a model may do without."""

RESPONSE = "response"
"""Name of the tensor of what Boltzmann's collisions do."""

FAST = "fast."
"""Begins the names of the tensors of the network of `closures.start`; a model may do without."""

MAX_MOMENTS = 24
MAX_INTERVALS, MAX_EXTENT = 1024, 64
GRAD_TAIL, GRAD_NODES_PER_UNIT = 1e-11, 4
TOLERANCE = 1e-9
"""Largest deviation from orthonormality under Mc, and from parity, accepted in a file."""


SHIPPED = {Gas(): (6, 9, 12, 16), Gas(2): (9, 16), Gas(2, "boltzmann"): (9, 16), Gas(3): (9,)}
"""Numbers of moments of the closures `entropy` that are shipped."""


def closure_name(key: str, value: Any) -> str:
    """Accept the name of a closure, of this package or of a plugin."""
    return value if value in NAMES else check_choice(key, value, (*NAMES, *plugins.found()))


@dataclass(frozen=True)
class ClosureConfig(Options):
    """Which closure: a name, its number of moments, or with ``model`` the directory `path`.

    `moments` is 6 if it is not given, and 9 in two and three velocity dimensions; for a model it is
    the number that it has, and a number that is given must agree with it. Closures that carry no
    moments do not use it. `fast` asks for the compiled solver of `closures.fast`.
    """

    PREFIX: ClassVar[str] = "closure"
    SCALAR: ClassVar[str] = "name"

    name: Annotated[str, closure_name] = "entropy"
    moments: Annotated[int | None, optional(integer(1, MAX_MOMENTS))] = None
    path: Annotated[str | None, optional(text)] = None
    fast: Annotated[bool, flag] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fast and self.name not in ("entropy", "model"):
            allowed = "only entropy and models of it have a compiled solver"
            raise InvalidInput("closure.fast", self.fast, allowed)
        if self.name == "model" and self.path is None:
            raise InvalidInput("closure.path", None, "closure=model needs the directory of a model")
        if self.name != "model" and self.path is not None:
            raise InvalidInput("closure.path", self.path, "only closure=model reads a directory")

    def completed(self, dimension: int) -> ClosureConfig:
        """This one with its number of moments, in a gas of that velocity dimension."""
        if self.name in (*CARRYING, *NETWORKS) and self.moments is None:
            return replace(self, moments=DEFAULT_MOMENTS[dimension])
        return self


class Documented:
    """What the model directory of a learned closure says of it."""

    manifest: Mapping[str, Any] | None

    @property
    def history(self) -> Mapping[str, list[float]] | None:
        """Training curves of the moments: step, train, validation."""
        return (self.manifest or {}).get("history")

    @property
    def rollout(self) -> Mapping[str, list[float]] | None:
        """Training curves of the closed equations: step, train, validation."""
        return (self.manifest or {}).get("rollout")


@dataclass(frozen=True)
class LearnedClosure(MomentClosure, Documented):
    """A maximum-entropy closure on learned moments of a gas with one velocity dimension.

    start: where the compiled solver starts the search for theta, if the model has it.
    """

    manifest: Mapping[str, Any] | None = None
    start: StartNetwork | None = None


@dataclass(frozen=True)
class LearnedReducedClosure(ReducedClosure, Documented):
    """A maximum-entropy closure on learned moments, in more dimensions."""

    manifest: Mapping[str, Any] | None = None


def load(
    name: str,
    moments: int | None = None,
    path: str | Path | None = None,
    fast: bool = False,
    gas: Gas = BGK_GAS,
) -> Closure:
    """Return a closure of a gas by name; see `ClosureConfig` for the other arguments.

    Raises:
        InvalidInput: no such closure, none of this gas, or its directory is missing, damaged or of
            another kind.
    """
    closure_name("closure", name)
    check_gas(gas)
    config = ClosureConfig(name, moments, None if path is None else str(path), fast)
    closure = _load(config, gas)
    return _compiled(closure) if fast else closure


def _compiled(closure: Closure) -> Closure:
    """The closure with its compiled solver."""
    # Its kernels need libraries that the other closures do without.
    from closures.fast import FastClosure
    from closures.reduced_fast import FastReducedClosure

    if isinstance(closure, LearnedClosure):
        return FastClosure.of(closure)
    if isinstance(closure, LearnedReducedClosure):
        return FastReducedClosure.of(closure)
    allowed = "only entropy and models of it have a compiled solver"
    raise InvalidInput("closure.fast", True, allowed)


def _load(config: ClosureConfig, gas: Gas) -> Closure:
    return colliding(_found(config, gas), gas)


def colliding(closure: Closure, gas: Gas) -> Closure:
    """The closure with the rates at which collisions of the gas relax stress and heat flux.

    Raises:
        InvalidInput: it has no functions w whose moments would show them.
    """
    collisions, shear, heat = gas.rates
    if collisions == shear == heat:
        return closure
    if not isinstance(closure, MomentClosure | ReducedClosure):
        if gas.collision in TRAINED:
            return closure
        allowed = f"only closures that average functions w know collision={gas.collision}"
        raise InvalidInput("closure", closure.name, allowed)
    closure = replace(closure, slower=(1.0 / shear, 1.0 / heat))
    if gas.collision in TRAINED or not closure.moments:
        return closure
    return replace(closure, response=Response(relaxation_response(closure, gas.rates)))


def _found(config: ClosureConfig, gas: Gas) -> Closure:
    if config.path is not None:
        return _learned(Path(config.path), config.moments, gas)
    name, count = config.name, config.completed(gas.dimension).moments or 0
    if name not in NAMES:
        return plugins.make(name, config.moments, gas)
    if name in NETWORKS:
        allowed = f"none is shipped; train one (closures train closure={name}), give its directory"
        raise InvalidInput("closure", name, allowed)
    if name == "entropy":
        return _shipped(gas, count)
    if gas.dimension > 1:
        return _reduced(name, count, gas)
    if name == "hermite":
        features = HermiteFeatures(count)
        extent, nodes = _interval(features)
        return MomentClosure("hermite", features, None, extent=extent, nodes=nodes)
    if name in MAXENT:
        return maxent(name, count, *_interval(HermiteFeatures(count)))
    return MomentClosure(name, HermiteFeatures(0), None, conductivity=name == "navier_stokes")


def _shipped(gas: Gas, moments: int) -> Closure:
    gas = gas.trained
    counts = SHIPPED.get(gas, ())
    if moments not in counts:
        of = "" if gas == BGK_GAS else f" of {gas}"
        allowed = f"shipped{of} are {', '.join(map(str, counts))}; train others"
        raise InvalidInput("closure.moments", moments, allowed)
    name = f"entropy-d{gas.dimension}-{gas.collision}-k{moments}"
    return read_model(closures_dir() / name, moments)


def _reduced(name: str, moments: int, gas: Gas) -> Closure:
    """A closure without learning, in more than one dimension."""
    if name in MAXENT:
        allowed = f"there is none of {gas}; choose euler, navier_stokes, hermite or entropy"
        raise InvalidInput("closure", name, allowed)
    if name == "hermite":
        # At least of degree three, that of the heat flux, which the tails of f decide.
        extent, nodes = _interval(HermiteFeatures(max(1, max(degrees(moments)) - 2)))
        features = ReducedHermiteFeatures(gas.dimension, moments)
        make: Callable[..., ReducedClosure] = ReducedClosure
        if gas.collision == "boltzmann":
            make = partial(GradClosure, collisions=MaxwellCollisions.of(features))
        return make(name, gas.dimension, features, None, extent=extent, nodes=nodes)
    none = ReducedHermiteFeatures(gas.dimension, 0)
    conducts = name == "navier_stokes"
    return ReducedClosure(name, gas.dimension, none, None, conductivity=conducts)


def _interval(features: HermiteFeatures) -> tuple[float, int]:
    """Extent and nodes of an interval that holds the highest polynomial.

    Were the tails of w^2 Mc cut off, each step would damp the moments.
    """
    c, h = trapezoid(MAX_EXTENT, 2 * MAX_EXTENT * GRAD_NODES_PER_UNIT + 1)
    highest = features.matrix(c)[:, -1]
    held = c[highest**2 * unit_maxwellian(c) > GRAD_TAIL]
    extent = float(held.max() + h[0])
    return extent, round(2 * extent * GRAD_NODES_PER_UNIT) + 1


def parse(spec: str, moments: int | None = None, gas: Gas = BGK_GAS) -> Closure:
    """Return the closure of a gas that is named by ``NAME``, ``NAME-MOMENTS`` or a model directory.

    ``entropy-MOMENTS-fast`` is ``entropy-MOMENTS`` with its compiled solver. The name may be that
    of a plugin, see `closures.plugins`.

    Raises:
        InvalidInput: under ``compare.closures``, when it is none of these.
    """
    named = [name for name in NAMES if name not in (*NETWORKS, "model")]
    if spec in named:
        return load(spec, moments, gas=gas)
    matched = re.fullmatch(r"([a-z_]+)-([0-9]{1,4})(-fast)?", spec)
    if matched and matched[1] in (("entropy",) if matched[3] else CARRYING):
        try:
            return load(matched[1], int(matched[2]), fast=bool(matched[3]), gas=gas)
        except InvalidInput as error:
            raise InvalidInput("compare.closures", spec, error.allowed) from error
    if "/" in spec or _is_directory(spec):
        return colliding(_learned(Path(spec), None, gas), gas)
    if plugin := plugins.split(spec):
        name, count = plugin
        return colliding(plugins.make(name, count or moments, gas, "compare.closures"), gas)
    counted = " or ".join(f"{name}-MOMENTS" for name in CARRYING)
    named += plugins.found()
    allowed = f"must be one of {', '.join(named)}, {counted}, or a model directory"
    raise InvalidInput("compare.closures", spec, allowed + nearest(spec.partition("-")[0], named))


def _learned(folder: Path, moments: int | None, gas: Gas) -> Closure:
    """The closure in a model directory, of networks or of maximum entropy."""
    from closures.network.files import read_network

    network = kind_of(folder) == "network"
    closure = read_network(folder, moments) if network else read_model(folder, moments)
    made_for = gas_of(closure)
    if made_for != (gas if network else gas.trained):
        raise InvalidInput("closure", folder, f"is a model of {made_for}; the problem has {gas}")
    return closure


def gas_of(closure: Closure) -> Gas:
    """The gas that a closure is of: with collisions like BGK's if it does not say others."""
    manifest = getattr(closure, "manifest", None) or {}
    return Gas(closure.dimension, manifest.get("collision", "bgk"))


def _is_directory(spec: str) -> bool:
    try:
        return Path(spec).is_dir()
    except (OSError, ValueError):
        return False


def write_model(
    folder: Path,
    closure: MomentClosure | ReducedClosure,
    manifest: Mapping[str, Any],
    start: StartNetwork | None = None,
) -> None:
    """Write a model directory; `manifest` says how it was made, `start` is for the fast path.

    An earlier one is replaced when the new one is complete; see `closures.model_files.write_files`.
    """
    features, dissipation = closure.features, closure.dissipation
    if not isinstance(features, SplineFeatures | ReducedSplineFeatures) or dissipation is None:
        raise ValueError("only closures of splines with a dissipation have files")
    tensors = {"coefficients": features.coefficients.detach(), "parity": features.parity}
    tensors |= {f"{DISSIPATION}{name}": value for name, value in dissipation.state_dict().items()}
    friction = getattr(closure, "friction", None)
    if friction is not None:
        tensors[FRICTION] = friction.raw.detach()
    response = getattr(closure, "response", None)
    if response is not None:
        tensors[RESPONSE] = response.matrix
    if start is not None:
        tensors |= {f"{FAST}{name}": value for name, value in start.state_dict().items()}
    kind = {
        "schema_version": SCHEMA_VERSION,
        "closure": "entropy",
        "dimension": closure.dimension,
        "collision": "bgk" if response is None else "boltzmann",
        "moments": closure.moments,
        "basis": {"extent": features.basis.extent, "intervals": features.basis.intervals},
    }
    write_files(folder, tensors, kind | dict(manifest))


def read_model(folder: Path, moments: int | None = None) -> Closure:
    """Read and check a model directory.

    Raises:
        InvalidInput: it is missing, damaged, of another kind, or has other than `moments` moments.
    """
    manifest = _read_manifest(folder)
    count, dimension = manifest["moments"], manifest["dimension"]
    if moments is not None and count != moments:
        allowed = f"the model in {folder} has {count}; leave it out or give {count}"
        raise InvalidInput("closure.moments", moments, allowed)
    basis = SplineBasis(float(manifest["basis"]["extent"]), manifest["basis"]["intervals"])
    tensors = _read_weights(folder, manifest)
    features = _features(folder, tensors, basis, count, dimension)
    learned: dict[str, Any] = {
        "dissipation": _dissipation(folder, tensors, count),
        "manifest": manifest,
    }
    if isinstance(features, SplineFeatures):
        learned["start"] = _start(folder, tensors, features.parity)
        learned["friction"] = _friction(folder, tensors, count)
        return LearnedClosure("entropy", features, DUAL, **learned)
    if manifest["collision"] == "boltzmann":
        learned["response"] = _response(folder, tensors, features.parity)
    return LearnedReducedClosure(
        "entropy", dimension, features, REDUCED_DUAL, nodes=REDUCED_NODES, **learned
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    expected = {"schema_version": SCHEMA_VERSION, "closure": "entropy"}
    manifest = read_manifest(folder, expected)
    made_for = (manifest.get("dimension"), manifest.get("collision"))
    if made_for not in [(D, name) for name, dims in TRAINED.items() for D in dims]:
        raise refuse(folder, f"{MANIFEST} has no valid dimension and collision")
    if not _numbers_allowed(manifest):
        raise refuse(folder, f"{MANIFEST} has no valid basis and moments")
    return manifest


def _numbers_allowed(manifest: Mapping[str, Any]) -> bool:
    basis = manifest.get("basis")
    if not isinstance(basis, dict):
        return False
    counts = ((manifest.get("moments"), MAX_MOMENTS), (basis.get("intervals"), MAX_INTERVALS))
    whole = all(type(n) is int and 1 <= n <= most for n, most in counts)  # bool is no number
    extent = basis.get("extent")
    return whole and isinstance(extent, int | float) and 1 <= extent <= MAX_EXTENT


def _read_weights(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors = read_weights(folder, manifest)
    if not {"coefficients", "parity"} <= set(tensors):
        raise refuse(folder, f"{WEIGHTS} is damaged")
    return tensors


def _dissipation(folder: Path, tensors: Mapping[str, Tensor], count: int) -> Dissipation:
    dissipation = Dissipation(torch.arange(3, count + 3)).requires_grad_(False)
    own = dissipation.state_dict()
    given = {name: tensors.get(DISSIPATION + name, torch.zeros(0)) for name in own}
    if any(given[name].shape != value.shape for name, value in own.items()):
        raise refuse(folder, f"{WEIGHTS} has a dissipation of the wrong shapes")
    if not all(_is_real(t) and bool(torch.isfinite(t).all()) for t in given.values()):
        raise refuse(folder, f"{WEIGHTS} has a dissipation that does not hold real numbers")
    dissipation.load_state_dict(given)
    return dissipation


def _friction(folder: Path, tensors: Mapping[str, Tensor], count: int) -> Friction | None:
    if FRICTION not in tensors:
        return None
    friction, given = Friction(count).requires_grad_(False), tensors[FRICTION]
    if given.shape != friction.raw.shape:
        raise refuse(folder, f"{WEIGHTS} has a friction of the wrong shape")
    if not (_is_real(given) and bool(torch.isfinite(given).all())):
        raise refuse(folder, f"{WEIGHTS} has a friction that does not hold real numbers")
    friction.raw.copy_(given)
    return friction


def _response(folder: Path, tensors: Mapping[str, Tensor], parity: Tensor) -> Response:
    matrix = tensors.get(RESPONSE, torch.zeros(0))
    if matrix.shape != (len(parity), len(parity)):
        raise refuse(folder, f"{WEIGHTS} has collisions of the wrong shapes")
    if not (_is_real(matrix) and bool(torch.isfinite(matrix).all())):
        raise refuse(folder, f"{WEIGHTS} has collisions that do not hold real numbers")
    matrix = matrix.double()
    if not (torch.equal(matrix, matrix.T) and bool(torch.linalg.eigvalsh(matrix)[0] > 0.0)):
        raise refuse(folder, f"{WEIGHTS} has collisions that are not symmetric and positive")
    return Response(matrix)


def _start(folder: Path, tensors: Mapping[str, Tensor], parity: Tensor) -> StartNetwork | None:
    given = {n.removeprefix(FAST): t for n, t in tensors.items() if n.startswith(FAST)}
    try:
        return from_tensors(parity, given) if given else None
    except ValueError as error:
        raise refuse(folder, f"{WEIGHTS} has a network of the fast path {error}") from None


def _features(
    folder: Path, tensors: Mapping[str, Tensor], basis: SplineBasis, count: int, dimension: int
) -> SplineFeatures | ReducedSplineFeatures:
    coefficients, parity = tensors["coefficients"], tensors["parity"]
    shape = (basis.size, count) if dimension == 1 else (2, basis.size, count)
    if coefficients.shape != shape or parity.shape != (count,):
        raise refuse(folder, f"{WEIGHTS} has the wrong shapes")
    if not (_is_real(coefficients) and _is_real(parity)):
        raise refuse(folder, f"{WEIGHTS} does not hold real numbers")
    kind = SplineFeatures if dimension == 1 else ReducedSplineFeatures
    features = kind(basis, coefficients.double(), parity.double())
    if not _orthonormal(features, dimension):
        raise refuse(folder, f"{WEIGHTS} holds functions that are not orthonormal or no parity")
    return features


def _is_real(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float32, torch.float64)


def _orthonormal(features: SplineFeatures | ReducedSplineFeatures, dimension: int) -> bool:
    """Whether w and the invariants are orthonormal under Mc and w has its parity; not for NaN."""
    c, measure = decoder_rule(features.basis, dimension)
    w, known = features.matrix(c), invariants(c)
    if dimension > 1:
        known = reduced_invariants(c, dimension)
    phi = torch.cat((known, w), dim=-1)
    gram = phi.transpose(-1, -2) @ (measure[:, None] * w)
    gram = gram if dimension == 1 else gram.sum(0)
    defects = (
        gram - torch.eye(len(gram))[:, INVARIANTS:],
        features.parity.abs() - 1.0,
        w.flip(-2) - features.parity * w,
    )
    return all(bool(defect.abs().max() < TOLERANCE) for defect in defects)
