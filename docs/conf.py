"""The documentation site: Sphinx reads the Markdown files of this folder.

pip install ".[docs]"
python -m sphinx --fail-on-warning --keep-going docs build/site
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bpnet import __version__

project = "bpnet"
author = "the bpnet authors"
project_copyright = "the bpnet authors; Apache-2.0"
version = release = __version__

extensions = ["myst_parser"]
exclude_patterns: list[str] = []
nitpicky = True
smartquotes = False  # -- begins an option here, it is no dash

myst_heading_anchors = 4  # links to headings as GitHub makes them
myst_links_external_new_tab = False
suppress_warnings = ["myst.xref_ambiguous"]

html_theme = "furo"
html_title = f"bpnet {release}"
html_static_path = ["site"]
html_css_files = ["tables.css"]
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e4f", "color-brand-content": "#0b6e4f"},
    "dark_css_variables": {"color-brand-primary": "#5fd6a6", "color-brand-content": "#5fd6a6"},
}
