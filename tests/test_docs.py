"""README and documentation: every block of code in them is run, and the pages are built.

The blocks of a page run in order in one directory: commands by the programs' own entry points, in
this process, and Python with the names of the page's earlier blocks. Blocks of other languages than
``sh`` and ``python`` are not meant to be run.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path
from types import ModuleType

import pytest

from closures.cli import main as closures_main
from kinetic.cli import main as kinetic_main

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = {"kinetic": kinetic_main, "closures": closures_main}
#: Where a page's blocks read what others have made.
MAKES = {
    ROOT / "docs/data-format.md": "kinetic dataset problem=mix dataset.trajectories=2 cells=8 "
    "time.end=0.01 time.snapshots=2 hydra.run.dir=."
}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and text of the blocks of a page that are run."""
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("sh", "python"):
            yield language, text


def run_line(line: str, scripts: Path) -> None:
    """Run one command of a page."""
    words = shlex.split(line, comments=True)
    if not words or words[0] == "make":  # its targets are tested below, and by what they call
        return
    if words[:2] == ["pip", "install"]:
        install(words[2:], scripts)
        return
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        status = PROGRAMS[words[0]](words[1:])
    assert status == 0, f"{line}\n{errors.getvalue()}"


def install(packages: list[str], scripts: Path) -> None:
    """Install packages of a page, for this page alone."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", scripts]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *packages], check=True)
    invalidate_caches()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    found = list(blocks(page))
    if not found:
        pytest.skip("a page without code")
    scripts = tmp_path / "site-packages"
    scripts.mkdir()
    monkeypatch.syspath_prepend(scripts)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    run_line(MAKES.get(page, ""), scripts)
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for language, text in found:
        if language == "python":
            exec(compile(text, page.name, "exec", dont_inherit=True), vars(module))
        else:
            for line in text.replace("\\\n", " ").splitlines():
                run_line(line, scripts)


def test_the_readme_shows_programs_make_and_python() -> None:
    languages = {language for language, _ in blocks(README)}
    shown = "".join(text for language, text in blocks(README) if language == "sh")
    assert languages == {"sh", "python"}
    assert {"make", "kinetic", "closures"} <= {
        line.partition(" ")[0] for line in shown.splitlines()
    }


def test_the_first_problem_takes_ten_lines() -> None:
    (text,) = [text for language, text in blocks(README) if language == "python"]
    assert len(text.splitlines()) <= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_targets_of_make_that_a_page_names_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_links_to_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http:", "https:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_files_and_folders_of_the_layout_exist() -> None:
    layout = README.read_text().partition("## Layout")[2]
    folders = re.findall(r"^    (\w+)/", layout, re.MULTILINE)
    assert folders
    for folder in folders:
        assert (ROOT / folder).is_dir()


def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="needs the extra docs")
    pytest.importorskip("furo", reason="needs the extra docs")
    command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", ROOT / "docs", tmp_path]
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    theory = (tmp_path / "theory.html").read_text()
    equations = re.findall(r"<math.*?</math>", theory, re.DOTALL)
    assert len(equations) > 20
    assert not [one for one in equations if "\\" in one]  # a command that was not understood
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        assert not re.search(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', text), page
