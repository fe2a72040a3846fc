"""A tokenizer that names neither a padding token nor an end token: all that does not train works."""

import pytest
from finetune.rows import asks
from transformers import PreTrainedTokenizerFast

from kvbook import create_method, load_model
from kvbook.chat import Chat
from kvbook.finetune.answers import continue_text, generate_answers
from kvbook.finetune.score import reference_nll
from kvbook.lm.models import LoadedModel
from kvbook.places import place
from kvbook.tasks.conversations import make_conversations, recall
from kvbook.tasks.fidelity import agreements, make_probe
from kvbook.tasks.needle import ask_grid
from kvbook.tasks.together import answer_together


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """With an end token, which the model does not say in so few tokens."""
    folder = tmp_path_factory.mktemp("models") / "named"
    lm = load_model("tiny-random", dtype="float32", device="cpu")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return load_model(folder, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "bare"
    lm = load_model("tiny-random", dtype="float32", device="cpu")
    for one in (lm.model.generation_config, lm.model.config):
        one.eos_token_id = one.pad_token_id = None
    lm.model.save_pretrained(folder)
    words, template = lm.tokenizer.backend_tokenizer, lm.tokenizer.chat_template
    made = PreTrainedTokenizerFast(tokenizer_object=words, chat_template=template)
    made.save_pretrained(folder)
    lm = load_model(folder, dtype="float32", device="cpu")
    assert lm.tokenizer.pad_token_id is lm.tokenizer.eos_token_id is None
    return lm


def talk(lm: LoadedModel):
    method = create_method("summarykv", budget=96, segment=32, summary_tokens=16)
    with Chat(lm, method) as chat:
        return [chat.say("Hello there, and more of it.", max_new_tokens=9) for _ in range(3)]


def prompts(lm):
    return [lm.tokenizer(text).input_ids for text in ("Question: ", "And: ")]


USES = {
    "a batch of unequal prompts": lambda lm: answer_together(
        lm, [create_method("snapkv", budget=8, window=2)], prompts(lm), 6
    ),
    "first lines": lambda lm: answer_together(
        lm, [create_method("fullkv")], prompts(lm), 6, first_line=True
    ),
    "needles": lambda lm: ask_grid(lm, create_method("h2o", budget=80), place("data"), [400], 2),
    "a probe": lambda lm: make_probe(lm, "a", prompts(lm)[0], [5], 6).continuation,
    "agreement": lambda lm: agreements(lm, {"h2o": create_method("h2o", budget=8)}, ["abc abc"], 5),
    "recall": lambda lm: recall(
        lm, {"h2o": create_method("h2o", budget=80)}, make_conversations(1, turns=4, facts=1)
    )["h2o"][0],
    "a chat": talk,
    "answers": lambda lm: generate_answers(
        lm, asks("a cough", "a longer one"), max_new_tokens=6, progress=False
    ),
    "a text that goes on": lambda lm: continue_text(lm, "abc", max_new_tokens=6),
    "the loss of answers": lambda lm: reference_nll(lm.model, lm.tokenizer, asks("a", "b c")),
}


@pytest.mark.parametrize("use", USES)
def test_it_gives_what_a_tokenizer_with_both_gives(bare, named, use):
    assert USES[use](bare) == USES[use](named)
