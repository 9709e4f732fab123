"""What a Zarr store from a stranger may claim, checked before anything is allocated or decoded.

A few bytes of metadata can claim an array of any size, a compressed chunk can expand to any size,
and what stands for a chunk can be a device that never ends. So before a store is opened its arrays
must have plain numbers, few codecs, and sizes that memory holds; every chunk of real numbers must
be there, be an ordinary file, and say that it expands to exactly what a chunk holds.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from kinetic.files import read_json

#: Bytes of what is read at once, chunks of an array, dimensions, entries of a store, bytes of its
#: metadata.
MOST_BYTES, MOST_CHUNKS, MOST_DIMENSIONS = 1 << 34, 10_000_000, 8
MOST_ENTRIES, MOST_METADATA = 64, 1 << 24
SIZES = {"float64": 8, "float32": 4, "int64": 8, "int32": 4, "int8": 1, "uint8": 1, "bool": 1}
REAL = ("float64", "float32")
METADATA = "zarr.json"
#: Under which names chunks are looked for; zarr writes the first.
KEYS = ({"name": "default", "configuration": {"separator": "/"}}, {"name": "default"})
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: Longest head of a frame of Zstandard, with the size of its content.
ZSTD_HEAD = 18


def check_store(path: Path) -> None:
    """Check the arrays of a Zarr group in a directory, of uncompressed or Zstandard chunks.

    Raises:
        OSError: something cannot be read.
        ValueError: it is no such group, or claims what is not allowed.
    """
    for folder, metadata in read_metadata(path):
        if (metadata.get("node_type"), metadata.get("zarr_format")) != ("array", 3):
            raise ValueError(f"{folder.name} is no array of format 3")
        _check_array(folder, metadata)


def read_metadata(path: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """Return directory and metadata of each member of a Zarr group in a directory.

    Raises:
        OSError: something cannot be read.
        ValueError: it is no group, or holds something else.
    """
    if not path.is_dir():
        raise ValueError("it is not a directory")
    _read(path)
    entries = sorted(entry for entry in path.iterdir() if entry.is_dir())
    if len(entries) > MOST_ENTRIES:
        raise ValueError(f"it holds more than {MOST_ENTRIES} entries")
    return [(entry, _read(entry)) for entry in entries]


def _read(folder: Path) -> Mapping[str, Any]:
    metadata = read_json(folder / METADATA, MOST_METADATA)
    if not isinstance(metadata, dict):
        raise ValueError(f"the metadata of {folder.name} are not an object")
    return metadata


def _check_array(folder: Path, metadata: Mapping[str, Any]) -> None:
    shape, chunk, kind = check_claim(folder.name, metadata)
    codecs = codec_names(metadata)
    if codecs not in (["bytes"], ["bytes", "zstd"]):
        raise ValueError(f"{folder.name} has the codecs {codecs}; known are bytes, and zstd")
    size = SIZES[kind] * math.prod(chunk)
    for file in _chunk_files(folder, shape, chunk):
        try:
            about = os.stat(file)
        except FileNotFoundError:
            if kind in REAL:
                raise ValueError(f"{folder.name} lacks a chunk") from None
            continue
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"a chunk of {folder.name} is not a file")
        if (_expands_to(file) if "zstd" in codecs else about.st_size) != size:
            raise ValueError(f"a chunk of {folder.name} does not hold {size} bytes")


def check_claim(
    name: str, metadata: Mapping[str, Any], by_chunk: bool = False
) -> tuple[list[int], list[int], str]:
    """Return shape, shape of a chunk and type of the numbers that the metadata of an array claim.

    Args:
        name: of the array.
        metadata: its own.
        by_chunk: whether it is never read whole, so that its chunks are to fit into memory.

    Raises:
        ValueError: they are no such things, or too large, or chunks have other names than those
            that are checked.
    """
    if metadata.get("chunk_key_encoding") not in KEYS:
        raise ValueError(f"{name} must have chunks under the default names")
    kind, grid = metadata.get("data_type"), metadata.get("chunk_grid")
    if kind not in SIZES:
        raise ValueError(f"{name} must hold numbers, not {str(kind)[:40]}")
    configuration = grid.get("configuration") if isinstance(grid, dict) else None
    chunk = _shape(configuration.get("chunk_shape") if isinstance(configuration, dict) else None, 1)
    shape = _shape(metadata.get("shape"), 0)
    if len(shape) != len(chunk):
        raise ValueError(f"{name} has no matching shape and chunks")
    bytes_claimed = SIZES[kind] * math.prod(chunk if by_chunk else map(max, shape, chunk))
    if bytes_claimed > MOST_BYTES or math.prod(_counts(shape, chunk)) > MOST_CHUNKS:
        raise ValueError(f"{name} claims {bytes_claimed} bytes; at most {MOST_BYTES} are read")
    return shape, chunk, str(kind)


def codec_names(metadata: Mapping[str, Any]) -> list[str]:
    """Return the names of the codecs of an array.

    Raises:
        ValueError: the metadata do not say it.
    """
    listed = metadata.get("codecs")
    if not isinstance(listed, Sequence) or not all(isinstance(one, dict) for one in listed):
        raise ValueError("its codecs are not a list of objects")
    return [str(one.get("name"))[:40] for one in listed]


def _shape(value: Any, least: int) -> list[int]:
    whole = isinstance(value, list | tuple) and len(value) <= MOST_DIMENSIONS
    if not whole or not all(type(n) is int and n >= least for n in value):
        raise ValueError("a shape must be a list of whole numbers")
    return list(value)


def _counts(shape: Sequence[int], chunk: Sequence[int]) -> list[int]:
    return [-(-n // m) for n, m in zip(shape, chunk, strict=True)]


def _chunk_files(folder: Path, shape: Sequence[int], chunk: Sequence[int]) -> Iterator[str]:
    """The paths of all chunks, under the default names of the format."""
    for place in product(*map(range, _counts(shape, chunk))):
        yield os.path.join(folder, "c", *map(str, place))


def _expands_to(file: str) -> int | None:
    """The size that a frame of Zstandard declares, None if it declares none (RFC 8878, 3.1.1)."""
    with open(file, "rb") as opened:
        head = opened.read(ZSTD_HEAD)
    if head[:4] != ZSTD_MAGIC or len(head) < 6:
        return None
    descriptor = head[4]
    single, length = bool(descriptor & 0x20), (0, 2, 4, 8)[descriptor >> 6]
    if single and not length:
        length = 1
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    digits = head[start : start + length]
    if len(digits) < length or not length:
        return None
    return int.from_bytes(digits, "little") + (256 if length == 2 else 0)
