"""What `laws.check` prints and returns, and what it refuses."""

import pytest
import torch
from pydantic.dataclasses import dataclass

from kvbook import create_method, laws
from kvbook.errors import ParameterError
from kvbook.fields import Budget
from kvbook.laws.law import CounterExample
from kvbook.methods import Method, SnapKV
from kvbook.methods.base import STRICT


@dataclass(frozen=True, config=STRICT)
class Answers(Method, listed=False):
    """Answers with whatever a test gives it."""

    budget: Budget

    def keep(self, seen):
        return type(self).answer(seen) if seen.layer == 1 else None


def answering(answer):
    return type("Answers", (Answers,), {"answer": staticmethod(answer)}, listed=False)


@pytest.mark.parametrize(
    "answer, expected, found",
    [
        (lambda seen: [0, 1], "a LongTensor [kv_heads or 1, kept]", "something of type list"),
        (
            lambda seen: seen.keys[..., 0],
            "a LongTensor [kv_heads or 1, kept]",
            "a tensor of torch.float32",
        ),
        (lambda seen: torch.arange(3), "a LongTensor [kv_heads or 1, kept]", "one of shape [3]"),
        (
            lambda seen: torch.arange(9).view(3, 3),
            "a LongTensor [kv_heads or 1, kept]",
            "one of shape [3, 3]",
        ),
        (lambda seen: torch.tensor([[0, 99]]), "indices from 0 to 0", "index 99"),
        (lambda seen: torch.tensor([[-1, 0]]), "indices from 0 to 0", "index -1"),
        (lambda seen: torch.tensor([[0, 0]]), "indices that ascend", "index 0 after index 0"),
    ],
)
def test_an_answer_that_is_no_index_is_named(answer, expected, found):
    example = laws.check(answering(answer), budget=1)["indices"].counter_example
    assert example.layer == 1 and not example.raised
    assert (example.expected, example.found) == (expected, found), example


def test_what_goes_deeper_has_the_last_token_in_it():
    class Forgets(Method, listed=False):
        def pass_on(self, seen):
            return torch.arange(seen.entries - 1) if seen.layer == 2 and seen.entries > 1 else None

    example = laws.check(Forgets())["indices"].counter_example
    assert (example.length, example.layer, example.head) == (2, 2, None)
    assert example.expected == "the last token, index 1"
    assert (example.found, example.when) == ("index 0 as the last", "in `pass_on` after 2 tokens")


def test_an_error_is_a_counter_example_with_its_message_and_place():
    def fail(seen):
        raise KeyError("scores")

    row = laws.check(answering(fail))["holds_budget"]
    line = fail.__code__.co_firstlineno + 1
    assert row.verdict == "fails" and row.counter_example.layer == 1
    assert row.counter_example.found == f"KeyError: 'scores' (`fail`, line {line})"


def test_what_is_printed_is_what_is_returned(capsys):
    report = laws.check(SnapKV)
    assert capsys.readouterr().out == f"{report}\n"
    assert "pass            a budget that holds the prompt is FullKV\n" in str(report)


def test_a_counter_example_reads_as_a_sentence():
    found = CounterExample(
        6, 5, "kept, as by FullKV", "dropped", "after 1 more input", 2, 0, position=3
    )
    assert str(found) == (
        "a prompt of 6 tokens, budget 5, layer 2, head 0, position 3, after 1 more input: "
        "expected kept, as by FullKV, found dropped"
    )


def test_the_other_parameters_of_a_method_stay():
    method = create_method("snapkv", budget=256, window=3)
    assert "SnapKV(budget=256, window=3" in laws.check(method).subject


def test_a_class_that_takes_no_fraction_is_told_so():
    @dataclass(frozen=True, config=STRICT)
    class Counts(SnapKV, listed=False):
        budget: int

    row = laws.check(Counts)["fraction"]
    assert row.verdict == "does not apply" and "never a fraction" in row.reason


@pytest.mark.parametrize("given", ["snapkv", None, 3, dict, Method], ids=str)
def test_what_is_no_method_is_refused(given):
    with pytest.raises(ParameterError, match="a method, or a class of one is wanted"):
        laws.check(given)


@pytest.mark.parametrize("budget", [0, -1, 1.5, True, "12"])
def test_what_is_no_budget_is_refused(budget):
    with pytest.raises(ParameterError, match="give entries, such as 12, or a fraction"):
        laws.check(SnapKV, budget)


def test_a_class_that_cannot_be_made_says_what_to_give():
    @dataclass(frozen=True, config=STRICT)
    class Needy(Method, listed=False):
        budget: Budget
        window: int

    with pytest.raises(ParameterError, match=r"Needy\(budget=12\) cannot be made .*window"):
        laws.check(Needy)
