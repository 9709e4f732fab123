"""`closures report DIR...`: several runs joined in one page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, browser, find
from PIL import Image

from closures.cli import main as closures_main
from closures.joined import Run, closure_of, groups, profiles, read_runs
from closures.metrics import errors, mean_error
from closures.outcomes import REFERENCE, Comparison, overall
from closures.report import animation
from closures.report.page import labels_of
from closures.report.runs import axis_of, sweep_figure, table, varied_keys
from closures.report.style import looks
from closures.snapshots import FILE, read_profiles
from kinetic.cli import main as kinetic_main
from kinetic.errors import InvalidInput
from kinetic.files import MOST_JSON
from kinetic.output import read_solution

SMALL = ["cells=8", "time.end=0.02", "time.snapshots=3"]
KNUDSEN = "knudsen=0.01,1"


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sweeps over Knudsen numbers by the reference and by two closures, and their report."""
    folder = tmp_path_factory.mktemp("sweeps")
    common = ["problem=wave", KNUDSEN, *SMALL, "--multirun"]
    assert kinetic_main(["solve", *common, f"hydra.sweep.dir={folder}/kinetic"]) == 0
    chosen = ["closure=euler,entropy", f"hydra.sweep.dir={folder}/closures"]
    assert closures_main(["solve", *common, *chosen]) == 0
    out = [f"hydra.run.dir={folder}/report", "report.animation=gif"]
    runs = [str(folder / "kinetic"), str(folder / "closures")]
    assert closures_main(["report", *runs, *out]) == 0
    return folder


def test_solutions_of_a_problem_are_judged_by_the_kinetic_one(sweeps: Path) -> None:
    runs = {run.name: run for run in read_runs([sweeps / "kinetic", sweeps / "closures"])}
    assert list(runs) == ["kinetic/0", "kinetic/1", *(f"closures/{i}" for i in range(4))]
    for i, reference in ((0, 0), (1, 0), (2, 1), (3, 1)):
        (result,) = runs[f"closures/{i}"].results
        own, base = (
            read_solution(sweeps / kind / str(n) / "solution.zarr")
            for kind, n in (("closures", i), ("kinetic", reference))
        )
        assert result.closure == ("euler", "entropy-6")[i % 2]
        assert result.error == pytest.approx(mean_error(errors(own, base)), rel=1e-12)
        assert result.seconds == own.attrs["solver_seconds"]
    assert runs["kinetic/0"].results[0].error == 0.0


def test_solutions_without_a_reference_have_no_error(sweeps: Path) -> None:
    runs = read_runs([sweeps / "closures"])
    assert [run.results[0].error for run in runs] == [None] * 4
    assert all(row.mean == "–" for row in table(runs))
    assert [list(one.solutions) for one in profiles(runs)] == [["euler", "entropy-6"]] * 2


@pytest.mark.parametrize(
    ("folders", "panels", "curves"),
    [
        (("kinetic", "closures"), 2, {"kinetic reference", "Euler", "entropy, K = 6"}),
        (("closures",), 1, {"Euler", "entropy, K = 6"}),
        (("kinetic",), 1, {"kinetic reference"}),
    ],
)
def test_only_what_is_known_is_shown(
    sweeps: Path, tmp_path: Path, folders: tuple[str, ...], panels: int, curves: set[str]
) -> None:
    places = [str(sweeps / name) for name in folders]
    runs = read_runs(places)
    drawing = sweep_figure(runs, looks(labels_of({"euler": 0, "entropy-6": 6})))
    (legend,) = drawing.figure.legends
    assert {text.get_text() for text in legend.get_texts()} == curves
    assert all(axis.lines for axis in drawing.figure.axes)
    assert len(drawing.figure.axes) == panels
    assert closures_main(["report", *places, f"hydra.run.dir={tmp_path}"]) == 0
    page = (tmp_path / "report.html").read_text()
    words = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL).lower()
    assert ("error" in words) == (panels == 2)
    assert ("kinetic reference" in words) == ("kinetic" in folders)
    assert ("minus reference" in words) == (panels == 2)


@pytest.mark.skipif(find() is None, reason="needs Chromium or Chrome on the PATH")
def test_the_page_opens_without_a_reference(sweeps: Path, tab: Browser, tmp_path: Path) -> None:
    out = f"hydra.run.dir={tmp_path}"
    assert closures_main(["report", str(sweeps / "closures"), out]) == 0
    tab.open(tmp_path / "report.html", width=1200)
    assert tab.complaints == []
    assert tab.evaluate("document.querySelectorAll('.panel .curve').length") == 5 * 2


def test_what_a_sweep_varies_is_the_axis(sweeps: Path) -> None:
    runs = read_runs([sweeps / "closures"])
    varied = varied_keys(runs)
    assert varied["knudsen"] == ["0.01", "0.01", "1.0", "1.0"]
    assert set(varied) == {"knudsen", "closure.name", "closure.moments"}
    assert axis_of(runs) == ("knudsen", [0.01, 0.01, 1.0, 1.0])
    assert axis_of(runs[:1]) == ("run", None)


def test_the_profiles_are_those_of_the_files(sweeps: Path) -> None:
    shown = profiles(read_runs([sweeps]))
    assert [one.title for one in shown] == ["wave, ε = 0.01", "wave, ε = 1"]
    for i, one in enumerate(shown):
        assert list(one.solutions) == [REFERENCE, "euler", "entropy-6"]
        stored = read_solution(sweeps / "kinetic" / str(i) / "solution.zarr")
        np.testing.assert_array_equal(
            one.solutions[REFERENCE]["density"], stored.density.values.astype("f4")
        )


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.mark.skipif(find() is None, reason="needs Chromium or Chrome on the PATH")
@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_opens_without_a_complaint(sweeps: Path, tab: Browser, width: int) -> None:
    tab.open(sweeps / "report" / "report.html", width=width)
    assert tab.complaints == []
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate("document.querySelectorAll('.panel .curve').length") == 5 * 3
    assert tab.evaluate("document.querySelectorAll('figure svg').length") == 1
    assert tab.evaluate("document.querySelectorAll('#rows tbody tr').length") == 6


def test_films_have_a_frame_for_each_time(sweeps: Path) -> None:
    folder = sweeps / "report" / "figures"
    assert {path.name for path in folder.iterdir()} == {
        "sweep.png",
        "sweep.pdf",
        "animation-problem-0.gif",
        "animation-problem-1.gif",
    }
    with Image.open(folder / "animation-problem-0.gif") as film:
        assert film.n_frames == 3
        frames = []
        for i in range(film.n_frames):
            film.seek(i)
            frames.append(np.asarray(film.convert("L"), float))
    assert all(np.abs(one - other).max() > 50 for one, other in pairwise(frames))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg on the PATH")
def test_films_are_videos_too(sweeps: Path, tmp_path: Path) -> None:
    out = ["report.animation=mp4", f"hydra.run.dir={tmp_path}"]
    assert closures_main(["report", str(sweeps / "kinetic"), *out]) == 0
    for path in (tmp_path / "figures").glob("*.mp4"):
        assert b"ftyp" in path.read_bytes()[:12]
    assert len(list((tmp_path / "figures").glob("animation-*.mp4"))) == 2


def test_a_film_without_its_program_is_refused(
    sweeps: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(animation.shutil, "which", lambda _: None)
    out = ["report.animation=mp4", f"hydra.run.dir={tmp_path}"]
    assert closures_main(["report", str(sweeps), *out]) == 2
    assert "report.animation=mp4: needs the program ffmpeg" in capsys.readouterr().err


def test_comparisons_are_joined(compared: Comparison, tmp_path: Path) -> None:
    for name in ("0", "10", "2"):
        (tmp_path / name).mkdir()
        for file in ("metrics.json", FILE, "report.html"):
            shutil.copy(compared.folder / file, tmp_path / name)
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        metrics["configuration"]["cells"] = 4 * (int(name) + 1)
        (tmp_path / name / "metrics.json").write_text(json.dumps(metrics))
    runs = read_runs([tmp_path])
    assert [run.name for run in runs] == ["0", "2", "10"]
    assert axis_of(runs) == ("cells", [4.0, 12.0, 44.0])
    rows = list(table(runs))
    assert len(rows) == 3 * 2 * 4
    summary = compared.summary()
    for row in rows:
        own = summary[row.closure][row.family]
        mean = overall(own)
        assert row.failed == own["failed"]
        assert mean is not None
        assert float(row.mean) == pytest.approx(100 * mean, rel=0.06)  # two digits
    shown = profiles(runs)
    assert len(shown) == 3 * len(read_profiles(compared.folder / FILE))
    assert shown[0].title.startswith("0: ")
    assert len({one.name for one in shown}) == len(shown)  # films do not overwrite each other
    assert closures_main(["report", str(tmp_path), f"hydra.run.dir={tmp_path}/all"]) == 0
    page = (tmp_path / "all" / "report.html").read_text()
    assert all(f'href="../{name}/report.html"' in page for name in ("0", "10", "2"))


def test_a_run_that_failed_is_listed_with_its_reason(sweeps: Path, tmp_path: Path) -> None:
    shutil.copytree(sweeps / "kinetic", tmp_path / "kinetic")
    lost = tmp_path / "kinetic" / "2"
    lost.mkdir()
    record = {"status": 3, "message": "non-physical state", "seconds": 1.0, "fingerprint": ""}
    (lost / "status.json").write_text(json.dumps(record))
    runs = read_runs([tmp_path])
    assert [run.reason for run in runs] == [None, None, "non-physical state"]
    assert closures_main(["report", str(tmp_path), f"hydra.run.dir={tmp_path}/all"]) == 0
    assert "non-physical state" in (tmp_path / "all" / "report.html").read_text()


def test_one_problem_solved_twice_by_a_closure_is_shown_twice(sweeps: Path) -> None:
    copy = sweeps.with_name("again")
    shutil.copytree(sweeps / "closures" / "0", copy)
    (members,) = groups(read_runs([sweeps / "closures" / "0", copy]))
    assert list(members) == ["euler", "euler #2"]


@pytest.mark.parametrize(
    ("configuration", "name"),
    [
        ({}, REFERENCE),
        ({"closure": {"name": "euler", "moments": None}}, "euler"),
        ({"closure": {"name": "entropy", "moments": 9, "fast": True}}, "entropy-9-fast"),
        ({"closure": {"name": "model", "moments": None, "path": "a/model"}}, "a/model"),
        (
            {"closure": {"name": "entropy", "moments": 6}, "hybrid": {"threshold": 0.1}},
            "entropy-6-hybrid",
        ),
    ],
)
def test_solutions_are_named_as_closures_are_in_a_comparison(
    configuration: dict[str, Any], name: str
) -> None:
    assert closure_of(Run("a", Path("a"), configuration)) == name


def test_directories_with_an_equals_sign_are_directories(
    compared: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(compared.folder, tmp_path / "knudsen=0.1, a")
    assert closures_main(["report", "knudsen=0.1, a", "hydra.run.dir=out"]) == 0
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "name directories of runs or sweeps"),
        (["nowhere"], "report.runs=nowhere: is no directory"),
        (["."], "holds no run"),
    ],
)
def test_what_has_no_runs_is_refused(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert closures_main(["report", *arguments, "hydra.run.dir=out"]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"schema_version": "9"}', "[" * 100_000, '{"schema_version": "1.0"}']
)
def test_a_damaged_metrics_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"is no metrics.json"):
        read_runs([tmp_path])


def test_a_metrics_file_is_not_read_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "metrics.json").open("wb") as file:
        file.truncate(MOST_JSON + 1)
    with pytest.raises(InvalidInput, match="larger than"):
        read_runs([tmp_path])


def test_names_in_files_cannot_become_part_of_the_page(
    compared: Comparison, tmp_path: Path
) -> None:
    attack = "</script><script>document.title = 'taken'</script> $x^{$"
    run = tmp_path / "run"
    run.mkdir()
    for file in ("metrics.json", FILE):
        text = (compared.folder / file).read_text()
        plain = json.loads(text.replace('"euler"', json.dumps(attack)))
        for case in plain["cases"]:
            case |= {"family": attack, "title": attack, "reason": attack}
        (run / file).write_text(json.dumps(plain))
    out = [f"hydra.run.dir={tmp_path}/all", "report.animation=gif"]
    assert closures_main(["report", str(run), *out]) == 0
    page = (tmp_path / "all" / "report.html").read_text()
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "&lt;/script&gt;" in page
