"""Text as pictures: our own source, the prompt as a method kept it, tokens as a loss counts them."""

import ast
import html
import inspect
from collections.abc import Collection, Sequence
from textwrap import indent

from IPython.display import HTML, Markdown

DOCUMENTED = (ast.FunctionDef, ast.ClassDef)
FOLDED = '<details class="kv-fold"><summary>What its docstring says</summary>'


def source(thing) -> Markdown:
    """The lines of our own source, read from the package at this moment and not pasted: the code, and
    folded under it what its docstrings say."""
    lines, said = _apart(inspect.cleandoc("\n" + inspect.getsource(thing)))
    shown = f"```python\n{lines}\n```\n*From* `{thing.__module__}`"
    if said:
        shown += f"\n\n{FOLDED}\n\n```text\n{said}\n```\n\n</details>"
    return Markdown(shown)


def _apart(source: str) -> tuple[str, str]:
    """Code without its docstrings, and these, each under the name of what it says."""
    lines, said = source.split("\n"), list[str]()
    nodes = [one for one in ast.walk(ast.parse(source)) if isinstance(one, DOCUMENTED)]
    for node in sorted(nodes, key=lambda one: one.lineno, reverse=True):
        text = ast.get_docstring(node)
        if not text:
            continue
        said.insert(0, f"{node.name}\n{indent(text, '    ')}")
        first, *others = node.body
        after = first.end_lineno or first.lineno
        blank = bool(others) and not lines[after].strip()
        lines[first.lineno - 1 : after + blank] = [] if others else [" " * first.col_offset + "..."]
    return "\n".join(lines), "\n\n".join(said)


def kept_text(tokens: Sequence[str], kept: Sequence[int], highlight: Sequence[int] = ()) -> HTML:
    """The prompt's text: kept tokens dark on colour, dropped ones faint; ``highlight`` underlined."""
    dark, underlined, parts = set(kept), set(highlight), []
    for i, token in enumerate(tokens):
        classes = ["kv-kept" if i in dark else "kv-dropped"] + ["kv-needle"] * (i in underlined)
        parts.append(
            f'<span class="{" ".join(classes)}" title="position {i}">{html.escape(token)}</span>'
        )
    return HTML(f'<div class="kv-text">{"".join(parts)}</div>')


def label_text(
    tokens: Sequence[bytes], trained: Sequence[bool], control: Collection[int] = ()
) -> HTML:
    """Every token as a box: on colour where it counts for the loss, faint where it does not,
    with a thick rim where it is the template's. A character in several tokens stands above
    them, and each shows its bytes of it.

    Parameters
    ----------
    tokens : sequence of bytes
        Their texts in UTF-8.
    trained : sequence of bool
        Whether they count.
    control : collection of int
        Positions of control tokens.
    """
    parts, start = [], 0
    for end in range(1, len(tokens) + 1):
        try:
            text = b"".join(tokens[start:end]).decode()
        except UnicodeDecodeError:
            if end < len(tokens):  # inside a character
                continue
            text = "\ufffd"
        written = html.escape(text).replace("\n", "↵")
        if end - start > 1 or text == "\ufffd":
            pieces = "".join(
                f'<span title="position {i}">{tokens[i].hex(" ").upper()}</span>'
                for i in range(start, end)
            )
            written += f'<span class="kv-bytes">{pieces}</span>'
        classes = "kv-token " + ("kv-trained" if trained[start] else "kv-untrained")
        classes += " kv-control" * (start in control)
        parts.append(f'<span class="{classes}" title="position {start}">{written}</span>')
        if text.endswith("\n"):
            parts.append("<br>")
        start = end
    return HTML(f'<div class="kv-text kv-tokens">{"".join(parts)}</div>')
