"""Work for executors, in a module that processes import quickly."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from kinetic.errors import NonPhysicalState


def square(number: int) -> int:
    return number * number


def square_if_physical(number: int) -> int:
    if number == 3:
        raise NonPhysicalState(0.5, 7, {"T": -1.0}, "cold")
    return number * number


def work(folder: Path, deaths: int, seconds: float, item: int) -> int:
    """Leave a trace, take some time, and on item 5 die as often as asked; return the process."""
    with (folder / f"{item}").open("a") as trace:
        trace.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    if item == 5 and len((folder / "5").read_text().split()) <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()
