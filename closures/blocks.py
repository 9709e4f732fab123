"""Finished parts of a comparison, kept in its folder so that a killed one goes on where it was.

A block holds the outcomes of one closure in one family. It is a directory below
``unfinished/KEY/``, where KEY stands for everything that the outcomes depend on, and appears there
only when it is complete:

    outcomes.json    [{case, errors, seconds, reason, failed_at, solution}], in the order of cases;
                     solution tells whether there is one
    CASE.zarr        the solution kept of a case, Zarr v3

The directory ``unfinished`` is removed when the comparison is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import xarray as xr

from closures import plugins
from closures.outcomes import Case, Outcome, versions
from closures.resources import closures_dir
from kinetic.claims import check_store
from kinetic.files import read_json, replacing, write_json
from kinetic.jobs import fingerprint
from kinetic.output import write_solution

UNFINISHED = "unfinished"
RECORD = "outcomes.json"
FIELDS = ("errors", "seconds", "reason", "failed_at")


def identify(configuration: dict[str, Any], closures: Iterable[str]) -> str:
    """Return what identifies a comparison: its configuration, all versions, and its models."""
    shipped = [path for path in closures_dir().iterdir() if path.is_dir()]
    specs = list(closures)
    models = {str(path): _contents(path) for path in (*shipped, *map(Path, specs))}
    used = versions() | plugins.versions(specs)
    return fingerprint({"configuration": configuration, "versions": used, "models": models})


def _contents(folder: Path) -> str:
    """Return a digest of the files directly in a directory; that of nothing if it is none."""
    digest = sha256()
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + sha256(file.read_bytes()).digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class Blocks:
    """The blocks in the folder of a comparison.

    Attributes:
        folder: that folder; it need not exist.
        key: of this comparison, see `identify`; the blocks of others are ignored.
    """

    folder: Path
    key: str

    def load(self, closure: str, cases: Sequence[Case]) -> list[Outcome] | None:
        """Return the outcomes of a closure in the cases of a family; None if they must be found."""
        path = self._path(closure, cases[0].family)
        try:
            records = read_json(path / RECORD)
            if [record["case"] for record in records] != [case.name for case in cases]:
                return None
            return [
                Outcome(
                    case,
                    closure,
                    **{name: record[name] for name in FIELDS},
                    solution=_read(path, case) if record["solution"] else None,
                )
                for case, record in zip(cases, records, strict=True)
            ]
        except Exception:  # a damaged store makes its decoders raise nearly anything
            return None

    def save(self, outcomes: Sequence[Outcome]) -> None:
        """Write the outcomes of one closure in one family, complete or not at all."""
        path = self._path(outcomes[0].closure, outcomes[0].case.family)
        records = [
            {"case": one.case.name, "solution": one.solution is not None}
            | {name: getattr(one, name) for name in FIELDS}
            for one in outcomes
        ]
        with replacing(path) as partial:
            partial.mkdir(parents=True)
            for one in outcomes:
                if one.solution is not None:
                    write_solution(one.solution, partial / f"{one.case.name}.zarr")
            write_json(partial / RECORD, records)

    def remove(self) -> None:
        """Remove all blocks, those of other comparisons too."""
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)

    def _path(self, closure: str, family: str) -> Path:
        name = fingerprint({"closure": closure, "family": family})
        return self.folder / UNFINISHED / self.key / name


def _read(block: Path, case: Case) -> xr.Dataset:
    """Read a solution as it was: a closure's may hold what `read_solution` refuses."""
    path = block / f"{case.name}.zarr"
    check_store(path)
    with xr.open_zarr(path, zarr_format=3, consolidated=False) as stored:
        return stored.load()
