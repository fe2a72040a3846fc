"""Several methods asked together: each says and keeps what it does alone."""

from types import SimpleNamespace

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.commands.grid import make_grid
from kvbook.errors import ParameterError
from kvbook.lm.generation import generate_words
from kvbook.methods import METHODS, Method
from kvbook.tasks.together import FirstLine, answer_together

TEXTS = ("Question: ", "x" * 40, "def f(x):\n    return", "y\n" * 30)


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")


@pytest.fixture(scope="module")
def prompts(lm):
    return [lm.tokenizer(text).input_ids for text in TEXTS]


@pytest.fixture(scope="module")
def methods():
    """Every method, at a budget that most prompts exceed, and one twice."""
    every = make_grid(list(METHODS), budgets=["16"]).methods
    return [*every, create_method("snapkv", budget=9, window=4)]


READ = []


class Counting(Method):
    """Full KV that writes down the length of every prompt that a layer reads."""

    def keep(self, seen):
        if seen.layer == 0:
            READ.append(seen.prompt_length)


@pytest.mark.parametrize("rows", [1, 10, 100])
def test_together_is_alone(rows, lm, methods, prompts):
    together = answer_together(lm, methods, prompts, 12, rows=rows)
    for method, answers in zip(methods, together, strict=True):
        for prompt, answer in zip(prompts, answers, strict=True):
            with method.attach(lm.model) as run:
                [words] = generate_words(lm, [prompt], 12)
            assert (answer.words, answer.kept_bytes) == (words, run.prompt_bytes), str(method)


@pytest.fixture(scope="module")
def questions(lm):
    return [lm.tokenizer(text).input_ids for text in ("Who?", "And then what?", "n", "z = ")]


@pytest.mark.parametrize("rows", [1, 100])
def test_a_question_after_is_the_next_input_of_a_method_alone(
    rows, lm, methods, prompts, questions
):
    together = answer_together(lm, methods, prompts, 12, questions=questions, rows=rows)
    for method, answers in zip(methods, together, strict=True):
        for prompt, question, answer in zip(prompts, questions, answers, strict=True):
            with method.attach(lm.model) as run, torch.no_grad():
                lm.model(torch.tensor([prompt]))
                kept = run.prompt_bytes
                [words] = generate_words(lm, [prompt + question], 12, past_key_values=run.cache)
            assert (answer.words, answer.kept_bytes) == (words, kept), str(method)


def test_what_drops_nothing_says_the_same_before_and_after(lm, prompts, questions):
    full = [create_method("fullkv")]
    whole = [prompt + question for prompt, question in zip(prompts, questions, strict=True)]
    [before] = answer_together(lm, full, whole, 12)
    [after] = answer_together(lm, full, prompts, 12, questions=questions)
    assert [one.words for one in after] == [one.words for one in before]


def test_questions_on_one_text_share_its_reading(lm, prompts, questions):
    READ.clear()
    one, other = prompts[1], prompts[3]
    [answers] = answer_together(lm, [Counting()], [one, other, one], 3, questions=questions[:3])
    assert sorted(READ) == sorted([len(one), len(other)])
    [[alone]] = answer_together(lm, [Counting()], [one], 3, questions=questions[2:3])
    assert answers[2] == alone


@pytest.mark.parametrize("given", [[], [[1]], [[1], [2], [3], []]])
def test_every_prompt_has_a_question_or_none_has(lm, prompts, given):
    with pytest.raises(ParameterError, match="give every prompt a question"):
        answer_together(lm, [create_method("fullkv")], prompts, 2, questions=given)


def test_an_answer_that_ended_is_not_extended(lm, prompts, monkeypatch):
    """The end of a turn is a letter that the answers say sooner or later."""
    said = [generate_words(lm, [prompt], 24)[0] for prompt in prompts]
    letter = said[0][4]
    monkeypatch.setattr(
        lm.model.generation_config, "eos_token_id", lm.tokenizer(letter).input_ids[0]
    )
    fullkv, snapkv = create_method("fullkv"), create_method("snapkv", budget=8, window=4)
    full, _ = answer_together(lm, [fullkv, snapkv], prompts, 24)
    assert [one.words.rstrip(letter) for one in full] == [one.split(letter)[0] for one in said]
    assert len({len(one.words) for one in full}) > 1


def test_a_prompt_is_read_once_for_all(lm, prompts, monkeypatch):
    READ.clear()
    widths, forward = [], lm.model.base_model.layers[0].forward
    monkeypatch.setattr(
        lm.model.base_model.layers[0],
        "forward",
        lambda hidden, *args, **more: (
            widths.append(hidden.shape[:2]) or forward(hidden, *args, **more)
        ),
    )
    answer_together(lm, [Counting(), create_method("fullkv"), Counting()], prompts, 3)
    assert [tuple(width) for width in widths[: len(prompts)]] == [(1, len(one)) for one in prompts]
    assert [tuple(width) for width in widths[len(prompts) :]] == [(3 * len(prompts), 1)] * 2
    assert sorted(READ) == sorted(2 * [len(one) for one in prompts])


def test_about_so_many_rows_are_decoded_at_once(lm, prompts, monkeypatch):
    widths, forward = [], lm.model.forward
    monkeypatch.setattr(
        lm.model,
        "forward",
        lambda *args, **more: widths.append(more["input_ids"].shape[0]) or forward(*args, **more),
    )
    answer_together(lm, [create_method("fullkv")] * 2, prompts, 2, rows=6)
    assert set(widths) == {6, 2}


def test_a_first_line_ends_an_answer(lm):
    rows = ["\n\nab", "a\nbc", "abcd"]  # four tokens each, of a byte
    ids = torch.tensor([[5, 5, *lm.tokenizer(row).input_ids] for row in rows])
    assert FirstLine(lm.tokenizer, 2)(ids, None).tolist() == [False, True, False]


class Lines:
    """A tokenizer that ends a line where another one says an underscore."""

    def __init__(self, other):
        self.other = other

    def __getattr__(self, name):
        return getattr(self.other, name)

    def batch_decode(self, ids, **options):
        return [text.replace("_", "\n") for text in self.other.batch_decode(ids, **options)]


def test_generation_stops_behind_the_first_line_of_each_answer(lm):
    lines = SimpleNamespace(model=lm.model, tokenizer=Lines(lm.tokenizer))
    prompts = [lm.tokenizer(text).input_ids for text in ("Question: ", "x\n")]
    full = [create_method("fullkv")]
    [whole] = answer_together(lines, full, prompts, 40)
    [first] = answer_together(lines, full, prompts, 40, first_line=True)
    whole, first = ([one.words for one in answers] for answers in (whole, first))
    assert all(said.count("\n") > 1 and len(said) == 40 for said in whole)
    assert first == [said[: said.index("\n") + 1] for said in whole]


def test_bytes_are_those_of_the_entries_without_padding(lm, prompts):
    config = lm.model.config
    entry = config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 2 * 4
    full, snap = answer_together(
        lm, [create_method("fullkv"), create_method("snapkv", budget=8, window=4)], prompts, 2
    )
    assert [one.kept_bytes for one in full] == [entry * len(prompt) for prompt in prompts]
    assert [one.kept_bytes for one in snap] == [entry * 8] * len(prompts)


@pytest.mark.parametrize("given", [{"new_tokens": 0}, {"rows": 0}])
def test_less_than_one_is_refused(given, lm, prompts):
    name = next(iter(given))
    with pytest.raises(ParameterError, match=f"{name}=0: give at least 1"):
        answer_together(lm, [create_method("fullkv")], prompts, **({"new_tokens": 2} | given))


def test_an_empty_prompt_is_refused(lm, prompts):
    with pytest.raises(ParameterError, match="a prompt is empty"):
        answer_together(lm, [create_method("fullkv")], [*prompts, []], 2)
