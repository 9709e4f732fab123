"""Write the reference of every configuration key from the comments of the configuration files.

python docs/reference.py > docs/configuration.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"
KEY = re.compile(r"^(?P<key>\w+):\s*(?P<value>[^#]*?)\s*(?:#\s*(?P<meaning>.*))?$")
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


def table(lines: list[str], prefix: str) -> Iterator[str]:
    """Yield a row for each key at the top level of a file, Hydra's own settings left out."""
    yield from ("| key | default | meaning |", "|---|---|---|")
    for match in filter(None, map(KEY.match, lines)):
        if match["value"]:
            meaning = (match["meaning"] or "which file it is").replace("|", "or")
            yield f"| `{prefix}{match['key']}` | `{match['value']}` | {meaning} |"


def section(path: Path) -> str:
    """Return the section on one configuration file."""
    lines = path.read_text().splitlines()
    if path.parent.name == "experiment":
        opening = description([line for line in lines if "@package" not in line])
        return f"## `+experiment={path.stem}`\n\n{opening}\n"
    grouped = path.parent != CONF
    title = f"`{path.parent.name}={path.stem}`" if grouped else f"`{path.name}`"
    rows = list(table(lines, f"{path.parent.name}." if grouped else ""))
    parts = [f"## {title}", description(lines), "\n".join(rows) if len(rows) > 2 else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def reference() -> str:
    """Return the whole reference as Markdown: the commands first, then the groups."""
    commands = sorted(CONF.glob("*.yaml"))
    groups = sorted(path for path in CONF.rglob("*.yaml") if path not in commands)
    return "\n".join([OPENING, *map(section, commands + groups)])


if __name__ == "__main__":
    print(reference(), end="")
