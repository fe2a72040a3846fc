"""What is folded has a name: the code of a cell is called by its first comment, or else by what it shows.

In the Chinese edition, by the functions that show it: code is not translated.
"""

import ast
import re
from collections.abc import Iterator, Mapping

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

WORDS = {
    "en": {
        "show": "Show {kind}: {name}",
        "hide": "Hide {kind}: {name}",
        "nothing": "what this page needs",
        "listing": "listing of {}",
        "comma": ", ",
        "blank": " ",
    },
    "zh_CN": {
        "show": "显示{kind}：{name}",
        "hide": "隐藏{kind}：{name}",
        "nothing": "本页的准备工作",
        "listing": "{} 的源代码",
        "comma": "、",
        "blank": "_",
    },
}
"""By language; ``nothing`` is the name of cells that show nothing of ours, ``blank`` what functions have
between their words."""
KINDS = {"input": "代码", "output": "输出", "input+output": "内容", "all": "内容"}
"""What is folded, in Chinese; myst-nb has English words for it."""
PARTS = ("code", "linked", "style", "tag")
"""Functions of `show` that show nothing by themselves."""


def name_of(code: str, language: str = "en") -> str:
    """A cell's name.

    >>> name_of("# How it was asked\\nask()"), name_of("show.kept_map(run, n)"), name_of("x = 1")
    ('How it was asked', 'kept map', 'what this page needs')
    >>> name_of("display(show.source(H2O.keep), show.source(H2O.select))")
    'listing of H2O.keep, H2O.select'
    >>> name_of("show.source(H2O.keep)\\nshow.kept_map(run, n)", "zh_CN")
    'H2O.keep 的源代码、kept_map'
    """
    first = code.strip().partition("\n")[0]
    if language == "en" and first.startswith("# "):
        return first.removeprefix("# ").rstrip(".")
    words = WORDS[language]
    return words["comma"].join(dict.fromkeys(_shown(code, words))) or words["nothing"]


def _shown(code: str, words: Mapping[str, str]) -> Iterator[str]:
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
        listing = words["listing"].format(words["comma"].join(sources))
        yield listing if name == "source" else name.replace("_", words["blank"])


class NameFolded(SphinxPostTransform):
    """Before myst-nb folds the cells."""

    default_priority = 198
    formats = ("html",)

    def run(self, **kwargs):
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") == "cell_code" and cell.get("hide_mode") and cell.children:
                language = self.config.language
                name = name_of(cell.children[0].astext(), language)
                kind = "{type}" if language == "en" else KINDS[cell["hide_mode"]]
                for one in ("show", "hide"):
                    cell[f"prompt_{one}"] = WORDS[language][one].format(kind=kind, name=name)


def setup(app):
    app.add_post_transform(NameFolded)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
