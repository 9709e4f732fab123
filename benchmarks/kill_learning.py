"""Kill concurrent learning again and again: its model must be that of an undisturbed run.

    python benchmarks/kill_learning.py FOLDER [--kills 10] [--seed 0] [--haste 1] [key=value ...]

One run is left alone. Another, of the same configuration, is killed (SIGKILL) in the exploration,
the labelling and the training of round 1, then of round 2 and so on, each time after a random
delay, and started again by the same command; at last it is let finish. The files of both models
are compared byte by byte.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np

from closures.learn.status import read_status

PHASES = {"exploration": 1.0, "labelling": 0.05, "training": 3.0}
"""What is interrupted, and the longest delay after its beginning, in seconds."""

PROGRAM = "from closures.cli import main; raise SystemExit(main())"


def start(folder: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    """Start the command that learns, or goes on."""
    command = [sys.executable, "-c", PROGRAM, "learn", *overrides, f"hydra.run.dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def wait_for(folder: Path, number: int, phase: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a run is in a phase of a round; false if it has ended or is beyond it."""
    order = list(PHASES)
    while process.poll() is None:
        place = read_status(folder).progress if (folder / "lock").exists() else {}
        if place.get("round") == number and place.get("phase") == phase:
            return True
        here = place.get("round", -1), order.index(place["phase"]) if place else -1
        if place.get("finished") or here > (number, order.index(phase)):
            return False
        time.sleep(0.002)
    return False


def targets(kills: int) -> Iterator[tuple[int, str]]:
    """Round and phase of each kill."""
    phases = cycle(PHASES)
    return ((1 + kill // len(PHASES), next(phases)) for kill in range(kills))


def kill_often(
    folder: Path, kills: int, seed: int, overrides: list[str], haste: float = 1.0
) -> list[str]:
    """Kill a run `kills` times, let it finish, and say where it was.

    `haste` divides the delays, for runs whose phases are shorter than `PHASES`.
    """
    rng, said = np.random.default_rng(seed), []
    for number, phase in targets(kills):
        process = start(folder, overrides)
        if wait_for(folder, number, phase, process):
            delay = rng.uniform(0.0, PHASES[phase] / haste)
            time.sleep(delay)
            process.kill()
            said.append(f"round {number}, {phase}, {delay:.3f} s after its beginning")
        else:
            process.kill()
            said.append(f"round {number}, {phase}: missed")
        process.wait()
        print(said[-1], flush=True)
    if start(folder, overrides).wait() != 0:
        raise SystemExit("the run that was killed did not finish")
    return said


def model_files(folder: Path) -> dict[str, bytes]:
    """The files of the model by name."""
    return {path.name: path.read_bytes() for path in sorted((folder / "model").iterdir())}


def main(arguments: list[str]) -> None:
    """Make both runs and compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--haste", type=float, default=1.0, help="divides the delays")
    parser.add_argument("overrides", nargs="*", help="key=value of `closures learn`")
    given = parser.parse_intermixed_args(arguments)
    rounds = [f"learn.rounds={-(-given.kills // len(PHASES))}"]
    overrides = rounds + given.overrides
    straight, killed = given.folder / "straight", given.folder / "killed"
    if start(straight, overrides).wait() != 0:
        raise SystemExit("the straight run did not finish")
    said = kill_often(killed, given.kills, given.seed, overrides, given.haste)
    missed = sum("missed" in one for one in said)
    same = model_files(straight) == model_files(killed)
    print(f"{given.kills - missed} kills; the models are {'the same' if same else 'DIFFERENT'}")
    raise SystemExit(0 if same and not missed else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
