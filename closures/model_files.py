"""Files of a model directory: ``model.json``, the manifest, and ``weights.safetensors``.

They may come from strangers: nothing is executed, nothing larger than `MAX_BYTES` is read, and what
is not as it must be is refused in one line. What the numbers mean is known to `closures.library`
and `closures.network.files`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from kinetic.errors import InvalidInput
from kinetic.files import parse_json, read_file, remove_partials, replacing, write_file, write_json

MANIFEST, WEIGHTS = "model.json", "weights.safetensors"
DIGEST = "weights_sha256"
"""Key of a manifest: SHA-256 of the file of the weights, in hexadecimal digits."""

MAX_BYTES = 16 * 2**20
CURVES = ("history", "rollout")
"""Training curves that a manifest may hold."""


def write_files(folder: Path, tensors: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Write a model directory, replacing an earlier one only when complete.

    A directory that holds other files too is kept, and its two files replaced one after the other.

    Raises:
        OSError: there is no room or no permission.
    """
    folder = folder.resolve()  # a link stays, and what it leads to is replaced
    remove_partials(folder.parent)  # may put back the directory itself
    folder.mkdir(parents=True, exist_ok=True)
    remove_partials(folder)
    if {entry.name for entry in folder.iterdir()} == {MANIFEST, WEIGHTS}:
        with replacing(folder) as partial:
            partial.mkdir()
            _write(partial, tensors, manifest)
    else:
        _write(folder, tensors, manifest)


def _write(folder: Path, tensors: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Write the two files into a directory.

    The weights go first and the manifest last, by renaming: a directory with a manifest is whole.
    The manifest holds a digest of the weights, so that none but these are read with it.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save_tensors(whole)
    write_file(folder / WEIGHTS, content)
    write_json(folder / MANIFEST, {**manifest, DIGEST: sha256(content).hexdigest()})


def read_manifest(folder: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Read a manifest that says what is `expected` of it, and whose curves are curves.

    Raises:
        InvalidInput: it is missing, damaged or another.
    """
    manifest = _read_object(folder)
    for key, value in expected.items():
        if manifest.get(key) != value:
            found = repr(manifest.get(key))[:40]
            raise refuse(folder, f"{MANIFEST} has {key} {found}, not {value!r}")
    if not all(_is_history(manifest.get(name)) for name in CURVES):
        raise refuse(folder, f"{MANIFEST} has a history that is not curves of numbers")
    return manifest


def kind_of(folder: Path) -> Any:
    """Return what a manifest says it is the closure of, None if there is no manifest."""
    try:
        return _read_object(folder).get("closure")
    except InvalidInput:
        return None


def read_weights(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read the tensors by name; those of a manifest without a digest as they are.

    Raises:
        InvalidInput: the file is missing, damaged, or not that of the manifest.
    """
    content = _read(folder, WEIGHTS)
    if manifest.get(DIGEST) not in (None, sha256(content).hexdigest()):
        raise refuse(folder, f"{WEIGHTS} is damaged: its digest is not that in {MANIFEST}")
    try:
        tensors: dict[str, Tensor] = load_tensors(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError):
        raise refuse(folder, f"{WEIGHTS} is damaged") from None
    return tensors


def refuse(folder: Path, why: str) -> InvalidInput:
    """Return the error that says why a model directory is not accepted."""
    return InvalidInput("closure", folder, f"{why}; must be a directory written by closures train")


def _read_object(folder: Path) -> dict[str, Any]:
    content = _read(folder, MANIFEST)
    try:
        manifest = parse_json(content)
    except ValueError:
        raise refuse(folder, f"{MANIFEST} is not JSON") from None
    if not isinstance(manifest, dict):
        raise refuse(folder, f"{MANIFEST} does not hold an object")
    return manifest


def _read(folder: Path, name: str) -> bytes:
    """The content of a file of a model directory, if it is an ordinary file of moderate size."""
    try:
        return read_file(folder / name, MAX_BYTES)
    except OSError as error:
        raise refuse(folder, f"{name} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise refuse(folder, f"{name} cannot be read: {error}") from None


def _is_history(history: Any) -> bool:
    """Whether it is absent, or lists of finite numbers of one length by name."""
    if history is None:
        return True
    if not isinstance(history, dict) or not all(isinstance(c, list) for c in history.values()):
        return False
    numbers = [n for curve in history.values() for n in curve]
    finite = all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
    return finite and len({len(curve) for curve in history.values()}) <= 1
