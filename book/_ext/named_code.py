"""What is folded has a name: the code of a cell is called by its first comment, or else by what it shows."""

import ast
import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

NOTHING = "what this page needs"
"""The name of cells that show nothing of ours."""
PARTS = ("code", "linked", "style", "tag")
"""Functions of `kvbook.show` that show nothing by themselves."""


def name_of(code: str) -> str:
    """A cell's name.

    >>> name_of("# How it was asked\\nask()"), name_of("show.kept_map(run, n)"), name_of("x = 1")
    ('How it was asked', 'kept map', 'what this page needs')
    >>> name_of("display(show.source(H2O.keep), show.source(H2O.select))")
    'listing of H2O.keep, H2O.select'
    """
    first = code.strip().partition("\n")[0]
    if first.startswith("# "):
        return first.removeprefix("# ").rstrip(".")
    return ", ".join(dict.fromkeys(_shown(code))) or NOTHING


def _shown(code: str) -> Iterator[str]:
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a magic
        return
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    named = {
        ast.unparse(call.func).removeprefix("show."): call
        for call in calls
        if re.match(rf"show\.(?!({'|'.join(PARTS)})$)", ast.unparse(call.func))
    }
    sources = [
        ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func) == "show.source"
    ]
    for name in named:
        yield f"listing of {', '.join(sources)}" if name == "source" else name.replace("_", " ")


class NameFolded(SphinxPostTransform):
    """Before myst-nb folds the cells."""

    default_priority = 198
    formats = ("html",)

    def run(self, **kwargs):
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") == "cell_code" and cell.get("hide_mode") and cell.children:
                name = name_of(cell.children[0].astext())
                cell["prompt_show"] = f"Show {{type}}: {name}"
                cell["prompt_hide"] = f"Hide {{type}}: {name}"


def setup(app):
    app.add_post_transform(NameFolded)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
