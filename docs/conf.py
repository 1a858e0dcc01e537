"""Settings of the documentation: ``make docs`` builds it in build/docs."""

from __future__ import annotations

import sys
from pathlib import Path

from textseq.version import __version__

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "examples")]  # for generated.py, lessons.py and run_lessons.py

project = "textseq"
author = copyright = "The textseq authors"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "generated",
    "lessons",
]
if not tags.has("quick"):  # noqa: F821 (sphinx defines it); the tests leave out the pages of source code
    extensions.append("sphinx.ext.viewcode")
exclude_patterns = ["_*"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
highlight_language = "text"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
autodoc_preserve_defaults = True
napoleon_google_docstring, napoleon_numpy_docstring = True, False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"textseq {version}"
html_show_sphinx = False
