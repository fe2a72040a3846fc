"""The single page that is printed: what the pages of the book fold away is left out."""

from docutils.nodes import SkipNode
from myst_nb.sphinx_ import HideCodeCellNode


def setup(app):
    app.add_node(HideCodeCellNode, override=True, singlehtml=(_leave_out, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _leave_out(translator, node):
    raise SkipNode
