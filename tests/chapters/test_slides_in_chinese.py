"""Slides of the Chinese edition: the same parts of the same run, in Chinese."""

import json
from copy import deepcopy

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from kvbook.chapters.edition.assemble import translate_notebook
from kvbook.chapters.edition.blocks import Block, write_blocks
from kvbook.chapters.edition.words import read_words
from kvbook.chapters.slides import words
from kvbook.chapters.slides.export import make_decks
from kvbook.chapters.slides.language import CHINESE
from kvbook.chapters.slides.rules import make_deck
from kvbook.commands import cli
from kvbook.errors import ParameterError

PROSE = {
    "opening": (
        "# SnapKV: the question votes\n\n```{admonition} Objectives\n1. compute a score.\n```",
        "# SnapKV：由问题来投票\n\n```{admonition} 学习目标\n1. 计算得分。\n```",
    ),
    "problem": (
        "## The problem\n\nOthers keep what is recent. Let the question choose. Look:",
        "## 问题\n\n别的方法保留最近的内容。那就让问题来选。请看：",
    ),
    "formula": (
        "## The formula, and our lines\n\nIt counts. The vote is\n\n$$\ns\n$$\n\nA sum. Short.",
        "## 公式与代码\n\n先数票。票数 `s` 是\n\n$$\ns\n$$\n\n这是求和。很短。",
    ),
    "exercises": (
        "## Exercises\n\n```{exercise}\n:label: ex-a\n*(easy)* Which rows? Why?\n```\n\n"
        "````{solution} ex-a\nThe last ones.\n````\n\n## Summary\n\nA few are enough.",
        "## 练习\n\n```{exercise}\n:label: ex-a\n*（易）* 哪些行？为什么？\n```\n\n"
        "````{solution} ex-a\n最后几行。\n````\n\n## 小结\n\n几行就够了。",
    ),
}
"""A chapter's cells in English and in Chinese."""
ROW = "<tr><td>SnapKV(budget=64)</td><td>1.5</td></tr>"
TABLE = (
    '<table class="kv-table"><caption>all</caption><thead><tr><th>method</th><th>MiB</th></tr></thead>'
    f"<tbody>{ROW * 12}</tbody></table>"
)
SOURCE = "```python\nscore = votes\n```"


@pytest.fixture
def chapter():
    """As it was executed."""
    table = new_output("display_data", {"text/html": TABLE})
    source = new_output("display_data", {"text/markdown": SOURCE})
    cells = [new_markdown_cell(english, id=name) for name, (english, _) in PROSE.items()]
    cells.insert(2, new_code_cell("show", outputs=[table]))
    cells.insert(4, new_code_cell("show", outputs=[source]))
    return new_notebook(cells=cells)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A folder with the translation of that chapter."""
    folder = tmp_path / "book"
    (folder / "zh").mkdir(parents=True)
    blocks = {name: Block("", chinese) for name, (_, chinese) in PROSE.items()}
    write_blocks(folder / "zh" / "snapkv.md", blocks)
    catalogue = {"words": {"method": "方法", "all": "全部"}, "stay": ["MiB", r"\w+\(.*\)"]}
    (folder / "zh" / "words.json").write_text(json.dumps(catalogue), encoding="utf-8")
    monkeypatch.setenv("KVBOOK_BOOK", str(folder))
    return folder


def in_chinese(chapter):
    translated = deepcopy(chapter)
    translate_notebook(translated, "snapkv", read_words())
    return translated


@pytest.fixture
def deck(chapter, book):
    return make_deck(chapter, in_chinese(chapter))


def of_kind(deck, kind):
    return [one.source for one in deck.cells if one.metadata.slideshow.slide_type == kind]


def test_the_rules_choose_by_the_english_headings(deck, chapter):
    headings = [text.split("\n")[0] for text in of_kind(deck, "slide")]
    assert headings == [
        "# SnapKV", "## 问题", "## 问题", "## 公式与代码", f"## {CHINESE.lines}", f"## {CHINESE.question}",
        f"## {CHINESE.answer}", f"## {CHINESE.remember}",
    ]  # fmt: skip
    assert len(headings) == len(of_kind(make_deck(chapter), "slide"))


def test_the_title_and_the_objectives_are_chinese(deck):
    assert of_kind(deck, "slide")[0] == "# SnapKV\n\n由问题来投票\n\n- 计算得分。"


def test_a_name_in_the_title_stays_as_it_is_written(chapter, book):
    translated = in_chinese(chapter)
    translated.cells[0].source = "# 端侧：llama.cpp 里同样的方法"
    assert of_kind(make_deck(chapter, translated), "slide")[0] == "# 端侧\n\nllama.cpp 里同样的方法"


def test_a_picture_has_the_chinese_sentence_that_leads_to_it(deck):
    words, picture = of_kind(deck, "slide")[1:3]
    assert words == "## 问题\n\n- 别的方法保留最近的内容。\n- 那就让问题来选。"
    assert picture == "## 问题\n\n请看："


def test_a_table_is_that_of_the_run_in_chinese_and_says_what_is_left_out(deck):
    html = next(one.outputs[0].data["text/html"] for one in deck.cells if "outputs" in one)
    table = BeautifulSoup(html, "html.parser")
    rows = len(table.select("tbody tr"))
    assert [one.get_text() for one in table.select("th")] == ["方法", "MiB"]
    assert table.caption.get_text() == f"全部；表中只有前 {rows} 行，共 12 行，其余见本章"
    assert table.td.get_text() == "SnapKV(budget=64)"


def test_between_chinese_sentences_stands_no_blank(deck):
    formula, question = of_kind(deck, "slide")[3], of_kind(deck, "slide")[5]
    assert formula.endswith("先数票。票数 `s` 是\n\n$$\ns\n$$\n\n这是求和。很短。")
    assert question.endswith("\n\n哪些行？为什么？")


def test_the_notes_are_chinese(deck):
    notes = of_kind(deck, "notes")
    assert "**学习目标**" in notes[0] and "那就让问题来选。" in notes[1]
    assert not any("Objectives" in one or "question" in one for one in notes)


def test_without_a_translation_only_the_decks_own_words_are_chinese(chapter, book):
    (book / "zh" / "snapkv.md").unlink()
    slides = of_kind(make_deck(chapter, in_chinese(chapter)), "slide")
    assert slides[1].startswith("## The problem") and slides[-1].startswith(
        f"## {CHINESE.remember}"
    )


def test_a_translation_with_other_sections_is_refused(chapter, book):
    translated = in_chinese(chapter)
    translated.cells[1].source = translated.cells[1].source.removeprefix("## ")
    with pytest.raises(ParameterError, match="'SnapKV: the question votes' has 3 sections.* 4:"):
        make_deck(chapter, translated)


# ---- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, found",
    [
        ("保留最近的。SnapKV 呢？让问题来选！", ["保留最近的。", "SnapKV 呢？", "让问题来选！"]),
        ("它说：“好。”然后停下。", ["它说：“好。”", "然后停下。"]),
        (
            "问“什么颜色？”时才投票。（此后不再。）结束",
            ["问“什么颜色？”时才投票。", "（此后不再。）", "结束"],
        ),
        (
            "**全部留下。** 其余淘汰。**不是**全部。",
            ["**全部留下。** 其余淘汰。", "**不是**全部。"],
        ),
        ("占 4.5 MiB，即 1.2 倍。", ["占 4.5 MiB，即 1.2 倍。"]),
    ],
)
def test_a_chinese_sentence_ends_where_it_ends(text, found):
    assert words.sentences(text) == found


def test_a_citation_leaves_no_blank_between_chinese():
    assert (
        words.plain("Li 等人 {cite:p}`li2024` 观察到\n注意力（{eq}`vote`）。")
        == "Li 等人观察到注意力。"
    )


def test_a_chinese_character_counts_as_two_letters():
    said = ["票" * 99 + "。"] * 3
    assert len(words.choose(said, letters=600)) == 3 and len(words.choose(said, letters=599)) == 2


@pytest.mark.parametrize(
    "text, most, short",
    [
        ("先数票，再保留票数最高的条目", 12, "先数票 …"),
        ("先数票再保留票数最高的条目", 12, "先数票再保留 …"),
        ("KV 缓存里，票数最高的条目", 14, "KV 缓存里 …"),
        ("先数票，用 softmax 的行", 18, "先数票，用 …"),
    ],
)
def test_a_text_is_cut_at_a_mark_or_a_blank(text, most, short):
    assert words.cut(text, most) == short


@pytest.mark.parametrize(
    "text, lines",
    [
        ("保留票数最高的", 2),
        ("保留票数最", 1),
        ("保留票 数最高 的票是 一二三", 3),
        ("KV cache of a layer", 2),
        ("indistinguishable", 2),
        ("", 0),
    ],
)
def test_lines_break_between_chinese_characters_and_at_blanks(text, lines):
    assert words.count_lines(text, 10) == lines


# ---- on disk ------------------------------------------------------------------------------------


@pytest.fixture
def runs(chapter, tmp_path, book):
    folder = tmp_path / "runs"
    folder.mkdir()
    nbformat.write(chapter, folder / "snapkv.ipynb")
    return folder


def test_the_pages_say_their_language_and_the_chapters_chinese_title(runs, tmp_path):
    index = make_decks([], runs, tmp_path / "decks", CHINESE)
    listed, deck = (
        BeautifulSoup(path.read_text(encoding="utf-8"), "lxml")
        for path in (index, index.with_name("snapkv.html"))
    )
    assert listed.html["lang"] == deck.html["lang"] == "zh-CN"
    assert deck.title.get_text() == "SnapKV：由问题来投票（幻灯片）"
    assert listed.h1.get_text() == "幻灯片" and listed.li.get_text() == "SnapKV：由问题来投票"
    assert listed.li.a["href"] == "snapkv.html"


def test_the_command_makes_either_edition(runs, tmp_path):
    asked = ["slides", "snapkv", "--runs", str(runs), "--output", str(tmp_path / "decks")]
    for more in ([], ["--language", "zh"]):
        assert CliRunner().invoke(cli.app, [*asked, *more]).exit_code == 0
    english, chinese = tmp_path / "decks/snapkv.html", tmp_path / "decks/zh/snapkv.html"
    assert "The problem" in english.read_text("utf-8") and "问题" not in english.read_text("utf-8")
    assert "那就让问题来选" in chinese.read_text("utf-8")
