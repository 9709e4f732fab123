"""Runs of the suite that were kept: one JSON object a line, ratios and what they were made of."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import Grown, Result

ROOT = Path(__file__).resolve().parent.parent
HISTORY = ROOT / "benchmarks" / "history.jsonl"
#: How many earlier runs on such a machine a run is compared with.
EARLIER = 5
Record = dict[str, Any]


def record_of(results: Sequence[Result], growths: Sequence[Grown]) -> Record:
    """Return what is kept of a run: when, of which commit, on what, and the times of all sides."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "versions": {name: version(name) for name in ("numpy", "numba", "scipy", "torch")},
        "benchmarks": [asdict(result) for result in results],
        "growth": [asdict(grown) for grown in growths],
    }


def machine() -> Record:
    """Return what a machine is, not which: processor, cores and operating system."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str | None:
    """Return the commit that is checked out, "+" after it if code was changed; None if unknown."""
    head = _git("rev-parse", "--short=10", "HEAD")
    packages = ("kinetic", "closures", "benchmarks/*.py")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *packages)
    return head and head + ("+" if changed else "")


def _git(*arguments: str) -> str | None:
    """Return what git prints, None outside a checkout."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return ended.stdout.strip() or None


def append(record: Record, path: Path) -> None:
    """Add a record to a history."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read(path: Path) -> list[Record]:
    """Return the records of a history, the oldest first."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def results_of(record: Record) -> list[Result]:
    """Return the results of a record."""
    return [Result(**fields) for fields in record["benchmarks"]]


def growths_of(record: Record) -> list[Grown]:
    """Return the growths of a record."""
    return [Grown(**fields) for fields in record["growth"]]


def before(result: Result, earlier: Sequence[Record], machine: Record) -> float | None:
    """Return the median speed-up of the last runs of a benchmark on such a machine, if any.

    Speed-ups are compared, not times: what else a machine does slows both sides alike.
    """
    found = [
        old.faster
        for record in earlier
        if record["machine"] == machine
        for old in results_of(record)
        if (old.name, old.instead) == (result.name, result.instead)
    ]
    return median(found[-EARLIER:]) if found else None
