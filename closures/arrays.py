"""Arrays in one file of safetensors, whole or not at all, with a digest of their content.

The digest is in the metadata of the header, so a damage of any bit of an array is seen. Nothing is
executed on reading, and nothing larger than `MOST_BYTES` is read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from kinetic.files import parse_json, read_file, write_file

Arrays = Mapping[str, NDArray[Any]]
ABOUT, DIGEST = "about", "sha256"
"""The only key of the metadata, as more come in no order, and a key of the JSON under it."""

MOST_BYTES = 1 << 30
ALIGNMENT = 64
"""Of an array in memory, in bytes."""


def write_arrays(path: Path, arrays: Arrays, **about: Any) -> None:
    """Write arrays, and what is to be said of them."""
    whole = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    write_file(path, save(whole, {ABOUT: json.dumps({DIGEST: digest(whole), **about})}))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read arrays; those of a file without a digest as they are.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or too large.
    """
    content = read_file(path, MOST_BYTES)
    try:
        arrays: dict[str, NDArray[Any]] = load(content)
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    (size,) = struct.unpack("<Q", content[:8])
    metadata = parse_json(content[8 : 8 + size]).get("__metadata__") or {}
    about = parse_json(metadata.get(ABOUT, "{}"))
    if not isinstance(about, dict) or about.get(DIGEST) not in (None, digest(arrays)):
        raise ValueError(f"{path.name} has another digest than its arrays")
    return {name: _aligned(value) for name, value in arrays.items()}


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A copy that lies on a boundary of memory: sums depend on that in their last bit."""
    buffer = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    copy = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def digest(arrays: Arrays) -> str:
    """Return the SHA-256 of names, types, shapes and values."""
    found = sha256()
    for name in sorted(arrays):
        value = arrays[name]
        found.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    return found.hexdigest()
