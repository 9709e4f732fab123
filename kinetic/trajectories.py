"""The data set on disk: its layout, how it is created, checked and read.

The layout is specified in ``docs/data-format.md``. Every trajectory is one chunk of each array, so
it has one writer; its entry in ``done`` is written last and marks it as complete. Chunks are not
compressed (f of one variable hardly compresses) but carry a checksum, so their size on disk is
known and a truncated one is found without reading it. Only distributions of more variables, a
hundred times larger, are compressed: their chunk is a shard, one file of a compressed chunk for
each time and an index, whose entries add up to the size of the file.
"""

from __future__ import annotations

import errno
import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from kinetic.claims import check_claim, codec_names, read_metadata
from kinetic.config import DatasetRunConfig, seed_range
from kinetic.errors import InvalidInput
from kinetic.files import remove_partials, replacing
from kinetic.output import DISTRIBUTION, SCALING, package_version, velocity_coordinates
from kinetic.problems import cell_centers
from kinetic.storage import Location, Place
from kinetic.velocity import VelocityGrid

KEY = "dataset.path"
SCHEMA = "kinetic-closures data set"
SCHEMA_VERSION = "1.0"
CHECKSUM_BYTES = 4

#: The head of a chunk that Blosc compressed, and where in it is the size that it expands to.
BLOSC_HEAD, BLOSC_SIZE = 16, slice(4, 8)

#: How the index of a shard is stored: offsets and sizes as `_shard_index` reads them.
INDEX = {
    "index_codecs": [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "crc32c"},
    ],
    "index_location": "end",
}

#: A Zarr group; its annotations cannot tell an array in it from a group.
Store: TypeAlias = Any

#: Names of the arrays that have one chunk a trajectory.
CHUNKED = ("distribution", "conserved", "knudsen", "done")

#: Dimensions of an array after "trajectory" if it has one, and its type.
Layout: TypeAlias = dict[str, tuple[tuple[str, ...], str]]


def chunked_arrays(dim: int) -> Layout:
    """Return the arrays with one chunk a trajectory, in `dim` velocity dimensions."""
    f = ("time", "x", *_velocity_axes(dim)), "float32"
    others = (("time", "x", "field"), "float64"), (("x",), "float64"), ((), "uint8")
    return dict(zip(CHUNKED, (f, *others), strict=True))


def whole_arrays(dim: int) -> Layout:
    """Return the arrays written whole when the data set is created."""
    axes: Layout = {name: ((name,), "float64") for name in ("time", "x", *_velocity_axes(dim))}
    return axes | {"seed": (("trajectory",), "int64"), "family": (("trajectory",), "int8")}


def _velocity_axes(dim: int) -> tuple[str, ...]:
    """Return the dimensions of a distribution after time and x."""
    return DISTRIBUTION[dim][0][2:]


def _dimension(store: Store) -> int:
    """Return the velocity dimensions of a data set, by the axes that it holds."""
    return next(dim for dim in (2, 3, 1) if all(name in store for name in _velocity_axes(dim)))


@dataclass(frozen=True)
class Trajectory:
    """One labelled solution, dimensionless.

    Attributes:
        family, seed: what it was drawn from.
        time: snapshot times, shape (time,).
        x, v: cell centres (x,) and velocity nodes (v,), those of every axis.
        knudsen: eps, shape (x,).
        conserved: U = (rho, rho u, E), float64, shape (time, x, 3).
        distribution: f, float32, shape (time, x, v); (time, x, v, v) in D = 2, v_1 first; and g and
            h in D = 3, shape (time, x, v, 2).
        dim: velocity dimensions D.
    """

    family: str
    seed: int
    time: NDArray[np.float64]
    x: NDArray[np.float64]
    v: NDArray[np.float64]
    knudsen: NDArray[np.float64]
    conserved: NDArray[np.float64]
    distribution: NDArray[np.float32]
    dim: int = 1


class TrajectorySet:
    """A data set opened for reading: a sequence of `Trajectory`, each read when it is asked for.

    Trajectories that failed are left out; `failures` lists them.

    Attributes:
        path: its directory or URL.
        time, x, v: snapshot times, cell centres and velocity nodes, those of every axis.
        dim: velocity dimensions D.
        families, seeds: of every trajectory in the sequence.
        failures: mappings with trajectory, family, seed and reason.
        configuration: the configuration that made it.
        seed_range: "training", "validation" or "test".
    """

    def __init__(self, path: Place, store: Store, numbers: list[int]) -> None:
        self.path = path
        self._store = store
        self._numbers = numbers
        names = store["family"].attrs["names"]
        self.families = tuple(names[code] for code in store["family"][:][numbers])
        self.seeds: NDArray[np.int64] = store["seed"][:][numbers]
        self.dim = _dimension(store)
        nodes = _velocity_axes(self.dim)[0]
        self.time, self.x, self.v = (store[name][:] for name in ("time", "x", nodes))
        self.failures: list[dict[str, Any]] = store.attrs["failures"]
        self.configuration: dict[str, Any] = json.loads(store.attrs["configuration"])
        self.seed_range: str = store.attrs["seed_range"]

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, position: int) -> Trajectory:
        """Read one trajectory.

        Raises:
            IndexError: there is none at `position`.
            InvalidInput: its data are damaged.
        """
        number = self._numbers[position]
        return Trajectory(
            family=self.families[position],
            seed=int(self.seeds[position]),
            time=self.time,
            x=self.x,
            v=self.v,
            knudsen=self._read("knudsen", number),
            conserved=self._read("conserved", number),
            distribution=self._read("distribution", number),
            dim=self.dim,
        )

    def __iter__(self) -> Iterator[Trajectory]:
        return (self[position] for position in range(len(self)))

    def _read(self, name: str, number: int) -> NDArray[Any]:
        try:
            array = self._store[name]
            if _sharded(name, self.dim):
                _check_expansion(self.path, array, number)
            return array[number]
        except Exception as error:  # a damaged chunk makes its decoder raise nearly anything
            allowed = f"{name} of trajectory {number} is damaged: {error}"
            raise InvalidInput(KEY, self.path, allowed) from error


def open_dataset(path: Location, key: str = KEY) -> TrajectorySet:
    """Open a data set, in a directory or at a URL, after comparing it with its specification.

    Raises:
        InvalidInput: under `key`, when it is missing, foreign, incomplete or damaged.
    """
    place = Place.of(path)
    store = open_store(place, key)
    try:
        _check_layout(store)
        _check_whole(place, store)
        if not store.attrs["complete"]:
            raise ValueError("it is incomplete; run the same `kinetic dataset` command again")
        numbers = sorted(finished(place))
        if not numbers:
            raise ValueError("every trajectory failed")
        for number in numbers:
            _check_chunks(place, store, number)
        return TrajectorySet(place, store, numbers)
    except Exception as error:  # damaged metadata make the store raise nearly anything
        reason = f"lacks {error}" if isinstance(error, KeyError) else error
        raise InvalidInput(key, path, f"must be a complete data set; {reason}") from error


def open_store(path: Location, key: str = KEY, mode: Literal["r", "r+"] = "r") -> Store:
    """Open the Zarr group of a data set, having checked that it is one.

    Raises:
        InvalidInput: under `key`, when it is missing or something else.
    """
    place = Place.of(path)
    if not _exists(place, key):
        raise InvalidInput(key, path, "does not exist; must be a data set made by kinetic dataset")
    try:
        if not place.remote:
            read_metadata(place.path)
        # Format 3 only: format 2 can name a pickle codec, which runs code from the file.
        store = zarr.open_group(place.zarr(mode == "r"), mode=mode, zarr_format=3)
        found = store.attrs.get("schema"), store.attrs.get("schema_version")
    except Exception as error:  # a foreign file makes the store raise nearly anything
        raise InvalidInput(key, path, f"must be a data set; {error}") from error
    if found != (SCHEMA, SCHEMA_VERSION):
        allowed = f"must be a data set of schema {SCHEMA_VERSION}; it states {found[0]} {found[1]}"
        raise InvalidInput(key, path, allowed)
    return store


def _exists(path: Place, key: str) -> bool:
    try:
        return path.exists()
    except Exception as error:  # each kind of store has its own
        allowed = f"cannot be reached; {type(error).__name__}: {error}"
        raise InvalidInput(key, path, allowed) from error


def is_begun(path: Place) -> bool:
    """Return whether there is something, or at a URL more than what a killed `create_store` left.

    Raises:
        InvalidInput: at a URL there is something else.
    """
    if not path.remote or not _exists(path, KEY):
        return path.exists()
    return open_store(path).metadata.consolidated_metadata is not None


def create_store(config: DatasetRunConfig, path: Location) -> None:
    """Write the metadata of an empty data set; `path` is there only when they are complete."""
    place = Place.of(path)
    if place.remote:
        _write_metadata(config, place)
        return
    target = place.path
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(target.parent)
    try:
        with replacing(target, over=False) as partial:
            _write_metadata(config, Place.of(partial))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise  # else another process has just begun it


def _write_metadata(config: DatasetRunConfig, path: Place) -> None:
    attributes = _attributes(config)
    store: Store = zarr.create_group(
        path.zarr(), zarr_format=3, attributes=attributes, overwrite=path.remote
    )
    whole = {name: np.asarray(one) for name, one in _whole_values(config).items()}
    dim = config.velocity.dim
    for name, (dimensions, dtype) in whole_arrays(dim).items():
        values = np.asarray(whole[name], dtype=dtype)
        store.create_array(
            name, data=values, chunks=values.shape, compressors=None, dimension_names=dimensions
        )
    store["family"].attrs["names"] = list(config.families)
    sizes = {name: len(whole[name]) for name in ("time", "x", *_velocity_axes(dim))} | {"field": 3}
    for name, (dimensions, dtype) in chunked_arrays(dim).items():
        shape = tuple(sizes[dimension] for dimension in dimensions)
        store.create_array(
            name,
            shape=(config.dataset.trajectories, *shape),
            dtype=dtype,
            fill_value=0,
            dimension_names=("trajectory", *dimensions),
            **_storage(name, shape, dim),
        )
    consolidate(path)


def _storage(name: str, shape: tuple[int, ...], dim: int) -> dict[str, Any]:
    """Return how the chunks of an array with so many entries a trajectory are stored."""
    if not _sharded(name, dim):
        return {"chunks": (1, *shape), "compressors": [Crc32cCodec()]}
    compressor = BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")
    return {
        "shards": (1, *shape),
        "chunks": (1, 1, *shape[1:]),
        "compressors": [compressor, Crc32cCodec()],
    }


def _sharded(name: str, dim: int) -> bool:
    return name == "distribution" and dim > 1


def _attributes(config: DatasetRunConfig) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "scaling": SCALING,
        "configuration": json.dumps(config.identity(), sort_keys=True),
        "package_version": package_version(),
        "seed_range": seed_range(config.dataset.seed),
        "complete": False,
        "failures": [],
    }


def _whole_values(config: DatasetRunConfig) -> dict[str, ArrayLike]:
    numbers, velocity = np.arange(config.dataset.trajectories), config.velocity
    return {
        "time": np.linspace(0.0, config.time.end, config.time.snapshots),
        "x": cell_centers(config.cells),
        "seed": config.dataset.seed + numbers,
        "family": numbers % len(config.families),
        **velocity_coordinates(VelocityGrid(velocity.points, velocity.extent, velocity.dim)),
    }


def consolidate(path: Location) -> None:
    """Copy all metadata into the root, where readers look first."""
    with warnings.catch_warnings():
        # That consolidated metadata are an extension of the format is of no concern here.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(Place.of(path).zarr(), zarr_format=3)


def finished(path: Location) -> set[int]:
    """Return the numbers of the trajectories that are marked as done."""
    return {int(entry) for entry in Place.of(path).names("done", "c") if entry.isdigit()}


def write_trajectory(store: Store, number: int, values: dict[str, NDArray[Any]]) -> None:
    """Write every array of one trajectory, and then the mark that it is done."""
    for name, value in values.items():
        store[name][number] = value
    store["done"][number] = 1


def remove_unfinished(path: Place) -> None:
    """Delete what killed writers left behind: chunks without a mark, and temporary files."""
    done = finished(path)
    for name in CHUNKED:
        for entry in path.names(name, "c"):
            if not (entry.isdigit() and int(entry) in done):
                path.remove(name, "c", entry)
    if not path.remote:
        for temporary in path.path.rglob("*.partial"):
            temporary.unlink(missing_ok=True)


def _check_layout(store: Store) -> None:
    """Compare names, dimensions, types, shapes and chunks with the specification."""
    dim = _dimension(store)
    sizes = {"field": 3, "trajectory": store["seed"].shape[0]}
    sizes |= {name: store[name].shape[0] for name in ("time", "x", *_velocity_axes(dim))}
    whole = ((name, dimensions, dtype) for name, (dimensions, dtype) in whole_arrays(dim).items())
    chunked = (
        (name, ("trajectory", *dimensions), dtype)
        for name, (dimensions, dtype) in chunked_arrays(dim).items()
    )
    for name, dimensions, dtype in (*whole, *chunked):
        shape = tuple(sizes[dimension] for dimension in dimensions)
        array = store[name]
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"{name} must be {dtype} of shape {shape}")
        _check_storage(name, array.metadata.to_dict(), dim)


def _check_storage(name: str, metadata: dict[str, Any], dim: int) -> None:
    """Refuse chunks and codecs that are not those that `create_store` writes, before reading."""
    shape, chunk, _ = check_claim(name, metadata, by_chunk=name in CHUNKED)
    codecs = codec_names(metadata)
    known, whole = ["bytes"], shape
    if name in CHUNKED:
        known, whole = ["bytes", "crc32c"], [1, *shape[1:]]
    if _sharded(name, dim):
        known = ["sharding_indexed"]
        inner = dict(metadata["codecs"][0]["configuration"])
        if codec_names(inner) != ["bytes", "blosc", "crc32c"]:
            raise ValueError(f"{name} has other codecs than {SCHEMA} {SCHEMA_VERSION}")
        if list(inner["chunk_shape"]) != [1, 1, *shape[2:]]:
            raise ValueError(f"{name} has other chunks than a time each")
        if {**inner, "index_codecs": list(inner["index_codecs"])} != {**inner, **INDEX}:
            raise ValueError(f"{name} has another index than {SCHEMA} {SCHEMA_VERSION}")
    if codecs != known or chunk != whole:
        raise ValueError(f"{name} has other chunks or codecs than {SCHEMA} {SCHEMA_VERSION}")


def _check_whole(path: Place, store: Store) -> None:
    """Compare the file of each array that is read whole with its size; one of zeros has none."""
    for name in whole_arrays(_dimension(store)):
        array, file = store[name], (name, "c", "0")
        if path.exists(*file) and path.size(*file) != array.dtype.itemsize * array.shape[0]:
            raise ValueError(f"{name} is truncated, or no file")


def _check_chunks(path: Place, store: Store, number: int) -> None:
    """Compare the files of one trajectory with the size they must have."""
    dim = _dimension(store)
    for name, (dimensions, _) in chunked_arrays(dim).items():
        array = store[name]
        file = _chunk_file(name, number, len(dimensions))
        size = path.size(*file)
        if size is None:
            whole = False
        elif _sharded(name, dim):
            whole = _shard_is_whole(path, file, size, array.shape[1])
        else:
            whole = size == array.dtype.itemsize * int(np.prod(array.shape[1:])) + CHECKSUM_BYTES
        if not whole:
            raise ValueError(f"{name} of trajectory {number} is missing or truncated")


def _chunk_file(name: str, number: int, dimensions: int) -> tuple[str, ...]:
    """The file of one trajectory, of an array with so many dimensions after it."""
    return name, "c", str(number), *("0" for _ in range(dimensions))


def _shard_is_whole(path: Place, file: tuple[str, ...], size: int, chunks: int) -> bool:
    """Compare the size of a shard with its index."""
    index = _index_bytes(chunks)
    return size >= index and int(_shard_index(path, file, chunks)[:, 1].sum()) == size - index


def _shard_index(path: Place, file: tuple[str, ...], chunks: int) -> NDArray[np.uint64]:
    """Offset and size of each chunk of a shard, which are at its end."""
    content = path.tail(_index_bytes(chunks), *file)
    return np.frombuffer(content, "<u8", 2 * chunks).reshape(chunks, 2)


def _index_bytes(chunks: int) -> int:
    return 16 * chunks + CHECKSUM_BYTES


def _check_expansion(path: Place, array: Any, number: int) -> None:
    """Check that every chunk of a shard says that it expands to what a chunk holds.

    It is done when a trajectory is read, as a data set has many chunks.

    Raises:
        ValueError: one says something else.
        Exception: of the kind of store, when the shard cannot be read.
    """
    file = _chunk_file(array.basename, number, array.ndim - 1)
    index = _shard_index(path, file, array.shape[1])
    size = array.dtype.itemsize * math.prod(array.chunks)
    heads = path.pieces(index[:, 0].tolist(), BLOSC_HEAD, *file)
    whole = int(index[:, 1].min()) >= BLOSC_HEAD + CHECKSUM_BYTES
    if not whole or any(int.from_bytes(head[BLOSC_SIZE], "little") != size for head in heads):
        raise ValueError(f"a chunk of it does not hold {size} bytes")
