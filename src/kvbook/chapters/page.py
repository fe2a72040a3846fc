"""Pages of their own, beside no book: a chapter, or tables and pictures under a title."""

import re
from collections.abc import Mapping
from importlib.metadata import files
from pathlib import Path
from string import Template
from types import MappingProxyType

import nbformat
from IPython.display import HTML
from markupsafe import escape
from nbformat import NotebookNode

from kvbook.files import write_whole
from kvbook.places import place
from kvbook.show import in_page

FENCE = re.compile(r"^(`{3,})\{(\w+)\} *(.*?)\n((?::\w+:[^\n]*\n)*)(.*?)^\1 *$", re.M | re.S)
"""A directive of the book: its fence, name, title, options and text."""


def plain_markdown(text: str, called: Mapping[str, str] = MappingProxyType({})) -> str:
    """The book's markdown for a page of its own: directives as plain text and folded
    solutions, no links to chapters that are not beside it.

    Parameters
    ----------
    called : mapping of str to str
        What directives and equations are called, where not as in the source.
    """

    def directive(match: re.Match) -> str:
        _, name, title, _, body = match.groups()
        if name != "admonition":
            title = called.get(name, name.capitalize())
        if name == "solution":
            return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n"
        return f"**{title}**\n\n{body}"

    text = FENCE.sub(directive, text)
    text = re.sub(r"\{cite:\w+\}`([^`]+)`", r"(\1)", text)
    text = re.sub(r"\{eq\}`([\w-]+)`", rf"{called.get('equation', 'equation')} *\1*", text)
    text = re.sub(r"\$\$ \([\w-]+\)$", "$$", text, flags=re.M)
    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.M)
    return re.sub(r"\[([^\]]+)\]\(\w+\.(?:ipynb|md)\)", r"\1", text)


LINK = re.compile(r'<a href="([\w./-]+)(?:#[^"]*)?"[^>]*>(.*?)</a>', re.S)
"""A link to a file: where it is, and the words."""


def plain_links(body: str, folder: Path) -> str:
    """A page without links to files that are not in its folder, such as other chapters."""
    return LINK.sub(lambda link: link[0] if (folder / link[1]).is_file() else link[2], body)


def make_page(notebook: Path) -> Path:
    """The notebook as one page that loads nothing from outside."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    for url in ("mathjax", "require_js", "jquery", "mermaid_js", "widget_renderer"):
        setattr(config.HTMLExporter, f"{url}_url", "")
    config.HTMLExporter.exclude_input_prompt = True
    config.HTMLExporter.exclude_output_prompt = True
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {"remove-cell"}
    config.TagRemovePreprocessor.remove_input_tags = {"hide-input"}
    config.HTMLExporter.preprocessors = ["nbconvert.preprocessors.TagRemovePreprocessor"]
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_markdown(cell.source)
        for output in cell.get("outputs", []):
            _put_in(output, cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""))
    body, _ = HTMLExporter(config=config).from_notebook_node(content)
    body = plain_links(body, notebook.parent)
    formulas = "window.MathJax = {tex: {inlineMath: [['$', '$']]}};"
    head = f"{stylesheet()}<script>{formulas}</script>"
    head += f"<script>{mathjax().read_text(encoding='utf-8')}</script>"
    body = with_plotly(body.replace("</head>", head + "</head>", 1))
    page = notebook.with_suffix(".html")
    write_whole(page, body)
    return page


def _put_in(output: NotebookNode, words: str) -> None:
    """A picture becomes a part of the page, which chooses the drawing that fits."""
    data = output.get("data", {})
    if drawn := in_page(data.get("image/svg+xml", ""), words):
        output.data = NotebookNode({"text/html": drawn})


SHEET = Template("""<!DOCTYPE html>
<html lang="$language"><head><meta charset="utf-8"><title>$title</title>$style
<style>
  :root { color-scheme: light dark; }
  body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; font: large system-ui, sans-serif; }
</style>
<script>
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const choose = () => document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
  dark.addEventListener("change", choose);
  choose();
</script></head>
<body class="bd-content"><h1>$title</h1>
$parts
</body></html>
""")


def make_sheet(title: str, *parts: HTML | str, language: str = "en") -> str:
    """A page that is no chapter, and loads nothing from outside.

    Parameters
    ----------
    *parts : HTML or str
        Tables and pictures of `kvbook.show`, and plain texts, which become paragraphs.
    language : str
        That of its words, as HTML names it.
    """
    shown = (part.data if isinstance(part, HTML) else f"<p>{escape(part)}</p>" for part in parts)
    body = "\n".join(shown)
    page = SHEET.substitute(
        title=escape(title), style=stylesheet(), parts=body, language=escape(language)
    )
    return with_plotly(page)


def stylesheet() -> str:
    """The book's stylesheet as an element of HTML; empty where there is none."""
    style = place("book") / "_static" / "custom.css"
    return f"<style>{style.read_text(encoding='utf-8')}</style>" if style.is_file() else ""


def with_plotly(page: str) -> str:
    """The page with the library in it, where a picture needs it: there is no book beside it."""
    from plotly.offline import get_plotlyjs

    from kvbook.show import PLOTLY

    reference = f'<script src="{PLOTLY}"></script>'
    if reference not in page:
        return page
    first, *others = page.split(reference)
    return f"{first}<script>{get_plotlyjs()}</script>{''.join(others)}"


def mathjax() -> Path:
    """MathJax as one file, from the package that brings it."""
    found = next(
        path for path in files("sphinx-mathjax-offline") or () if path.name == "tex-svg.js"
    )
    return Path(found.locate())
