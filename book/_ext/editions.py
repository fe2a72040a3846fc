"""Two editions of one book: the English one, and in its folder ``zh`` the Chinese one. Every page leads to
its other edition, at the same section, and says what language it is in."""

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform

TAGS = {"en": "en", "zh_CN": "zh-CN"}
OTHER = {
    "en": ("zh_CN", "中文", "本页的中文版", "zh/"),
    "zh_CN": ("en", "English", "This page in English", "../"),
}
"""By language: the other one, its name, what a reader of it is told, and where its pages are."""


class EnglishNames(SphinxTransform):
    """Sections of a translated page have the names of the English page's, one by one: an address leads to
    the same place in both."""

    default_priority = 5  # before anything refers to a section

    def apply(self, **kwargs):
        names = self.config.section_names.get(self.env.docname)
        if not names:
            return
        sections = [
            one for one in self.document.findall(nodes.section) if isinstance(one[0], nodes.title)
        ]
        if len(sections) != len(names):
            raise ExtensionError(
                f"{self.env.docname} has {len(sections)} headings, its English page {len(names)}"
            )
        for section, name in zip(sections, names, strict=True):
            self._rename(section, name)

    def _rename(self, section, name):
        document, old = self.document, section["ids"]
        for one in old:
            document.ids.pop(one, None)
        for key, value in [*document.nameids.items()]:
            if value in old:
                document.nameids[key] = name
        section["ids"] = [name]
        document.ids[name] = section


def setup(app):
    app.add_config_value("section_names", {}, "env")
    app.add_transform(EnglishNames)
    app.connect("html-page-context", _name_other, priority=200)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _name_other(app, pagename, templatename, context, doctree):
    """What the page's button needs, and what search engines read."""
    own = app.config.language
    other, name, title, folder = OTHER[own]
    url = "../" * pagename.count("/") + f"{folder}{pagename}.html"
    context["other_edition"] = {"url": url, "tag": TAGS[other], "name": name, "title": title}
    pages = {TAGS[own]: f"{pagename.rpartition('/')[2]}.html", TAGS[other]: url}
    links = (
        f'<link rel="alternate" hreflang="{tag}" href="{page}">' for tag, page in pages.items()
    )
    context["metatags"] = "\n".join([context.get("metatags", ""), *links])
    context["language"] = TAGS[own]
