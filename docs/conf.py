"""Sphinx configuration of the documentation site; `scripts/docs` builds it into build/docs."""

from __future__ import annotations

import re
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING

import numpy.typing
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

DOCS = Path(__file__).resolve().parent
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)")
"""A Markdown link that leaves its folder: text, relative path, fragment."""
TABLE_ROW = re.compile(r"( *)\|(.+)\|\s*")
ROOT_PAGES = {"MODEL_CARD.md": "model-card.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages of the repository's root, and the page of the site that includes each."""


class NDArray:
    """A stand-in for `numpy.typing.NDArray`: signatures show this name and not the type that it expands to."""

    __module__ = "numpy.typing"
    __class_getitem__ = classmethod(GenericAlias)


class ArrayLike:
    """A stand-in for `numpy.typing.ArrayLike`, likewise."""

    __module__ = "numpy.typing"


numpy.typing.NDArray, numpy.typing.ArrayLike = NDArray, ArrayLike  # before any module of masklet is imported
import masklet  # noqa: E402

logger = logging.getLogger(__name__)

project = "masklet"
author = copyright = "the masklet authors"
version = release = masklet.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["attribution/*"]  # 400 kB of tables: links to them download the file

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]

default_role = "py:obj"  # `Masks` in a docstring links to masklet.Masks
add_module_names = False
python_maximum_signature_line_length = 88
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"light_css_variables": {"code-font-size": "75%"}}
html_title = f"masklet {version}"
html_copy_source = False
html_show_sphinx = False
pygments_style = "tango"
pygments_dark_style = "monokai"


def adapt_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """Point links that leave docs/ to what the site has: its own page, a copy of the file, or plain text.

    The pages are written for the repository, where such a link opens a file or a folder. A link to a folder becomes
    its text, because a site has no folders to show.
    """
    page = DOCS / docname

    def adapted(link: re.Match[str]) -> str:
        text, path, fragment = link[1], link[2], link[3] or ""
        target = (page.parent / path).resolve()
        if target.parent == DOCS.parent and target.name in ROOT_PAGES:
            up = "../" * docname.count("/")
            return f"[{text}]({up}{ROOT_PAGES[target.name]}{fragment})"
        return text if target.is_dir() else link[0]

    source[0] = LINK.sub(adapted, source[0])


def convert_tables(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Turn Markdown tables in docstrings, which read well in an editor, into `list-table` directives."""
    result: list[str] = []
    for line in lines:
        row = TABLE_ROW.fullmatch(line)
        if row is None:
            result.append(line)
        elif set(row[2]) <= set("|-: "):
            continue
        else:
            if not result or not result[-1].startswith(row[1] + "   "):
                result += ["", f"{row[1]}.. list-table::", f"{row[1]}   :header-rows: 1", ""]
            cells = [cell.strip() for cell in row[2].split("|")]
            result += [f"{row[1]}   {'  -' if at else '* -'} {cell}" for at, cell in enumerate(cells)]
    lines[:] = result


def read_properties_as_methods(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Parse the docstring of a property like that of a method.

    Napoleon takes the words before a colon in the first line for a type and ignores sections. It leaves a docstring
    alone that begins with an empty comment.
    """
    if what == "property":
        lines[:] = ["..", "", *GoogleDocstring(list(lines), app.config, app, "method", name, value).lines()]


def check_reference(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn about public names without an entry in the API reference; `scripts/docs` makes warnings errors."""
    described = env.domaindata["py"]["objects"]
    for name in masklet.__all__:
        if f"masklet.{name}" not in described:
            logger.warning("masklet.%s is public and has no entry in docs/api", name, type="masklet", subtype="api")


def setup(app: Sphinx) -> None:
    """Connect the functions above to the build."""
    app.connect("source-read", adapt_links)
    app.connect("autodoc-process-docstring", convert_tables, priority=300)
    app.connect("autodoc-process-docstring", read_properties_as_methods, priority=400)
    app.connect("env-check-consistency", check_reference)
