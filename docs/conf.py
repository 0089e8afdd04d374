# SPDX-License-Identifier: Apache-2.0
"""The documentation site: `python -m sphinx -W -b html docs site`."""

import arlsort

project = "arlsort"
author = "The arlsort authors"
copyright = author
version = release = arlsort.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["README.md"]
default_role = "code"  # a docstring's `x` is code
nitpicky = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_preprocess_types = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"arlsort {version}"
html_copy_source = False
html_show_sphinx = False
