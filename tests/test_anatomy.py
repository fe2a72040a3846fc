"""Every chapter is built alike: a reader who knows one finds the way in all."""

import re
from itertools import pairwise

import pytest
from pages import PAGES, cells, markdown, without_code

SECTIONS = {
    "the problem": r"## The problem\b",
    "the formula": r"## The (formula|idea|protocol)\b",
    "run, and look": r"## Run\b",
    "what it costs": r"## What it costs\b",
    "where it fails": r"## Where it fails\b",
    "paper and code": r"## Paper and code\b",
    "exercises": r"## Exercises$",
    "summary": r"## Summary$",
}
WITHOUT = {
    (
        "introduction",
        "run, and look",
    ): "it has no method yet; its cells run from the first section on",
    ("introduction", "what it costs"): "cost is the subject of the whole chapter",
    ("introduction", "where it fails"): "there is no method yet that could fail",
    ("introduction", "paper and code"): "there is no method yet",
    ("fullkv", "run, and look"): "it attaches in the first section, and then asks: is it the same?",
    ("families", "the formula"): "it compares; every formula is in the chapter of its method",
    ("families", "run, and look"): "one prompt runs through all methods: one prompt, one budget",
    ("families", "what it costs"): "it is part of: what each keeps, and what it saves",
    (
        "families",
        "paper and code",
    ): "it has none of its own; cutting fairly speaks of published code",
    ("profiling", "run, and look"): "it measures: how to measure, so that it means something",
    ("lora", "run, and look"): "it trains, and then looks: what happened to a matrix",
    ("bertscore", "run, and look"): "it scores: before and after",
}
"""Sections that a chapter has not, and why."""

CHAPTERS = pytest.mark.parametrize("name", PAGES)


def opening(name):
    return cells(name)[0]["source"]


def headings(name):
    return re.findall(r"^#{1,6} .+$", without_code(markdown(name)), re.M)


@CHAPTERS
def test_a_chapter_begins_with_its_one_title(name):
    assert opening(name).startswith("# ")
    assert [one for one in headings(name) if one.startswith("# ")] == [headings(name)[0]]


@CHAPTERS
def test_the_objectives_are_a_list_right_under_the_title(name):
    assert re.match(
        r"# .+\n\n```\{admonition\} Objectives\n:class: tip\nAfter this chapter you can\n1\. ",
        opening(name),
    )


@CHAPTERS
def test_the_prerequisites_say_how_much_each_matters(name):
    table = opening(name).split("| Prerequisites | importance | notes |\n|---|---|---|\n")[1]
    rows = table.split("\n\n")[0].splitlines()
    assert {row.split("|")[2].strip() for row in rows} <= {"necessary", "helpful", "not needed"}


@CHAPTERS
def test_a_line_says_how_long_it_takes_and_on_what(name):
    assert re.search(r"^\*\*Time:\*\* \d+ minutes.*\*\*Hardware:\*\* \w", opening(name), re.M)


@pytest.mark.parametrize("section", SECTIONS)
@CHAPTERS
def test_a_chapter_has_the_common_sections_or_a_reason(name, section):
    has = any(re.match(SECTIONS[section], one) for one in headings(name))
    assert has == ((name, section) not in WITHOUT)


@CHAPTERS
def test_a_chapter_goes_from_the_problem_to_the_summary(name):
    sections = [one for one in headings(name) if one.startswith("## ")]
    assert sections[0].startswith("## The problem")
    assert sections[-2:] == ["## Exercises", "## Summary"]


@CHAPTERS
def test_no_level_of_headings_is_skipped(name):
    depths = [len(one.split()[0]) for one in headings(name)]
    assert all(after <= before + 1 for before, after in pairwise(depths))


@CHAPTERS
def test_a_chapter_shows_lines_of_the_package(name):
    assert any("show.source(" in cell["source"] for cell in cells(name, "code"))


@CHAPTERS
def test_parameters_come_before_all_other_code(name):
    assert "parameters" in cells(name, "code")[0]["metadata"]["tags"]


@CHAPTERS
def test_a_chapter_saves_its_results_last(name):
    assert re.match(rf'results\.save\(\s*"{name}"', cells(name)[-1]["source"])


@CHAPTERS
def test_every_cell_can_be_named(name):
    ids = [cell["id"] for cell in cells(name)]
    assert len(set(ids)) == len(ids)
