"""How Sphinx builds these pages: MyST Markdown, the theme Furo, equations as MathML.

Nothing is fetched from elsewhere, by the build or by the pages: they can be read offline.
"""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

project = "Kinetic closures"
author = "The authors of kinetic-closures"
copyright = author  # noqa: A001 - Sphinx's name
release = version_of("kinetic-closures")

extensions = ["myst_parser", "sphinx_copybutton"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_title = "Kinetic closures"
html_theme = "furo"
html_math_renderer = "mathml"
html_show_sourcelink = False
html_show_sphinx = False
html_css_files = ["style.css"]
html_static_path = ["_static"]
copybutton_prompt_text = "$ "


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _display(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="equation">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Write equations as MathML, which browsers show without any script."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
