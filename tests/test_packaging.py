"""The built wheel, installed into an empty environment outside the checkout, is used."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import xarray as xr

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["cells=8", "time.end=0.01", "time.snapshots=2", "hydra.run.dir=out"]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the checkout and return what it prints."""
    unset = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it into a new environment, and return that environment's bin.

    The dependencies are those of the running environment, seen through a path file; path files
    there are not read, so a checkout installed there for development is out of sight.
    """
    folder = tmp_path_factory.mktemp("packaging")
    python: list[str | Path] = [sys.executable, "-m"]
    run(*python, "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    run(*python, "venv", "--without-pip", folder / "venv", cwd=folder)
    scheme = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    scripts = Path(sysconfig.get_path("scripts", vars=scheme))
    wheel = next(folder.glob("*.whl"))
    pip = [*python, "pip", "--python", scripts / "python", "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", wheel, cwd=folder)
    return scripts


@pytest.mark.parametrize("program", ["kinetic", "closures"])
def test_an_installed_program_solves(program: str, installed: Path, tmp_path: Path) -> None:
    listing = run(installed / program, cwd=tmp_path)
    assert "solve" in listing
    run(installed / program, "solve", *SMALL, cwd=tmp_path)
    assert xr.open_zarr(tmp_path / "out" / "solution.zarr").sizes["x"] == 8


def test_an_installed_program_reports(installed: Path, tmp_path: Path) -> None:
    run(installed / "closures", "solve", *SMALL, cwd=tmp_path)
    run(installed / "closures", "report", "out", "hydra.run.dir=report", cwd=tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<style>" in page
    assert '"use strict"' in page


def test_the_installed_packages_are_not_those_of_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    code = "import kinetic, kinetic.resources as r; print(kinetic.__file__, r.config_dir())"
    used = run(installed / "python", "-c", code, cwd=tmp_path)
    assert str(ROOT) not in used
    assert used.count("site-packages") == 2
