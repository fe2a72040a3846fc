"""Notebooks to take away: every chapter without outputs, with a first cell that installs kvbook where it is not.

They are what the repository has, and lie beside the pages, so that a book from disk hands them out, too.
Those of the Chinese edition have its prose.
Where the repository is stands in `_config.yml` alone; a page says `{{ install }}`.
"""

from pathlib import Path

import nbformat

from kvbook.chapters.edition.assemble import put_in
from kvbook.chapters.edition.due import translation_of
from kvbook.chapters.registry import CHAPTERS

FOLDER = "notebooks"
INSTALL = "%pip install --quiet git+{repository}"
FIRST_CELL = f"""# Installs kvbook where it is not yet, as on Colab; elsewhere this does nothing.
try:
    import kvbook
except ImportError:
    {INSTALL}"""
WORDS = {
    "en": ("to run", "Download the notebook without outputs, to run it"),
    "zh_CN": ("可运行", "下载不含输出、可以运行的笔记本"),
}
"""By language: the button, and what it does."""


def take_away(name: str, repository: str, language: str = "en") -> str:
    """The notebook of a chapter as a file to run anywhere."""
    notebook = nbformat.read(CHAPTERS[name].notebook, as_version=4)
    if language == "zh_CN":
        put_in(notebook, translation_of(name))
    cell = nbformat.v4.new_code_cell(FIRST_CELL.format(repository=repository), id="install")
    notebook.cells.insert(0, cell)
    return nbformat.writes(notebook)


def setup(app):
    """Write them beside the pages, and give each page a button for its own."""
    app.connect("config-inited", _say_how_to_install)
    app.connect("html-page-context", _add_button, priority=900)  # after the theme's own buttons
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _repository(config) -> str:
    return config.html_theme_options["repository_url"]


def _say_how_to_install(app, config):
    config.myst_substitutions = {"install": f"`{INSTALL.format(repository=_repository(config))}`"}


def _add_button(app, pagename, templatename, context, doctree):
    if pagename not in CHAPTERS:
        return
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            url = context["pathto"](f"{FOLDER}/{pagename}.ipynb", 1)
            group["buttons"].insert(0, _button(url, *WORDS[app.config.language]))


def _button(url: str, text: str, tooltip: str) -> dict:
    return {
        "type": "link",
        "url": url,
        "text": text,
        "tooltip": tooltip,
        "icon": "fas fa-play",
        "label": "download-to-run-button",
    }


def _write(app, exception):
    if exception or app.builder.name != "html":
        return
    folder = Path(app.outdir, FOLDER)
    folder.mkdir(exist_ok=True)
    for name in CHAPTERS:
        text = take_away(name, _repository(app.config), app.config.language)
        (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")
