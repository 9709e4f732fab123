"""Write the reference of every configuration key from the comments of the configuration files.

python docs/reference.py > docs/configuration.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"
KEY = re.compile(r"^(?P<indent> *)(?P<key>\w+):\s*(?P<value>[^#]*?)\s*(?:#\s*(?P<meaning>.*))?$")
TAKEN = re.compile(r"^  - (?:override )?/?(?P<group>[a-z]\w*)(?:: (?P<option>\w+))?$")
OTHERS = "hydra."
"""Begins the names of Hydra's own settings: only those with a comment are the user's."""
OPENING = """\
# Configuration

Every key that the commands take, written by `python docs/reference.py` from the comments in
`conf/`. All quantities are dimensionless. `group=option` chooses a file, `group.key=value` sets a
key of it; `COMMAND --cfg job` shows what results.
"""


def description(lines: list[str]) -> str:
    """Return the comment that a file opens with, as it is written."""
    opening = [line[2:] for line in lines if line.startswith("# ")]
    return "\n".join(opening)


def keys(lines: list[str], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and comment of each key of a file that a user may want to set."""
    above: list[str] = []
    for match in filter(None, map(KEY.match, lines)):
        depth = len(match["indent"]) // 2
        above[depth:] = [match["key"]]
        name = prefix + ".".join(above)
        if match["value"] and (match["meaning"] or not name.startswith(OTHERS)):
            yield name, match["value"], match["meaning"] or ""


def table(lines: list[str], prefix: str) -> Iterator[str]:
    """Yield a row for each key of a file, Hydra's own settings left out."""
    yield from ("| key | default | meaning |", "|---|---|---|")
    for name, value, meaning in keys(lines, prefix):
        meaning = (meaning or "which file it is").replace("|", "or")
        yield f"| `{name}` | `{value}` | {meaning} |"


def taken(lines: list[str]) -> str:
    """Return which groups a command takes, and the options it begins with."""
    found = [match for match in map(TAKEN.match, lines) if match]
    named = [
        f"`{one['group']}={one['option']}`" if one["option"] else f"those of `{one['group']}.yaml`"
        for one in found
    ]
    return f"Takes {', '.join(named)}." if named else ""


def section(path: Path) -> str:
    """Return the section on one configuration file."""
    lines = path.read_text().splitlines()
    if path.parent.name == "experiment":
        opening = description([line for line in lines if "@package" not in line])
        return f"## `+experiment={path.stem}`\n\n{opening}\n"
    grouped = path.parent != CONF
    title = f"`{path.parent.name}={path.stem}`" if grouped else f"`{path.name}`"
    rows = list(table(lines, f"{path.parent.name}." if grouped else ""))
    groups = "" if grouped else taken(lines)
    parts = [f"## {title}", description(lines), groups, "\n".join(rows) if len(rows) > 2 else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def reference() -> str:
    """Return the whole reference as Markdown: the commands first, then the groups."""
    commands = sorted(CONF.glob("*.yaml"))
    groups = sorted(path for path in CONF.rglob("*.yaml") if path not in commands)
    return "\n".join([OPENING, *map(section, commands + groups)])


if __name__ == "__main__":
    print(reference(), end="")
