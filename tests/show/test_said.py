"""What a cell says is kept as a template and its values."""

from IPython.core.formatters import format_display_data

from kvbook.show import bullets, compare, say


def test_a_notebook_shows_the_sentence_and_keeps_its_parts():
    told = say("{n} of {all}: {why}.", n=1, all=2, why=say("{share:.0%}", share=0.5))
    data, metadata = told._repr_mimebundle_()
    assert data["text/markdown"] == data["text/plain"] == "1 of 2: 50%."
    assert metadata["kvbook"]["said"] == {
        "template": "{n} of {all}: {why}.",
        "values": {"n": 1, "all": 2, "why": {"template": "{share:.0%}", "values": {"share": 0.5}}},
    }


def test_ipython_finds_both():
    data, metadata = format_display_data(say("{n} tokens", n=3))
    assert data["text/markdown"] == "3 tokens"
    assert metadata["kvbook"]["said"]["values"] == {"n": 3}


def test_sentences_of_a_list_stay_sentences():
    told = bullets([say("One."), say("{n}.", n=2)])
    assert str(told) == "- One.\n- 2."
    assert [one["template"] for one in told.parts()["values"].values()] == ["One.", "{n}."]


def test_a_comparison_says_whether_a_difference_can_be_seen():
    assert str(compare([1.0] * 9, [0.0] * 9, 0, ".1f")) == "1.0 beside 0.0, larger"
    assert str(compare([0.0] * 9, [1.0] * 9, 0, ".1f")) == "0.0 beside 1.0, smaller"
    assert "with 4 items no difference can be seen" in str(
        compare([1, 0, 1, 0], [0, 1, 0, 1], 0, ".1f")
    )
    assert "no interval" in str(compare([1.0], [0.0], 0, ".1f"))
