"""No number in the prose is typed in: what was measured comes out of a cell, what a source says is cited.
And what other people's code does, which changes, is said with the month in which it was read.

A number looks measured when it is a decimal, a percentage, one of so many, or counts times, seconds,
bytes, points or operations; in words from ten on, and fractions behind "about". Formulas, code, exercises (whose
numbers are their own), versions, sections and the line with the reading time are left out.
"""

import ast
import re

import pytest
from pages import cells, without_code

from kvbook.chapters.page import FENCE
from kvbook.chapters.registry import CHAPTERS
from kvbook.places import PACKAGE, place

WORDS = (
    "ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|hundreds?|thousands?|tens|dozens?"
)
UNITS = "%|per cent|percent|times|m?s|seconds?|minutes?|hours?|[KMGT]i?B|points|[GMT]?FLOPs?"
PARTS = "half|thirds?|quarters?|fifths?|tenths?"
MEASURED = re.compile(
    rf"(?<![\w.-])\d[\d,.]*[  -]?(?:{UNITS})(?!\w)"
    rf"|\b(?:{WORDS})(?:(?: of)?[ -](?:{UNITS})(?!\w)|fold\b)"
    rf"|(?:about|nearly|almost) (?:an? |one |two |three )?(?:{PARTS})\b"
    r"|(?<![\w.-])\d+\.\d+(?![\w.]*\w)"
    r"|\b\d+ (?:of|out of) \d+",
    re.I,
)
LEFT_OUT = [
    r"\$\$.*?\$\$(?: \([\w-]+\))?",
    r"\$[^$\n]+\$",
    r"\{[\w:]+\}`[^`]*`",
    r"`[^`\n]*`",
    r"\]\([^)]*\)",
    r"^:[\w-]+:.*$",  # options of a directive
    r"^\*\*Time:\*\*.*$",
    r"\b[A-Z]\w*(?:-\w+)*-\d+\.\d\w*",  # names of models: Qwen3-0.6B
    r"\b(?:versions?|sections?|figures?|as of|Python|CC BY) \d+(?:\.\d+)+(?: and \d+(?:\.\d+)+)?",
    r"95 %",  # the one level of all intervals
]
CITED = {
    ("fastkv", "15 of 32"): "the FastKV paper's TSP layer",
    ("families", "10 %"): "what somebody might say, in quotes",
    ("families", "ten per cent"): "the question about it",
    ("evaluation", "ten per cent"): "the protocol that is discussed",
    ("evaluation", "10 %"): "the same, and an example worked out in the sentence",
    ("evaluation", "20 %"): "FastKV's default share",
    ("profiling", "10 %"): "the default budget",
    ("lora", "ten times"): "a rule of thumb, not of this book",
    ("show/bertscore.py", "eleven per cent"): "the report's 0.63 and 0.70, put as people put it",
    ("chapters/evidence.py", "ten times"): "what was done to the dose, not what came of it",
    ("chapters/expected.py", "ten times"): "the same",
    ("bertscore", "eleven per cent"): "the same gain, in the chapter's own words",
    ("conclusions", "eleven per cent"): "the same gain",
}
"""What looks measured and is not, with the reason."""


ELSEWHERE = re.compile(
    r"(?:authors'|published|official) codes?\b|benchmark harness|KVCache-Factory"
)
"""Words about code that is not ours."""
MONTH = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December) 20\d\d"
)


def undated(text):
    """Paragraphs about other people's code that do not say when it was read."""
    return [one for one in text.split("\n\n") if ELSEWHERE.search(one) and not MONTH.search(one)]


def looks_measured(text):
    """The numbers of a text that somebody may have typed in."""
    text = FENCE.sub(lambda one: "" if one[2] in ("exercise", "solution") else one[0], text)
    text = without_code(text)
    for pattern in LEFT_OUT:
        text = re.sub(pattern, "…", text, flags=re.M | re.S)
    found = [one for one in MEASURED.finditer(text) if not text[one.end() :].startswith(" …")]
    return [one[0].lower() for one in found]


def spoken(source):
    """What a code cell says by `Markdown`, without the values that are filled in."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Markdown":
            filled = [one for one in ast.walk(call) if isinstance(one, ast.FormattedValue)]
            inside = {id(part) for one in filled for part in ast.walk(one)}
            parts = [one for one in ast.walk(call) if isinstance(one, ast.Constant)]
            yield "…".join(str(one.value) for one in parts if id(one) not in inside)


def written(source):
    """The texts of a module but its docstrings, without the values that are filled in: those of two
    words and more, for colours and formats are no prose."""
    tree = ast.parse(source)
    docstrings = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    filled = [one for one in ast.walk(tree) if isinstance(one, ast.JoinedStr)]
    inside = {id(part) for one in filled for part in ast.walk(one)} - {id(one) for one in filled}
    for one in ast.walk(tree):
        if id(one) in docstrings | inside:
            continue
        parts = one.values if isinstance(one, ast.JoinedStr) else [one]
        texts = [part.value if isinstance(part, ast.Constant) else "…" for part in parts]
        text = re.sub(r"\w+=\S+", "…", "".join(map(str, texts)))  # a parameter is no measurement
        if len(re.findall(r"[^\W\d_]{2,}", text)) > 1:
            yield text


TEXTS = [(name, cell["source"]) for name in CHAPTERS for cell in cells(name, "markdown")]
TEXTS += [
    (name, said)
    for name in CHAPTERS
    for cell in cells(name, "code")
    for said in spoken(cell["source"])
]
TEXTS += [
    (path.relative_to(PACKAGE).as_posix(), text)
    for room in ("show", "chapters")
    for path in sorted((PACKAGE / room).rglob("*.py"))
    for text in written(path.read_text(encoding="utf-8"))
]
TEXTS += [(path.stem, path.read_text(encoding="utf-8")) for path in place("book").glob("*.md")]
FOUND = [(name, number) for name, text in TEXTS for number in looks_measured(text)]


@pytest.mark.parametrize("name", sorted({name for name, _ in TEXTS}))
def test_no_number_in_the_prose_is_typed_in(name):
    typed = [number for page, number in FOUND if page == name and (name, number) not in CITED]
    assert not typed, "let a cell compute it, or say it without a number"


def test_nothing_is_excused_that_is_not_there():
    assert not CITED.keys() - set(FOUND)


@pytest.mark.parametrize("name", sorted({name for name, _ in TEXTS}))
def test_what_other_peoples_code_does_has_a_date(name):
    assert not [one for page, text in TEXTS if page == name for one in undated(text)]


def test_a_paragraph_without_a_date_is_noticed():
    said = "The authors' code, read in May 2026, does it.\n\nThe published code does not."
    assert undated(said) == ["The published code does not."]


def test_the_sentences_of_a_module_are_read_and_its_docstrings_are_not():
    source = '''
def sentence(gain):
    """The gain was 0.5."""
    colour = "rgba(1,2,3,0.35)"
    text = f"The gain is {gain:.2f}, which " + "was 0.07 before."
    return Markdown(text)
'''
    texts = list(written(source))
    assert texts == ["The gain is …, which ", "was 0.07 before."]
    assert [looks_measured(text) for text in texts] == [[], ["0.07"]]


@pytest.mark.parametrize(
    "text, number",
    [
        ("It is 1.8 times as fast.", "1.8 times"),
        ("half of it, 46 %, is", "46 %"),
        ("It takes 3 seconds.", "3 seconds"),
        ("found 7 of 10", "7 of 10"),
        ("a gain of 0.07", "0.07"),
        ("forty times faster", "forty times"),
        ("It takes about half.", "about half"),
        ("19 GB of memory", "19 gb"),
    ],
)
def test_a_number_that_looks_measured_is_noticed(text, number):
    assert looks_measured(text) == [number]


@pytest.mark.parametrize(
    "text",
    [
        "With $m = 0.5$ and `0.25`, four times $d$.",
        "Qwen3-0.6B has 28 layers; SmolLM2-135M has 30.",
        "Intervals are 95 %; see section 2.2 and version 0.9.5.",
        "```{exercise}\n:label: x\nA has 0.5.\n```",
        "Two families, three panels, the last 8 x 8 block.",
    ],
)
def test_a_number_that_is_no_measurement_is_let_be(text):
    assert looks_measured(text) == []
