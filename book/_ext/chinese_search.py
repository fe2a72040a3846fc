"""Search for Chinese words from disk: of every run of Chinese its pairs of characters.

Sphinx splits at spaces, of which Chinese has none: it would find 端侧部署 and not 端侧. Its own Chinese
index is cut by a dictionary, but what is typed into the search page is not. Most words are two
characters; longer ones are found inside their run. In the English edition a run is a word, too; in the
Chinese one runs are whole sentences, so that there the question is cut into pairs as well.
"""

import re

from sphinx.search.en import SearchEnglish

CHINESE = re.compile(r"[\u3400-\u9fff]{3,}")
SPLIT_QUERY = r"""
function splitQuery(query) {
  const pairs = run => Array.from({length: run.length - 1}, (_, i) => run.slice(i, i + 2));
  const parts = word => word.match(/[\u3400-\u9fff]+|[^\u3400-\u9fff]+/g);
  const words = query.split(/[^\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu).filter(Boolean);
  return words.flatMap(parts).flatMap(part => /[\u3400-\u9fff]{3}/.test(part) ? pairs(part) : [part]);
}
"""
"""In place of Sphinx's function: what is typed becomes words and pairs."""


class SearchEnglishAndChinese(SearchEnglish):
    """`SearchEnglish`, with more words."""

    def split(self, input: str) -> list[str]:
        """The words of a text; 端侧部署 is itself, 端侧, 侧部 and 部署."""
        pairs = (run[i : i + 2] for run in CHINESE.findall(input) for i in range(len(run) - 1))
        return [*super().split(input), *pairs]


class SearchPairs(SearchEnglishAndChinese):
    """The same for pages in Chinese: Latin words stand apart from the characters beside them."""

    lang = "pairs"
    js_splitter_code = SPLIT_QUERY

    def split(self, input: str) -> list[str]:
        """Words, and of Chinese the pairs: KV缓存压缩 is KV, 缓存, 存压 and 压缩."""
        words = super().split(re.sub(r"([\u3400-\u9fff]+)", r" \1 ", input))
        return [word for word in words if not CHINESE.fullmatch(word)]

    def word_filter(self, word: str) -> bool:
        """Chinese words are short."""
        return bool(re.match(r"[\u3400-\u9fff]", word)) or super().word_filter(word)


def setup(app):
    """Take the place of Sphinx's English search, and add the one in pairs."""
    app.add_search_language(SearchEnglishAndChinese)
    app.add_search_language(SearchPairs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
