"""Chinese as it is set: no blanks between its letters, where markdown needs one beside emphasis or a line
of the source ends; and what is emphasised is not slanted."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

WIDE = "[—‘-”…\u3000-\u9fff\uff00-\uffef]"
"""A letter or a mark of Chinese."""
BLANKS = re.compile(rf"(?<={WIDE})\s+(?={WIDE})")


def without_blanks(parts: list[str]) -> list[str]:
    """The parts of one text without the blanks between two letters or marks of Chinese.

    >>> without_blanks(["把它 ", "重新执行", " 一遍。\\n见 ", "KV", " 缓存"])
    ['把它', '重新执行', '一遍。见 ', 'KV', ' 缓存']
    """
    whole = "".join(parts)
    gone = {place for blank in BLANKS.finditer(whole) for place in range(*blank.span())}
    kept, start = [], 0
    for part in parts:
        end = start + len(part)
        kept.append("".join(whole[place] for place in range(start, end) if place not in gone))
        start = end
    return kept


class SetChinese(SphinxPostTransform):
    """In the Chinese edition. The stylesheet sets dots below emphasis, but for words in Latin letters and
    for whole paragraphs."""

    default_priority = 200
    formats = ("html",)

    def run(self, **kwargs):
        if self.config.language != "zh_CN":
            return
        for block in self._blocks():
            leaves = [*block.findall(nodes.Text)]
            for leaf, text in zip(leaves, without_blanks(leaves), strict=True):
                if text != leaf and not isinstance(
                    leaf.parent, nodes.literal | nodes.math | nodes.raw
                ):
                    leaf.parent.replace(leaf, nodes.Text(text))
        for one in self.document.findall(nodes.emphasis):
            if not re.search(WIDE, one.astext()):
                one["classes"].append("kv-latin")
            elif len(one.parent) == 1:
                one["classes"].append("kv-aside")

    def _blocks(self) -> Iterator[nodes.TextElement]:
        for block in [*self.document.findall(nodes.TextElement)]:
            literal = isinstance(block, nodes.FixedTextElement)  # code, a formula, HTML
            if not literal and not isinstance(block.parent, nodes.TextElement):
                yield block


def setup(app):
    app.add_post_transform(SetChinese)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
