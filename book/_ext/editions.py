"""Two editions of one book: the English one, and in its folder ``zh`` the Chinese one. Every page leads to
its other edition, at the same section. In the Chinese one, the words of Sphinx and of the theme that have no
translation there have one here."""

import re

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform

TAGS = {"en": "en", "zh_CN": "zh-CN"}
OTHER = {
    "en": ("zh_CN", "中文", "本页的中文版", "zh/"),
    "zh_CN": ("en", "English", "This page in English", "../"),
}
"""By language: the other one, its name, what a reader of it is told, and where its pages are."""

THEIRS = {
    "Color mode": "明暗模式",
    "System Settings": "跟随系统",
    "Light": "浅色",
    "Dark": "深色",
    "Toggle primary sidebar": "显示或隐藏目录",
    "Toggle secondary sidebar": "显示或隐藏本页目录",
    "Main": "全书目录",
    "Page": "本页目录",
    "Link to this heading": "本节的链接",
    "Link to this image": "本图的链接",
    "Link to this equation": "本公式的链接",
    "Link to this table": "本表的链接",
    "Link to this term": "本术语的链接",
    "Link to this code": "本段代码的链接",
    "Launch interactive content": "在云端运行",
    "Launch on Binder": "在 Binder 上运行",
    "Launch on Colab": "在 Colab 上运行",
    "Print to PDF": "打印成 PDF",
    "Toggle hidden content": "展开或收起",
    "Binder logo": "Binder 的标志",
    "Colab logo": "Colab 的标志",
}
"""What Sphinx and the theme say beside the text, in Chinese."""
IMPRINT = {"© Copyright ": "© ", "作者： ": "作者："}
"""What they have in Chinese, and not as it is set."""
SPOKEN = re.compile(r'\b(title|aria-label|alt|placeholder|data-bs-title)="([^"]+)"')
TOGGLE = "addEventListener('load', () => document.querySelectorAll('.toggle-button').forEach(one => one.ariaLabel = '展开或收起'))"
"""What a script of theirs writes later."""


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
        document, pairs = self.document, list(zip(sections, names, strict=True))
        renamed = {old: name for section, name in pairs for old in section["ids"]}
        for old in renamed:
            document.ids.pop(old, None)
        for key, value in document.nameids.items():
            document.nameids[key] = renamed.get(value, value)
        for section, name in pairs:
            section["ids"] = [name]
            document.ids[name] = section


def in_chinese(html: str) -> str:
    """A page with the words of `THEIRS` in Chinese.

    >>> in_chinese('<a title="Link to this heading" class="Light">Dark</a>')
    '<a title="本节的链接" class="Light">Dark</a>'
    """
    for said, better in IMPRINT.items():
        html = html.replace(said, better)
    return SPOKEN.sub(lambda one: f'{one[1]}="{THEIRS.get(one[2], one[2])}"', html)


def setup(app):
    app.add_config_value("section_names", {}, "env")
    app.add_transform(EnglishNames)
    app.connect("config-inited", _say_toggle)
    app.connect("html-page-context", _name_other, priority=200)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _say_toggle(app, config):
    if config.language == "zh_CN":
        app.add_js_file(None, body=TOGGLE)


def _name_other(app, pagename, templatename, context, doctree):
    """What the page's button needs, what search engines read, and the page's own words."""
    own = app.config.language
    context["in_own_words"] = in_chinese if own == "zh_CN" else str
    other, name, title, folder = OTHER[own]
    url = "../" * pagename.count("/") + f"{folder}{pagename}.html"
    context["other_edition"] = {"url": url, "tag": TAGS[other], "name": name, "title": title}
    pages = {TAGS[own]: f"{pagename.rpartition('/')[2]}.html", TAGS[other]: url}
    links = (
        f'<link rel="alternate" hreflang="{tag}" href="{page}">' for tag, page in pages.items()
    )
    context["metatags"] = "\n".join([context.get("metatags", ""), *links])
