"""Pictures that cells draw stand in the page itself, where its stylesheet chooses the drawing that fits and
gives ink the page's colour; their captions stay theirs."""

from pathlib import Path

from docutils import nodes

from kvbook.show import in_page

MOVING = "kv-explorer"
"""The class of pictures to move through, which are HTML already."""


def setup(app):
    app.connect("doctree-read", _leave_captions)  # before figures are numbered
    app.connect("doctree-resolved", _put_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _leave_captions(app, doctree):
    """A caption is of a cell's picture: myst-nb puts it under all that the cell shows."""
    for figure in [*doctree.findall(nodes.figure)]:
        moving = any(MOVING in one.astext() for one in figure.findall(nodes.raw))
        if not moving and not figure.next_node(nodes.image):
            figure.replace_self([one for one in figure if not isinstance(one, nodes.caption)])


def _put_in(app, doctree, docname):
    for image in [*doctree.findall(nodes.image)]:
        file = Path(app.srcdir, image["uri"])
        if file.suffix == ".svg" and file.is_file():
            drawn = in_page(file.read_text(encoding="utf-8"), image.get("alt", ""))
            if drawn:
                image.replace_self(nodes.raw("", drawn, format="html"))
