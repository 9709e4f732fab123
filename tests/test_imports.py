"""Import direction: what each package may import, read from the source and checked at run time."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HYDRA = {"hydra", "omegaconf"}
FORBIDDEN = {
    "kinetic": {"closures", "torch", "matplotlib", *HYDRA},
    "closures": {"numba", "matplotlib", *HYDRA},
}
#: Modules that may import a library inside functions that their package may not import.
LAZILY = {"kinetic/cli.py": HYDRA}
#: How the names of the modules of closures with compiled kernels end.
RUNTIME = "runtime.py"
REPORT = "closures/report"
MODULES = sorted(
    str(path.relative_to(ROOT)) for name in FORBIDDEN for path in (ROOT / name).rglob("*.py")
)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level name of every absolute import beneath a node of the syntax tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def imported_at_once(tree: ast.Module) -> set[str]:
    """Return what is imported when the module is: the imports outside functions."""
    outside = (node for node in tree.body if not isinstance(node, ast.FunctionDef))
    return {name for node in outside for name in imported(node)}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_package_may(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text())
    forbidden = set(FORBIDDEN[module.partition("/")[0]])
    if module.startswith(REPORT):
        forbidden.discard("matplotlib")
    if module.startswith("closures") and module.endswith(RUNTIME):
        forbidden.discard("numba")
    assert not forbidden & imported_at_once(tree)
    assert not (forbidden - LAZILY.get(module, set())) & set(imported(tree))


def required(requirements: list[str]) -> set[str]:
    """Return the names of distributions, as packages of them are listed by."""
    return {re.split(r"[<>=!\[ ]", one)[0].lower() for one in requirements}


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    at_once = required(project["dependencies"])
    # Of each other: distributed needs dask, Hydra omegaconf.
    lazily = at_once | required(extras["sweep"] + extras["dask"]) | {"dask", "omegaconf"}
    distributions = packages_distributions()
    for module in MODULES:
        tree = ast.parse((ROOT / module).read_text())
        for names, declared in ((imported_at_once(tree), at_once), (imported(tree), lazily)):
            for name in set(names) - sys.stdlib_module_names - {"kinetic", "closures"}:
                assert {one.lower() for one in distributions[name]} & declared, (module, name)


def loaded(code: str) -> set[str]:
    """Run `code` in a fresh interpreter; return the top-level names of the modules it loads."""
    listing = "import sys; print('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"{code}\n{listing}"]
    ended = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return set(ended.stdout.splitlines()[-1].removeprefix("loaded: ").split())


def test_starting_a_command_line_loads_no_numerical_library() -> None:
    found = loaded(
        "import kinetic.cli, closures.cli; kinetic.cli.main([]); closures.cli.main(['--help'])"
    )
    assert {"kinetic", "closures"} <= found
    assert not found & {"torch", "numba", "numpy", "scipy", "xarray", "zarr", "hydra", "matplotlib"}


def test_the_reference_solver_runs_without_torch_hydra_and_matplotlib() -> None:
    found = loaded("import kinetic; kinetic.solve(cells=4, time={'end': 1e-3, 'snapshots': 2})")
    assert {"kinetic", "numba", "xarray"} <= found
    assert not found & {"torch", "hydra", "omegaconf", "matplotlib", "closures"}


@pytest.mark.parametrize("name", ["hydra", "closures", "numba"])
def test_what_is_loaded_is_seen(name: str) -> None:
    assert name in loaded(f"import {name}")
