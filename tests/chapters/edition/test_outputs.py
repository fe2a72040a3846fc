"""What cells wrote, in Chinese: our words and no others, from one catalogue that notes what it was asked."""

from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from lxml import etree
from nbformat.v4 import new_code_cell, new_notebook, new_output
from scripts import data_of, words_of

from kvbook.chapters.edition.outputs import (
    in_chinese,
    split_evenly,
    translate_html,
    translate_markdown,
    translate_outputs,
    translate_svg,
)
from kvbook.chapters.edition.words import Words
from kvbook.errors import ResultError
from kvbook.show import say, table, texts_table
from kvbook.show.explorers import stepper
from kvbook.show.explorers.frame import explorer
from kvbook.tasks.frames import Frames

WHERE = "page, cell c"


def html(text, known, stay=()):
    """HTML in Chinese, as a soup; and the catalogue."""
    words = Words(known, stay)
    return BeautifulSoup(translate_html(text, words, WHERE), "html.parser"), words


def shown(*outputs):
    """A notebook with a cell that shows them."""
    return new_notebook(cells=[new_code_cell("x", id="c", outputs=list(outputs))])


def said(sentence):
    """What a notebook keeps of a sentence."""
    data, metadata = sentence._repr_mimebundle_()
    return new_output("display_data", data, metadata=metadata)


def test_a_table_has_its_head_its_caption_and_its_cells_in_chinese():
    known = {
        "method": "方法",
        "found": "找到",
        "measured here": "本机测得",
        "one prompt": "一个提示词",
        "no answer": "没有回答",
    }
    rows = [{"method": "SnapKV", "found": "0.5"}, {"method": "H2O", "found": "no answer"}]
    page, words = html(table(rows, "measured", "one prompt").data, known, ["SnapKV", "H2O"])
    assert [one.text for one in page.select("th")] == ["方法", "找到"]
    assert page.caption.text == "本机测得 一个提示词"
    assert [one.text for one in page.select("td")] == ["SnapKV", "0.5", "H2O", "没有回答"]
    assert words.used == set(known) and not words.missed


def test_numbers_in_a_template_are_those_of_the_run():
    known = {"({} of {})": "（{1} 中的 {0}）"}
    page, words = html(table([{"a": "0.75 (3 of 4)"}], None).data, known)
    assert page.td.text == "0.75 （4 中的 3）" and words.used == {"({} of {})"}


def test_code_stays():
    page, words = html("<p>found <code>found</code></p><pre>found</pre>", {"found": "找到"})
    assert page.p.text == "找到 found" and page.pre.text == "found"


@pytest.mark.parametrize("name", ["kv-text", "kv-said"])
def test_what_others_said_stays(name):
    page, words = html(
        f'<p><b>answer</b> <i class="{name}"><b>answer</b></i></p>', {"answer": "回答"}
    )
    assert [one.text for one in page.select("b")] == ["回答", "answer"]
    assert not words.missed


def test_a_cell_of_a_table_of_texts_is_no_text_that_is_missed():
    page, words = html(texts_table([{"answer": "The key is red."}]).data, {"answer": "回答"})
    assert page.td.text == "The key is red."
    assert words.missed == {"measured here": WHERE}


def test_what_is_heard_of_a_picture_is_looked_up_line_by_line():
    known = {"A map.": "一幅图。", "{} holds {} entries.": "{} 持有 {} 个条目。", "play": "播放"}
    text = (
        '<div role="img" aria-label="A map.\nSnapKV holds 3 entries."></div><b title="play">▶</b>'
    )
    page, words = html(text, known, ["SnapKV"])
    assert (
        page.div["aria-label"] == "一幅图。\nSnapKV 持有 3 个条目。" and page.b["title"] == "播放"
    )
    assert words.used == set(known)


def test_a_sentence_is_said_by_its_template():
    inside = say("{share:.0%} of them", share=0.5)
    notebook = shown(said(say("{n} tokens: {why}, {name}.", n=3, why=inside, name="all")))
    words = Words(
        {"{n} tokens: {why}, {name}.": "{name}：{why}，{n} 个词元。", "{share:.0%} of them": "其中 {share:.0%}", "all": "全部"}
    )  # fmt: skip
    translate_outputs(notebook, words, "page")
    data = notebook.cells[0].outputs[0].data
    assert data["text/markdown"] == data["text/plain"] == "全部：其中 50%，3 个词元。"
    assert not words.missed and words.used >= {"{n} tokens: {why}, {name}.", "{share:.0%} of them"}


def test_markdown_that_a_cell_shows_keeps_its_code():
    listing = "```python\nFrom = 1\n```\n*From* `kvbook.lm`\n\n<summary>What it says</summary>\n\n```text\nFrom\n```"
    words = Words(
        {"*From* `{}`": "*出自* `{}`", "What it says": "它说什么", "From": "出自"}, ["kvbook.*"]
    )
    assert translate_markdown(listing + "\n`a.json`", words, "here") == (
        "```python\nFrom = 1\n```\n*出自* `kvbook.lm`\n\n<summary>它说什么</summary>\n\n```text\nFrom\n```\n`a.json`"
    )
    assert not words.missed


def test_a_text_of_a_picture_keeps_its_lines():
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg"><g><text>entries of</text><text>every head</text></g>'
        "<g><text>0.5</text></g></svg>"
    )
    words = Words({"entries of every head": "每个头的条目数量"})
    lines = [one.text for one in etree.fromstring(translate_svg(drawn, words, WHERE).encode()).iter("{*}text")]  # fmt: skip
    assert lines == ["每个头的", "条目数量", "0.5"] and not words.missed


def test_words_of_a_picture_that_a_prompt_says_stay():
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg"><g class="kv-said"><text>rain</text></g>'
        "<g><text>rain</text></g></svg>"
    )
    words = Words({"rain": "雨"})
    lines = [one.text for one in etree.fromstring(translate_svg(drawn, words, WHERE).encode()).iter("{*}text")]  # fmt: skip
    assert lines == ["rain", "雨"]


@pytest.mark.parametrize(
    "text, count, parts",
    [
        ("短", 2, ["短", ""]),
        ("KV cache 大小", 2, ["KV cache", "大小"]),
        ("预算 1,024 个条目", 3, ["预算", "1,024", "个条目"]),
    ],
)
def test_a_text_is_broken_between_words(text, count, parts):
    assert split_evenly(text, count) == parts


def test_the_words_of_an_explorer_are_put_into_chinese_and_its_data_are_not():
    words = {"holds": "holds {count}", "machines": ["L4", "CPU, 2 threads"]}
    page = explorer("mine", "<b>holds</b>", "chat", {"turns": ["holds"]}, words, "No <i>").data
    catalogue = Words(
        {"holds {}": "持有 {}", "{}, {} threads": "{}，{} 个线程", "holds": "持有"}, ["L4", "CPU"]
    )
    new = SimpleNamespace(data=translate_html(page, catalogue, WHERE))
    assert words_of(new) == {"holds": "持有 {count}", "machines": ["L4", "CPU，2 个线程"]}
    assert data_of(new) == {"turns": ["holds"]} and "<b>持有</b>" in new.data
    assert 'WORDS = {"holds": "\\u6301' in new.data and catalogue.missed == {"No": WHERE}


def test_the_moving_picture_is_put_into_chinese_but_for_prompt_and_answers():
    frames = Frames(
        name="summarykv", method="SummaryKV(budget=2)", tokens=["answer", " right"],
        written=[" right", "."], answer=" right", layer=1, head=0, came=[0, 1, 4],
        gone=[2, None, None], scores=[[]] * 5, summaries={"3": "right"},
    )  # fmt: skip
    other = Frames(**{**vars(frames), "name": "h2o", "method": "H2O(budget=2)", "summaries": {}})
    known = {
        "answer": "回答",
        "right": "对",
        "✓ right": "✓ 对",
        "holds {}": "持有 {}",
        "holds {} and a summary": "持有 {} 和一份摘要",
        "The prompt is read. {} and {} cut.": "提示词读完。{} 和 {} 裁剪。",
        "Token {number} of {all} is read: {token}": "读入第 {number} 个词元，共 {all} 个：{token}",
        "Caches step by step, for the prompt {}.": "缓存，提示词 {}。",
        "{} holds {} entries and writes {}, right.": "{} 持有 {} 个条目，写出 {}，对。",
    }
    page = stepper.stepper([frames, other])
    new = SimpleNamespace(
        data=translate_html(page.data, Words(known, ["'.*'", "SummaryKV|H2O"]), WHERE)
    )
    soup = BeautifulSoup(new.data, "html.parser")
    over = [one.text for one in soup.select(".kv-over span")]
    assert over == ["answer", "right", "回答"]
    assert [one.text for one in soup.select(".kv-says")] == ["“right.” ✓ 对"] * 2
    assert [one.text for one in soup.select(".kv-holds")] == ["持有 2 和一份摘要", "持有 2"]
    assert soup.select_one(".kv-back").text == "right"
    label = soup.figure["aria-label"].split("\n")
    assert label[0] == "缓存，提示词 'answer right'。"
    assert label[3] == "H2O 持有 2 个条目，写出 'right.'，对。"
    said = words_of(new)
    assert said["cut"] == "提示词读完。SummaryKV 和 H2O 裁剪。"
    assert said["read"] == known["Token {number} of {all} is read: {token}"]
    assert said["holds"] == "持有 {count}"
    assert data_of(new) == data_of(page)


def test_what_has_no_entry_is_missed_at_its_place():
    notebook = shown(
        new_output("display_data", {"text/html": "<p>new words</p><p>old words</p>"}),
        said(say("{n} sentences.", n=2)),
    )
    words = Words({"old words": "旧词", "never asked": "没有用到"})
    translate_outputs(notebook, words, "page")
    assert words.missed == {"new words": WHERE, "{n} sentences.": WHERE}
    assert words.used == {"old words"}
    assert "<p>new words</p><p>旧词</p>" in notebook.cells[0].outputs[0].data["text/html"]


def test_files_beside_the_english_pages_are_a_folder_above():
    page, _ = html('<a href="results/a.json">1</a><a href="page.html">2</a>', {})
    assert [one["href"] for one in page.select("a")] == ["../results/a.json", "page.html"]


def test_what_no_notebook_shows_is_refused_without_its_chinese():
    with pytest.raises(ResultError, match="no Chinese for 'a word nobody has translated'"):
        in_chinese("<p>a word nobody has translated</p>", "a page")
