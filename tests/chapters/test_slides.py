"""Slides by rule: which parts of a chapter, in which order, how much of each; and a folder that needs
nothing from outside."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from kvbook.chapters.slides import rules, sections, shown, words
from kvbook.chapters.slides.export import make_decks
from kvbook.chapters.slides.language import ENGLISH
from kvbook.commands import cli
from kvbook.errors import ParameterError
from kvbook.show import in_page

OPENING = """# SnapKV: the question votes

```{admonition} Objectives
:class: tip
After this chapter you can
1. compute a score from [rows](introduction.ipynb);
2. read a map.
```

**Time:** 35 minutes"""
PROBLEM = """## The problem

[StreamingLLM](streamingllm.ipynb) keeps what is recent. Li et al. {cite:p}`li2024` let the question choose. Here is how:"""
FORMULA = """## The formula, and our lines

For a position $j$, the vote is

$$
s_j = \\sum_i a_{ij}
$$ (vote)

A sum over *queries*. Short. And there are more words that only the notes have, which is what notes are for: they hold the whole
prose of a section, and a slide only as much of it as somebody in the last row can read while another one is speaking to the class."""
SOURCE = '```python\ndef score(self):\n    """Votes.\n\n    Of the last queries.\n    """\n    return self.votes\n```\n*From* `kvbook`'
TABLE = (
    '<table class="kv-table"><caption><span class="kv-measured">measured here</span> all</caption>'
    "<thead><tr><th>method</th><th>MiB</th></tr></thead><tbody>{}</tbody></table>"
)
EXERCISES = """## Exercises

```{exercise}
:label: ex-a
*(easy)* Which rows are needed?
```

````{solution} ex-a
:class: dropdown
The last $w$ rows:
```python
## rows
rows = w
```
And no others.
````

```{exercise}
:label: ex-b
*(hard)* A second one?
```

## Summary

A handful of queries is enough. Next: [H2O](h2o.ipynb)."""


def output(**data):
    named = {key.replace("_", "/"): value for key, value in data.items()}
    return new_output("display_data", named)


def code(*outputs, tags=()):
    return new_code_cell("x", outputs=list(outputs), metadata={"tags": list(tags)})


@pytest.fixture
def chapter():
    row = "<tr><td>SnapKV(budget=64, window=8)</td><td><a href='x.html'>1.5</a></td></tr>"
    tokens = [f'<span class="kv-dropped" title="position {i}"> w{i}</span>' for i in range(600)]
    tokens[300] = tokens[300].replace("kv-dropped", "kv-kept kv-needle")
    moving = '<div class="kv-explorer"></div><script>1</script>'
    return new_notebook(
        cells=[
            new_markdown_cell(OPENING),
            code(output(text_html="<table class='kv-table'></table>")),
            new_markdown_cell(PROBLEM),
            code(new_output("stream", text="492 tokens"), output(image_png="QUJD")),
            new_markdown_cell(FORMULA),
            code(output(text_markdown=SOURCE)),
            new_markdown_cell("## Run, and look"),
            code(output(text_html=moving)),
            code(output(text_html=f'<div class="kv-text">{"".join(tokens)}</div>')),
            new_markdown_cell("## The needle\n\nNo rule takes this."),
            code(output(image_png="REVG")),
            code(output(image_png="TUZP"), tags=["slide"]),
            new_markdown_cell("## What it costs\n\nTwo rows more. " + "Long " * 200 + "words."),
            code(output(text_html=TABLE.format(row * 12))),
            new_markdown_cell(
                "## Where it fails\n\n1. With another question. Really.\n2. Or none."
            ),
            new_markdown_cell(EXERCISES),
            code(output(image_png="R0hJ"), tags=["remove-cell"]),
        ]
    )


@pytest.fixture
def deck(chapter):
    """Slides as lists of cells."""
    slides = []
    for cell in rules.make_deck(chapter).cells:
        if cell.metadata.slideshow.slide_type == "slide":
            slides.append([])
        slides[-1].append(cell)
    return slides


def texts(deck):
    return [slide[0].source for slide in deck]


def test_the_slides_come_in_the_order_of_the_rules(deck):
    assert [one.split("\n")[0] for one in texts(deck)] == [
        "# SnapKV",
        "## The problem",
        "## The problem",
        "## The formula, and our lines",
        "## In our lines",
        "## Run, and look",
        "## The needle",
        "## What it costs",
        "## Where it fails",
        "## A question to you",
        "## The answer",
        "## To remember",
    ]


def test_a_drawing_stands_in_the_slide_with_its_words():
    drawn = '<svg><svg class="kv-wide"></svg>\n<svg class="kv-narrow" display="none"></svg></svg>'
    output = new_output("display_data", {"image/svg+xml": drawn})
    assert shown.shown_by(output, "a <map>") == in_page(drawn, "a <map>") != ""


def test_the_title_has_the_objectives(deck):
    assert texts(deck)[0].split("\n")[2:] == [
        "The question votes", "", "- compute a score from rows;", "- read a map.",
    ]  # fmt: skip


def test_a_section_begins_with_its_first_sentences_and_leads_to_its_picture(deck):
    words, picture = texts(deck)[1:3]
    assert words.split("\n")[2:] == [
        "- StreamingLLM keeps what is recent.", "- Li et al. let the question choose.",
    ]  # fmt: skip
    assert picture.endswith("\n\nHere is how:")
    assert deck[2][1].outputs[0].data["text/html"] == (
        '<img alt="Here is how:" src="data:image/png;base64,QUJD">'
    )


def test_a_picture_has_the_words_of_its_cell_for_those_who_do_not_see_it(chapter):
    chapter.cells[3].metadata["mystnb"] = {"image": {"alt": "A map."}}
    picture = next(one for one in rules.make_deck(chapter).cells if one.cell_type == "code")
    assert picture.outputs[0].data["text/html"].startswith('<img alt="A map." src=')


def test_a_formula_stands_between_its_sentences_and_the_lines_have_no_docstring(deck):
    formula, lines = texts(deck)[3:5]
    assert formula.endswith(
        "the vote is\n\n$$\ns_j = \\sum_i a_{ij}\n$$\n\nA sum over *queries*. Short."
    )
    assert lines.endswith("```python\ndef score(self):\n    return self.votes\n```")


def test_a_prompt_is_shown_around_its_needle_and_what_moves_is_left_out(deck):
    assert len(deck[5][1].outputs) == 1
    text = BeautifulSoup(deck[5][1].outputs[0].data["text/html"], "html.parser").get_text()
    assert " w300 " in text and "w10 " not in text and len(text) < shown.AROUND + 20
    assert text.startswith("… ") and text.endswith(" …")


def test_what_a_tagged_cell_shows_is_on_a_slide(deck):
    assert texts(deck)[6] == "## The needle\n\nNo rule takes this."
    assert "TUZP" in deck[6][1].outputs[0].data["text/html"]


def test_the_moving_picture_is_on_a_slide_as_it_is(chapter):
    moving = (
        '<div class="kv-explorer"><figure class="kv-stepper"></figure></div><script>a && b</script>'
    )
    chapter.cells[11].outputs = [output(text_html=moving)]
    shown_in = [
        cell.outputs[0].data["text/html"]
        for cell in rules.make_deck(chapter).cells
        if cell.cell_type == "code"
    ]
    assert moving in shown_in


def test_a_long_table_is_cut_and_says_so(deck):
    table = BeautifulSoup(deck[7][1].outputs[0].data["text/html"], "html.parser")
    rows = len(table.select("tbody tr"))
    assert 5 < rows < 12 and f"{rows} of 12 rows" in table.caption.get_text()
    assert table.td.get_text() == "SnapKV(budget=64)" and not table.a


def test_long_sentences_and_wide_tables_are_left_to_the_chapter(deck):
    assert texts(deck)[7] == "## What it costs\n\nTwo rows more."
    wide = TABLE.replace("<th>MiB</th>", "<th>MiB</th>" * shown.COLUMNS).format("")
    assert shown._page(wide, ENGLISH) == ""


def test_a_table_of_words_is_shown_too():
    prose = "Two kinds:\n\n| task | asks |\n|---|---|\n| [one](h2o.ipynb) | `why` |\n| two | how |"
    [(caption, drawn)] = shown.pictures_of(sections.Section("", [new_markdown_cell(prose)]))
    table = BeautifulSoup(drawn, "html.parser")
    assert caption == "Two kinds:" and table.code.get_text() == "why" and not table.a
    assert [one.get_text() for one in table.select("td")] == ["one", "why", "two", "how"]


def test_a_list_gives_its_items(deck):
    assert texts(deck)[8].split("\n")[2:] == ["- With another question.", "- Or none."]


def test_the_question_and_its_answer_are_two_slides(deck):
    question, answer = deck[9:11]
    assert question[0].source.endswith("\n\nWhich rows are needed?")
    assert len(question) == 1, "the notes of the question would show its answer"
    assert answer[0].source.split("\n")[2:] == [
        "- The last $w$ rows:", "- And no others.", "", "```python", "## rows", "rows = w", "```",
    ]  # fmt: skip


def test_the_notes_have_the_whole_prose_without_directives(deck):
    notes = [slide[-1].source for slide in deck if len(slide) > 1]
    assert not any(re.search(r"\{(admonition|cite)|\(vote\)|\.ipynb", one) for one in notes)
    assert "more words that only the notes have" in deck[3][-1].source
    assert deck[3][-1].metadata.slideshow.slide_type == "notes"
    assert deck[4][-1].source == deck[3][-1].source


def test_long_source_goes_on_and_short_pieces_share_a_slide():
    function = "def f():\n" + "    x\n" * 12
    section = sections.Section("", [code(*[output(text_markdown=f"```python\n{function}```")] * 2)])
    assert [one.count("\n") for one in shown.code_of(section)] == [14, 14]
    section = sections.Section(
        "", [code(output(text_markdown=f"```python\n{function}\n{function}```"))]
    )
    assert [one.count("\n") for one in shown.code_of(section)] == [14, 14]
    short = output(text_markdown="```python\nx = 1\n```")
    assert shown.code_of(sections.Section("", [code(short, short)])) == [
        "```python\nx = 1\n\nx = 1\n```"
    ]


def test_a_sentence_ends_where_it_ends():
    text = "As Li et al. Said it, e.g. Here. `x` is one. $n$ is *two*. (Three.) And 4.5 too"
    assert words.sentences(text) == [
        "As Li et al. Said it, e.g. Here.", "`x` is one.", "$n$ is *two*.", "(Three.) And 4.5 too",
    ]  # fmt: skip


def test_only_a_chapter_with_a_problem_and_exercises_has_a_deck(chapter):
    assert rules.has_deck(chapter)
    assert not rules.has_deck(new_notebook(cells=[new_markdown_cell("# Status\n\n## Times")]))


# ---- on disk ------------------------------------------------------------------------------------


@pytest.fixture
def runs(chapter, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    nbformat.write(chapter, folder / "snapkv.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Status")]), folder / "status.ipynb")
    return folder


@pytest.fixture
def page(runs, tmp_path):
    index = make_decks([], runs, tmp_path / "decks")
    assert [link["href"] for link in soup(index).select("a")] == ["snapkv.html"]
    return soup(tmp_path / "decks/snapkv.html")


def soup(path):
    return BeautifulSoup(path.read_text("utf-8"), "lxml")


def test_a_deck_has_a_section_a_slide_and_its_notes_aside(page, deck):
    slides = page.select(".slides > section > section")
    assert (
        len(slides) == len(deck) and page.title.get_text() == "SnapKV: the question votes: slides"
    )
    assert "more words" in slides[3].select_one("aside.notes").get_text()
    assert "more words" not in slides[3].select_one(".jp-MarkdownCell").get_text()
    assert slides[9]["data-kind"] == "question" and slides[2].img["src"].startswith(
        "data:image/png"
    )
    assert slides[4].select(".highlight .k"), "source is coloured"


def test_nothing_is_loaded_from_outside_and_what_is_loaded_is_there(page, tmp_path):
    loaded = [one.get("src") or one.get("href") for one in page.select("[src], link[href]")]
    beside = [one for one in loaded if not one.startswith("data:")]
    assert len(beside) == 5 and all((tmp_path / "decks" / one).is_file() for one in beside)
    style = (tmp_path / "decks/slides.css").read_text("utf-8")
    assert "url(" not in style and "@import" not in style
    assert "Permission is hereby granted" in (tmp_path / "decks/reveal/LICENSE").read_text("utf-8")
    inside = " ".join(one.get_text() for one in page.select("script, style"))
    assert not re.search(r"https?://", inside)


@pytest.mark.parametrize(
    "chapters, says",
    [
        (["snapvk"], "Did you mean 'snapkv'"),
        (["h2o"], r"not executed in .*: h2o; .* --runs kvbook-runs/h2o"),
        (["status"], "status: no chapter with a problem"),
    ],
)
def test_a_chapter_without_a_deck_is_refused(chapters, says, runs, tmp_path):
    with pytest.raises(ParameterError, match=says):
        make_decks(chapters, runs, tmp_path / "decks")
    assert not (tmp_path / "decks").exists()


@pytest.mark.parametrize("text", ['{"cells": [', '{"cells": 3}', '{"nbformat": 4}', "[]"])
def test_a_damaged_notebook_is_refused(text, runs, tmp_path):
    (runs / "snapkv.ipynb").write_text(text)
    with pytest.raises(ParameterError, match=r"snapkv\.ipynb is"):
        make_decks(["snapkv"], runs, tmp_path / "decks")


def test_the_command_says_where_the_decks_are(runs, tmp_path):
    words = ["slides", "snapkv", "--runs", str(runs), "--output", str(tmp_path / "decks")]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0 and f"{tmp_path}/decks/index.html" in done.output
