"""What a chat template writes for one turn, for a cache that holds the turns before.

A template is made to write a whole conversation anew. A cache is not: it has read the earlier
turns, and reads on. So a later turn's text is what the template writes behind an answer. (Some
templates also rewrite earlier answers, as Qwen3's, which takes their thoughts out; what a
cache has read stays as it was.)
"""

THINKING = {"enable_thinking": False}
"""For every chat template; those that know nothing of thinking ignore it."""
MARK = "@@answer@@"
"""Stands for an answer, to find what the template writes behind it."""


def render(tokenizer, messages: list[dict[str, str]], **options) -> str:
    """The template's text for ``messages``, thinking off unless ``options`` say otherwise."""
    return tokenizer.apply_chat_template(messages, tokenize=False, **THINKING | options)


def first_turn(tokenizer, text: str) -> str:
    """A conversation that begins with the user's ``text``, up to where the answer begins."""
    return render(tokenizer, [{"role": "user", "content": text}], add_generation_prompt=True)


def behind_answer(tokenizer) -> str:
    """What ends an answer, whether it is the last one or not: ``<|im_end|>`` and a newline, for
    example."""
    end, later = _behind(tokenizer), _behind(tokenizer, "|")
    while not (later.startswith(end) and _parts(tokenizer, later, len(end))):
        end = end[:-1]
    return end


def later_turn(tokenizer, text: str) -> str:
    """What comes behind an answer and its end when the user says ``text``, up to where the next
    answer begins."""
    return _behind(tokenizer, text)[len(behind_answer(tokenizer)) :]


def _parts(tokenizer, text: str, at: int) -> bool:
    """Whether a text may be read in two parts: no token goes across."""
    whole, first, second = (
        tokenizer(part, add_special_tokens=False).input_ids for part in (text, text[:at], text[at:])
    )
    return whole == first + second


def _behind(tokenizer, *said: str) -> str:
    messages = [{"role": "user", "content": "|"}, {"role": "assistant", "content": MARK}]
    messages += [{"role": "user", "content": text} for text in said]
    return render(tokenizer, messages, add_generation_prompt=bool(said)).split(MARK, 1)[1]
