"""The book's moving picture on a page that is no notebook: ``{stepper}``.

It shows what the families chapter has recorded of all methods, from the results beside the sources. In the
Chinese edition its words are those of the catalogue.
"""

from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from kvbook import results, show
from kvbook.chapters.edition.outputs import in_chinese
from kvbook.tasks.frames import Frames

RESULTS = "_vendor/results"
"""Where the build lays the chapters' results, from the sources' folder."""


def picture(folder: Path, name: str) -> str:
    """The picture as HTML, from the results in a folder; ``name`` is unique in the book."""
    found = results.load("families", folder).data["frames"]
    return show.stepper([Frames(**one) for one in found], name=name).data


class Stepper(SphinxDirective):
    """``{stepper}``, without options."""

    def run(self):
        folder = Path(self.env.srcdir, RESULTS)
        self.env.note_dependency(str(folder / "families.json"))
        shown = picture(folder, f"stepper-{self.env.docname}")
        if self.config.language == "zh_CN":
            shown = in_chinese(shown, self.env.docname)
        return [nodes.raw("", shown, format="html")]


def setup(app):
    app.add_directive("stepper", Stepper)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
