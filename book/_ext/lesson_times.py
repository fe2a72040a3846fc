"""How long the teacher's commands take, on the teacher's page: ``{lesson-times}``, from the kept file."""

from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from kvbook import results
from kvbook.chapters.edition.outputs import in_chinese
from kvbook.chapters.lessons import NAME, times_table

KEPT = "_vendor/results/kept"
"""Where the build lays kept results, from the sources' folder."""


class LessonTimes(SphinxDirective):
    """``{lesson-times}``, without options."""

    def run(self):
        folder = Path(self.env.srcdir, KEPT)
        self.env.note_dependency(str(folder / f"{NAME}.json"))
        shown = times_table(results.load(NAME, folder)).data
        if self.config.language == "zh_CN":
            shown = in_chinese(shown, self.env.docname)
        return [nodes.raw("", shown, format="html")]


def setup(app):
    app.add_directive("lesson-times", LessonTimes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
