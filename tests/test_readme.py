"""The README's commands: every one is run, in order, in one directory."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
MAKEFILE = (ROOT / "Makefile").read_text()


def commands() -> list[list[str]]:
    """Return the README's shell commands and Python programs as argument lists."""
    found = []
    for language, text in BLOCKS:
        if language == "python":
            found.append([sys.executable, "-c", text])
        else:
            found.extend(shlex.split(line, comments=True) for line in text.splitlines())
    return found


def runnable(command: list[str]) -> list[str]:
    """Return a command line whose program is the module of this checkout."""
    if command[0] == sys.executable:
        return command
    code = f"import sys, {command[0]}.cli as cli; sys.exit(cli.main(sys.argv[1:]))"
    return [sys.executable, "-c", code, *command[1:]]


def test_the_readme_shows_programs_and_make() -> None:
    shown = {Path(command[0]).stem for command in commands()}
    assert shown >= {"make", "kinetic", "closures"}


@pytest.mark.parametrize("command", [c for c in commands() if c[0] == "make"], ids="-".join)
def test_the_targets_of_make_exist(command: list[str]) -> None:
    for target in command[1:]:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_the_commands_run(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for command in commands():
        if command[0] == "make":
            continue
        ended = subprocess.run(
            runnable(command), cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stderr}"


def test_the_files_and_folders_it_names_exist() -> None:
    layout = README.partition("## Layout")[2]
    for folder in re.findall(r"^    (\w+)/", layout, re.MULTILINE):
        assert (ROOT / folder).is_dir()
