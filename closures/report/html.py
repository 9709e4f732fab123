"""Pages: one file with style, behaviour, tables, figures and data, that needs no other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from closures.outcomes import versions
from closures.report.style import Look
from closures.snapshots import Profile
from kinetic.files import write_file
from kinetic.output import package_version

HERE = Path(__file__).parent


def render(template: str, looks: Mapping[str, Look], **context: Any) -> str:
    """Return a page.

    Args:
        template: one that extends ``base.html.j2``, which lists what `context` must have.
        looks: of all closures of the page, by their names in the order of their toggles.
        context: what else the template asks for; ``viewer`` is None for a page without a slider.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        looks=looks,
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "report.js").read_text(encoding="utf-8")),
        versions={"kinetic-closures": package_version()} | versions(),
        **context,
    )


def write_page(path: Path, text: str) -> Path:
    """Write a page, complete or not at all."""
    return write_file(path, text)


def viewer(profiles: Sequence[Profile], looks: Mapping[str, Look]) -> Markup | None:
    """Return the data of the time slider as JSON that can stand in a page; None without cases."""
    if not profiles:
        return None
    data = {
        "cases": [one.record() for one in profiles],
        "looks": {
            spec: {"key": look.key, "label": look.label, "width": look.width}
            | {"color": look.color, "dash": look.dasharray}
            for spec, look in looks.items()
        },
    }
    # A page is read as HTML first: nothing in a script may look like a tag.
    return Markup(json.dumps(data, allow_nan=False).replace("<", "\\u003c"))
