"""Damage files in every way that comes to mind, and see what their readers make of them.

    python benchmarks/fuzz_files.py [--mutations 2000] [--seed 0] [--targets NAME ...]

For each reader a small set of files is written. Again and again one file is truncated, flipped,
overwritten, swapped, replaced by a foreign one, by a link, a pipe or a directory, or, where it is
JSON, a Zarr store or safetensors, changed in its structure: other types, huge sizes, deep nesting,
missing keys. Then it is read, within a limit of memory and time. An outcome is

    same      what is read is what was written: the damage does not matter
    refused   `InvalidInput`, one line that names the file; or it is not used, and made again
    another   another content that is valid: nothing promises that this damage is seen
    DEFECT    any other exception, memory taken for what a file only claims, a hang

Each defect is printed; the exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from closures.blocks import Blocks
from closures.joined import read_runs
from closures.learn.explore import EXPLORED, Explored
from closures.learn.label import Request
from closures.learn.rounds import RoundFolder, Selection
from closures.learn.space import DIMENSION
from closures.learn.status import LOCK, Log, read_status
from closures.learn.store import LabelStore
from closures.learned import Learned
from closures.library import parse, read_model, write_model
from closures.model_files import DIGEST, MANIFEST
from closures.network.closure import Architecture, Networks
from closures.network.files import read_network, write_network
from closures.outcomes import Case, Outcome
from closures.restart import read_state
from closures.snapshots import Profile, write_profiles
from closures.solution import solve
from closures.stages import Run
from closures.training import Moments, TrainOptions
from kinetic import solve as solve_kinetic
from kinetic.dataset import generate
from kinetic.errors import InvalidInput
from kinetic.jobs import fingerprint, finished
from kinetic.output import loaded, read_solution, write_solution
from kinetic.problem_file import read_csv, read_restart
from kinetic.problems import problem
from kinetic.trajectories import open_dataset

SECONDS, MEMORY = 20, 3 << 30
"""Limits of a reader; memory is what it may take beyond that of this process."""

SAME, REFUSED, ANOTHER, DEFECT = "same", "refused", "another", "DEFECT"
SMALL = {"cells": 8, "time": {"end": 0.01, "snapshots": 3}}


# ------------------------------------------------------------------------------------------
# Readers


@dataclass(frozen=True)
class Target:
    """A reader: `make` writes files to a folder, `read` returns what is in them."""

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]


def _csv(folder: Path) -> None:
    x = (np.arange(8) + 0.5) / 8
    rows = (f"{a:.17g},1.25,{0.1 * a:.5g},1.5,0.01" for a in x)
    text = "\n".join(["x,density,velocity,temperature,knudsen", *rows]) + "\n"
    (folder / "problem.csv").write_text(text, encoding="utf-8")


def _solution(folder: Path, **more: Any) -> None:
    write_solution(solve_kinetic(problem="wave", **SMALL, **more), folder / "solution.zarr")


def _closed(folder: Path) -> None:
    config = SMALL | {"problem": "wave", "closure": "entropy"}
    write_solution(solve(**config), folder / "solution.zarr")


def _dataset(folder: Path, dim: int) -> None:
    config = SMALL | {"velocity": {"dim": dim}, "dataset": {"trajectories": 2, "workers": 1}}
    generate(config, folder / "dataset.zarr", progress=False)


def _model(folder: Path, digest: bool) -> None:
    with torch.no_grad():
        history = {"step": [0, 10], "train": [0.1, 0.05], "validation": [0.2, 0.06]}
        write_model(folder / "model", Learned(3).closure(), {"history": history})
    if not digest:
        _forget_digest(folder / "model")


def _forget_digest(model: Path) -> None:
    path = model / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {DIGEST: None}))


def _network(folder: Path) -> None:
    networks = Networks(Architecture("galilean", "learned", 2, 4, 4, 4), 0)
    write_network(folder / "model", networks, {"largest": 4.0}, {})
    _forget_digest(folder / "model")


def _training_run(folder: Path) -> Run[Learned]:
    options = TrainOptions(data=str(folder), steps=4)
    return Run(Learned(2), [Moments(options)], folder, "0123456789abcdef")


def _checkpoint(folder: Path) -> None:
    run = _training_run(folder)
    run.histories["moments"] = {"step": [0, 2], "train": [1.0, 0.5], "validation": [1.0, 0.5]}
    sum(one.sum() for one in run.learned.encoder.parameters()).backward()  # type: ignore[union-attr]
    run.optimizer.step()
    run._save()


def _resumed(folder: Path) -> Any:
    run = _training_run(folder)
    return run.histories, run.step, run.learned.state_dict(), run.best, run.optimizer.state_dict()


def _comparison(folder: Path) -> None:
    case = {"family": "wave", "seed": 1, "knudsen": 0.1, "closure": "euler", "status": "ok"}
    errors = {"density": 0.1, "momentum": 0.2, "energy": 0.3}
    failed = case | {"status": "failed", "errors": None, "seconds": None, "reason": "cold"}
    metrics = {
        "schema_version": "1.0",
        "closures": {"euler": {"name": "euler", "moments": 0}},
        "configuration": {"cells": 8},
        "cases": [case | {"errors": errors, "seconds": 0.5}, failed],
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "status.json").write_text(json.dumps({"status": 0, "message": "done"}))
    x, times, ones = np.linspace(0.1, 0.9, 8), np.array([0.0, 0.1]), np.ones((2, 8), np.float32)
    fields = dict.fromkeys(("density", "velocity", "temperature", "heat_flux"), ones)
    write_profiles(folder, [Profile("a", "A", 1, x, x, times, {"euler": fields}, {})])


def _report(folder: Path) -> Any:
    """Read the runs and draw their page."""
    from closures.report.runs import report

    report({"report": {"runs": [str(folder)]}}, folder.parent / "report")
    return [(one.results, one.configuration, one.profiles) for one in read_runs([folder])]


def _record(folder: Path) -> None:
    values = {"status": 0, "message": "m", "seconds": 1.0, "fingerprint": fingerprint({"a": 1})}
    (folder / "status.json").write_text(json.dumps(values))


def _labels(folder: Path) -> None:
    store = LabelStore(folder / "labels")
    arrays = {
        "distribution": np.ones((3, 8, 16), np.float32),
        "conserved": np.ones((3, 8, 3)),
        "knudsen": np.ones(8),
        "decade": np.array([-1]),
    }
    store.write("a", arrays, {})
    store.fail("b", "cold", {})


def _read_labels(folder: Path) -> Any:
    store = LabelStore(folder / "labels")
    return store.read("a"), store.failures()


def _round(folder: Path) -> None:
    keep = RoundFolder(folder)
    ones = np.ones(4, int)
    keep.keep_explored(0, Explored(np.full((4, DIMENSION), 0.5), np.ones(4), ones, ones))
    request = Request((0.5,) * DIMENSION, 0, 2, 0, 1, 3)
    keep.keep_selection(Selection((request,), 4, 3, 1, 0, 0.25, {"-1": 0.1}, {"-1": 0.2}))


def _read_round(folder: Path) -> Any:
    keep = RoundFolder(folder)
    explored = keep.explored(0)
    selection = keep.selection()
    return explored and [getattr(explored, name) for name in EXPLORED], selection


def _log(folder: Path) -> None:
    (folder / LOCK).touch()
    log = Log(folder)
    decades = {str(decade): 0.1 for decade in range(-3, 1)}
    counts = dict.fromkeys(("explored", "accurate", "candidate", "failed", "labelled"), 3)
    row = {"round": 0, "share": 0.1, "worst": decades, "error": decades, **counts}
    (folder / "rounds.jsonl").write_text(json.dumps(row) + "\n")
    log.progress(1, "training", 1, 3)


def _blocks(folder: Path) -> None:
    case = Case("wave", 1, problem("wave", seed=1, knudsen=0.1, cells=8))
    errors = {"density": 0.1, "momentum": 0.2, "energy": 0.3}
    solution = solve_kinetic(problem="wave", **SMALL)
    Blocks(folder, "key").save([Outcome(case, "euler", errors, 0.1, solution=solution)])


def _read_blocks(folder: Path) -> Any:
    case = Case("wave", 1, problem("wave", seed=1, knudsen=0.1, cells=8))
    found = Blocks(folder, "key").load("euler", [case])
    return found and [(one.errors, one.seconds, one.reason, one.solution) for one in found]


def _all_of_dataset(folder: Path) -> Any:
    data = open_dataset(folder / "dataset.zarr")
    return [(one.family, one.knudsen, one.conserved, one.distribution) for one in data]


TARGETS = (
    Target("csv", _csv, lambda f: read_csv(str(f / "problem.csv"))),
    Target("solution", _solution, lambda f: loaded(read_solution(f / "solution.zarr"), f)),
    Target(
        "restart",
        partial(_solution, output={"distribution": True}),
        lambda f: read_restart(str(f / "solution.zarr")),
    ),
    Target(
        "closed",
        _closed,
        lambda f: read_state(str(f / "solution.zarr"), None, parse("entropy-6")),
    ),
    Target("dataset", partial(_dataset, dim=1), _all_of_dataset),
    Target("dataset 2", partial(_dataset, dim=2), _all_of_dataset),
    Target("model", partial(_model, digest=True), lambda f: read_model(f / "model").phi),
    Target("old model", partial(_model, digest=False), lambda f: read_model(f / "model").phi),
    Target("network", _network, lambda f: read_network(f / "model").networks.state_dict()),
    Target("checkpoint", _checkpoint, _resumed),
    Target("report", _comparison, _report),
    Target("record", _record, lambda f: finished({"a": 1}, f)),
    Target("labels", _labels, _read_labels),
    Target("round", _round, _read_round),
    Target("log", _log, lambda f: str(read_status(f))),
    Target("blocks", _blocks, _read_blocks),
)


# ------------------------------------------------------------------------------------------
# Damage

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**40, 2**63, 10**400, 1.5, -0.5, 1e300, "", "x"),
    *("../../etc/passwd", "/etc/passwd", "a\0b", "é" * 50, [], [[]], {}, {"a": 1}, [None]),
    *([2**40], [2**40, 8], [2**20, 2**20, 2**20], [-1], [0], [0, 0], ["x"], float("nan")),
    *(float("inf"), "gzip", "zstd", "numcodecs.pickle", "float128", "object", "|O"),
    *([{"name": "gzip", "configuration": {"level": 5}}], {"name": "bytes"}, "NaN", "Infinity"),
)
DEEP = 100_000
FOREIGN: tuple[bytes, ...] = (
    *(b"", b"\0" * 4096, b"null", b"[]", b"{}", b'"x"', b"1e999", b"NaN", b"[" * DEEP),
    *(b'{"a":' * DEEP, b"9" * 5000, b"\x89PNG\r\n\x1a\n" + b"x" * 64, b"\x1f\x8b\x08" + b"\0" * 64),
    *(b"PK\x03\x04" + b"\0" * 64, b"\xff\xfe" + "x,density".encode("utf-16-le"), b"\x80\x04\x95."),
    *(struct.pack("<Q", 2**40) + b"{}", struct.pack("<Q", 2**63) + b"{}"),
    b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**40) + b"\0" * 32,
    b"x,density,velocity,temperature\n" + b"1" * 200_000,
)


def bytes_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes that were truncated, flipped, overwritten, doubled or swapped."""
    if not content:
        return rng.bytes(8)
    data, place = bytearray(content), int(rng.integers(len(content)))
    length = int(rng.integers(1, max(2, len(content) // 4)))
    match rng.integers(6):
        case 0:
            del data[place:]
        case 1 | 2:
            for _ in range(rng.integers(1, 5)):
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        case 3:
            data[place : place + length] = rng.bytes(length)
        case 4:
            data[place:place] = data[place : place + length]
        case _:
            other = int(rng.integers(len(content)))
            first, second = data[place : place + length], data[other : other + length]
            data[place : place + length], data[other : other + length] = second, first
    return bytes(data)


def changed(value: Any, rng: np.random.Generator) -> Any:
    """Return a JSON value with one part changed, missing, or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = str(rng.choice(list(value)))
        match rng.integers(8):
            case 0:
                return {name: one for name, one in value.items() if name != key}
            case 1:
                return value | {str(rng.choice(["a", "../b", "name"])): _value(rng)}
        return value | {key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = int(rng.integers(len(value)))
        new = [changed(value[place], rng)] if rng.random() < 0.8 else []
        return [*value[:place], *new, *value[place + 1 :]]
    return _value(rng)


def _value(rng: np.random.Generator) -> Any:
    return VALUES[int(rng.integers(len(VALUES)))]


def structure_damage(path: Path, content: bytes, rng: np.random.Generator) -> bytes | None:
    """Return JSON, JSON in JSON, or the header of safetensors with a change; None of others."""
    if path.suffix == ".safetensors":
        (size,) = struct.unpack("<Q", content[:8])
        header = json.dumps(changed(json.loads(content[8 : 8 + size]), rng)).encode()
        return struct.pack("<Q", len(header)) + header + content[8 + size :]
    try:
        value = json.loads(content)
    except ValueError:
        return None
    attributes = value.get("attributes") if isinstance(value, dict) else None
    if isinstance(attributes, dict) and rng.random() < 0.3:
        inner = {name: one for name, one in attributes.items() if str(one).startswith("{")}
        if inner:
            key = str(rng.choice(list(inner)))
            attributes[key] = json.dumps(changed(json.loads(inner[key]), rng))
            return json.dumps(value).encode()
    return json.dumps(changed(value, rng)).encode()


def special(path: Path, rng: np.random.Generator) -> str:
    """Put something at `path` that is no ordinary file, and say what."""
    path.unlink()
    match rng.integers(5):
        case 0:
            return "removed"
        case 1:
            path.mkdir()
            return "a directory"
        case 2:
            os.mkfifo(path)
            return "a pipe"
        case 3:
            path.symlink_to("/dev/zero")
            return "a link to an endless device"
    path.symlink_to("/etc/passwd")
    return "a link to another file"


def damage(folder: Path, rng: np.random.Generator) -> str:
    """Damage one file below `folder`, and say which and how."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[int(rng.integers(len(files)))]
    content, name = path.read_bytes(), str(path.relative_to(folder))
    choice = rng.random()
    if choice < 0.1:
        return f"{name}: {special(path, rng)}"
    if choice < 0.25:
        number = int(rng.integers(len(FOREIGN)))
        path.write_bytes(FOREIGN[number])
        return f"{name}: foreign {number}"
    if choice < 0.6 and (new := structure_damage(path, content, rng)) is not None:
        path.write_bytes(new)
        return f"{name}: structure"
    if choice < 0.65:
        path.write_bytes(files[int(rng.integers(len(files)))].read_bytes())
        return f"{name}: another of the files"
    path.write_bytes(bytes_damage(content, rng))
    return f"{name}: bytes"


# ------------------------------------------------------------------------------------------
# Outcomes


class HangError(BaseException):
    """A reader took longer than `SECONDS`."""


def digest(value: Any) -> str:
    """Return a digest of what was read."""
    found = hashlib.sha256()
    for part in _parts(value):
        found.update(part)
    return found.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        yield str((value.shape, value.dtype)).encode() + value.tobytes()
    elif isinstance(value, dict):
        for key, one in value.items():
            yield str(key).encode()
            yield from _parts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _parts(one)
    elif hasattr(value, "data_vars"):
        yield from _parts({name: value[name].values for name in sorted(map(str, value.variables))})
    elif hasattr(value, "__dataclass_fields__"):
        yield from _parts(vars(value))
    else:
        yield repr(value).encode()


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """Bound time and memory of what is done within."""

    def stop(*_: object) -> None:
        raise HangError

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(target: Target, folder: Path, pristine: str) -> tuple[str, str]:
    """Read the files of a target; return the kind of the outcome and what is to be said."""
    try:
        with limits():
            value = target.read(folder)
            found = digest(value)
    except InvalidInput as refusal:
        said = str(refusal)
        memory = isinstance(refusal.__cause__, MemoryError) or "allocate" in said
        bad = memory or str(folder.parent) not in said
        return (DEFECT if bad else REFUSED), said
    except HangError:
        return DEFECT, f"not done after {SECONDS} s"
    except Exception:
        return DEFECT, traceback.format_exc()
    if value is None:
        return REFUSED, ""
    return (SAME if found == pristine else ANOTHER), ""


def fuzz(target: Target, mutations: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Return how often each outcome came of so many mutations, and what is said of defects."""
    counts: Counter[str] = Counter()
    said = []
    with tempfile.TemporaryDirectory() as scratch:
        whole, folder = Path(scratch) / "whole", Path(scratch) / "damaged"
        whole.mkdir()
        target.make(whole)
        shutil.copytree(whole, folder)
        pristine = digest(target.read(folder))
        for number in range(mutations):
            shutil.rmtree(folder)
            shutil.copytree(whole, folder)
            how = damage(folder, np.random.default_rng([seed, number]))
            kind, message = outcome(target, folder, pristine)
            counts[kind] += 1
            if kind == DEFECT:
                said.append(f"{target.name} {number}: {how}: {message}")
    return counts, said


def main(arguments: list[str] | None = None) -> int:
    """Fuzz the targets, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description="damaged files and their readers")
    parser.add_argument("--mutations", type=int, default=2000, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    names = [target.name for target in TARGETS]
    parser.add_argument("--targets", nargs="+", choices=names, default=names)
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    kinds = (SAME, REFUSED, ANOTHER, DEFECT)
    print(f"{'':12}" + "".join(f"{kind:>9}" for kind in kinds))
    defects = 0
    for target in TARGETS:
        if target.name in given.targets:
            counts, said = fuzz(target, given.mutations, given.seed)
            print(f"{target.name:12}" + "".join(f"{counts[kind]:9}" for kind in kinds), flush=True)
            for line in said[:20]:
                print(line, file=sys.stderr)
            defects += counts[DEFECT]
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
