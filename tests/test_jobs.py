"""One run of a command: exit status, message and record for every way it can end."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from closures.cli import CLOSURES
from kinetic.cli import KINETIC
from kinetic.commandline import DONE, FAILED, INVALID, NON_PHYSICAL, Command, Program, leaves
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.jobs import RECORD, IncompleteError, Job, fingerprint
from kinetic.progress import ProgressBar

Capture = pytest.CaptureFixture[str]
ENDINGS = [
    (InvalidInput("cells", 0, "must be positive"), INVALID, "cells=0: must be positive"),
    (NonPhysicalState(0.1, 2, {"T": -1.0}, "T < 0"), NON_PHYSICAL, "t=0.1, cell 2: T=-1: T < 0"),
    (IncompleteError("1 of 2 failed"), NON_PHYSICAL, "1 of 2 failed"),
    (ZeroDivisionError("oops"), FAILED, "ZeroDivisionError: oops"),
]


def job(folder: Path, ending: Exception | None = None, **changes: bool) -> Job:
    """Return a job that ends with an exception, or does nothing much."""

    def work(config: dict[str, Any], folder: Path) -> str:
        if ending is not None:
            raise ending
        return f"cells {config['cells']}"

    options = {"resume": False, "tracebacks": False} | changes
    return Job("test", Command("work", "", "none", work), folder, **options)


def test_a_job_that_is_done_prints_and_records_it(tmp_path: Path, capsys: Capture) -> None:
    assert job(tmp_path).run(lambda: {"cells": 3}) == DONE
    assert capsys.readouterr().out.startswith("test: cells 3 [")
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["fingerprint"] == fingerprint({"cells": 3}) != fingerprint({"cells": 4})
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]


@pytest.mark.parametrize(("ending", "status", "message"), ENDINGS)
def test_a_job_that_fails_prints_and_records_it(
    ending: Exception, status: int, message: str, tmp_path: Path, capsys: Capture
) -> None:
    assert job(tmp_path, ending).run(dict) == status
    *before, line = capsys.readouterr().err.splitlines()
    assert line.startswith("test: error: ")
    assert line.endswith(message)
    assert bool(before) == (status == FAILED)
    assert json.loads((tmp_path / RECORD).read_text())["status"] == status


@pytest.mark.parametrize("ending", [ending for ending, *_ in ENDINGS])
def test_tracebacks_are_shown_on_request(
    ending: Exception, tmp_path: Path, capsys: Capture
) -> None:
    job(tmp_path, ending, tracebacks=True).run(dict)
    assert capsys.readouterr().err.startswith("Traceback")


def test_what_is_done_is_not_repeated(tmp_path: Path, capsys: Capture) -> None:
    def repeat(config: dict[str, Any]) -> bool:
        job(tmp_path, resume=True).run(lambda: config)
        return "done before" not in capsys.readouterr().out

    assert repeat({"cells": 3})
    assert not repeat({"cells": 3})
    assert repeat({"cells": 4})
    assert repeat({"cells": 3})


def test_what_has_left_no_result_is_repeated(tmp_path: Path, capsys: Capture) -> None:
    def work(config: dict[str, Any], folder: Path) -> str:
        (folder / "result").touch()
        return "done"

    command = Command("work", "", "none", work, leaves("result"))
    for expected in ("test: done [", "test: done before: done"):
        assert Job("test", command, tmp_path, resume=True, tracebacks=False).run(dict) == DONE
        assert capsys.readouterr().out.startswith(expected)
    (tmp_path / "result").unlink()
    assert Job("test", command, tmp_path, resume=True, tracebacks=False).run(dict) == DONE
    assert capsys.readouterr().out.startswith("test: done [")
    assert (tmp_path / "result").exists()


@pytest.mark.parametrize("program", [KINETIC, CLOSURES])
def test_no_command_has_left_its_result_in_an_empty_directory(
    program: Program, tmp_path: Path
) -> None:
    assert not any(command.has_left({}, tmp_path) for command in program.commands)


def test_a_data_set_is_looked_for_where_it_was_written(tmp_path: Path) -> None:
    def has_left(path: str | None) -> bool:
        return KINETIC.command("dataset").has_left({"dataset": {"path": path}}, tmp_path)

    assert not has_left(None)
    assert not has_left(f"{tmp_path}/elsewhere")
    assert has_left("s3://bucket/dataset.zarr")
    for name in ("dataset.zarr", "elsewhere"):
        (tmp_path / name).mkdir()
    assert has_left(None)
    assert has_left(f"{tmp_path}/elsewhere")
    assert has_left(f"file://{tmp_path}/elsewhere")


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"status": 0'])
def test_a_damaged_record_is_not_taken_for_done(
    damage: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / RECORD).write_text(damage)
    assert job(tmp_path, resume=True).run(lambda: {"cells": 3}) == DONE
    assert "done before" not in capsys.readouterr().out


def test_a_run_that_reads_a_file_is_repeated(tmp_path: Path, capsys: Capture) -> None:
    data = tmp_path / "data.csv"
    data.touch()
    for _ in range(2):
        job(tmp_path, resume=True).run(lambda: {"cells": 3, "problem": {"path": str(data)}})
        assert "done before" not in capsys.readouterr().out


@pytest.mark.parametrize("fate", ["swallowed", "swallowed in long work", "made another"])
def test_an_interruption_is_noticed_whatever_a_library_makes_of_it(
    fate: str, tmp_path: Path
) -> None:
    def work(config: dict[str, Any], folder: Path) -> str:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if fate == "made another":
                raise RuntimeError("no compiled object yet") from None
        if fate == "swallowed in long work":
            with ProgressBar(enabled=False) as bar:
                bar.update(1, 10**9)
            (folder / "went on").touch()
        return "done"

    interrupted = Job("test", Command("work", "", "none", work), tmp_path, False, False)
    # A shell lets what it starts in the background ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted.run(dict)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert not {RECORD, "went on"} & {path.name for path in tmp_path.iterdir()}
