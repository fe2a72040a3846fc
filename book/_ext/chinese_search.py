"""Search for Chinese words from disk: English as usual, and of every run of Chinese its pairs of characters.

Sphinx splits at spaces, of which Chinese has none: it would find 端侧部署 and not 端侧. Its own Chinese
index is cut by a dictionary, but what is typed into the search page is not. Most words are two
characters; longer ones are found inside their run.
"""

import re

from sphinx.search.en import SearchEnglish

CHINESE = re.compile(r"[\u3400-\u9fff]{3,}")


class SearchEnglishAndChinese(SearchEnglish):
    """`SearchEnglish`, with more words."""

    def split(self, input: str) -> list[str]:
        """The words of a text; 端侧部署 is itself, 端侧, 侧部 and 部署."""
        pairs = (run[i : i + 2] for run in CHINESE.findall(input) for i in range(len(run) - 1))
        return [*super().split(input), *pairs]


def setup(app):
    """Take the place of Sphinx's English search."""
    app.add_search_language(SearchEnglishAndChinese)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
