"""Configuration of Sphinx; `build.py` runs it."""

import importlib
import inspect
import pathlib

import stage

import jaxspike as js

PACKAGE = pathlib.Path(js.__file__).parent
HERE = pathlib.Path(__file__).parent

project = "jaxspike"
author = "The jaxspike developers"
copyright = author
version = release = js.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["**/.ipynb_checkpoints"]

# Pages: as GitHub reads them
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebooks have their outputs, and the tests run them
nb_ipywidgets_js = {}  # which would be loaded from the network

# Reference
default_role = "py:obj"
autosummary_generate = False
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_custom_sections = [("Warns", "returns_style")]

# Look
html_theme = "sphinx_book_theme"
html_title = "jaxspike"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_favicon = str(HERE / "static" / "favicon.svg")
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "repository_url": stage.GITHUB,
    "use_repository_button": True,
    "use_download_button": False,
    "show_navbar_depth": 1,
    "extra_footer": f"<p>Version {release}, of commit {stage.REVISION[:9]}</p>",
    "navbar_persistent": [],
    "home_page_in_toc": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copybutton_exclude = ".linenos, .gp, .go"


def signature(app, what, name, obj, options, text, returns):
    """The arguments of a Flax layer, which its metaclass hides."""
    if what != "class":
        return None
    try:
        found = inspect.signature(obj.__init__)
    except (TypeError, ValueError):
        return None
    arguments = [p.replace(annotation=p.empty) for p in list(found.parameters.values())[1:]]
    hidden = text in ("(*args, **kwargs)", "(*args: Any, **kwargs: Any)", None)
    return (str(inspect.Signature(arguments)), returns) if hidden else None


def linkcode_resolve(domain, info):
    """The address of the source of a name: a file and its lines on GitHub."""
    found = importlib.import_module(info["module"] or "jaxspike")
    for part in info["fullname"].split("."):
        found = getattr(found, part, None)
    try:
        found = inspect.unwrap(found)
        path = pathlib.Path(inspect.getsourcefile(found)).relative_to(PACKAGE.parent)
        lines, start = inspect.getsourcelines(found)
    except (TypeError, OSError, ValueError):
        return None
    return f"{stage.GITHUB}/blob/{stage.REVISION}/{path}#L{start}-L{start + len(lines) - 1}"


def skip(app, what, name, obj, skipped, options):
    """Skip the fields of a NamedTuple: the docstring of its class describes them."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app):
    """Register what Sphinx calls."""
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", signature)
