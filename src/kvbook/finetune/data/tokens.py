"""A dialogue as tokens: by the model's own chat template, and which of them are trained.

What counts for the loss is what counts in LLaMA-Factory 0.9.5 (``template: qwen3``,
``enable_thinking: false``) and in TRL 1.16 (prompt and completion): the last answer, its
end-of-turn token, and whatever the template writes behind it, which for Qwen3 is one newline.
The empty think block of a model that does not think belongs to the prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jinja2 import TemplateError
from transformers.convert_slow_tokenizer import bytes_to_unicode

from kvbook.errors import ParameterError
from kvbook.finetune.data.dialogue import Dialogue
from kvbook.lm.turns import THINKING

IGNORED = -100
"""The label of a token that does not count for the loss, as PyTorch's cross entropy has it."""


@dataclass(frozen=True)
class Encoded:
    """A dialogue as the model reads it in training.

    Attributes
    ----------
    ids, labels : list of int
        ``[tokens]`` each; a label is its own token where it counts for the loss, else -100.
    cut : bool
        Whether the end was cut off.
    """

    ids: list[int]
    labels: list[int]
    cut: bool = False

    @property
    def trained(self) -> int:
        """How many tokens count; 0 if the prompt alone fills the length."""
        return sum(label != IGNORED for label in self.labels)


def encode(tokenizer, dialogue: Dialogue, *, max_length: int | None = None) -> Encoded:
    """A dialogue by the model's own chat template, and what of it is trained.

    The prompt ends where an answer would be generated with thinking off; everything behind it is
    trained. For Qwen3 that is the answer, ``<|im_end|>`` and a newline. LLaMA-Factory trains the
    newline, because its template writes it into the answer; TRL trains it, because it trains all
    that the completion adds. The model never generates the newline, because it stops before.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        With a chat template.
    max_length : int, optional
        Most tokens; the tokens beyond are cut off at the end, as by TRL. LLaMA-Factory's
        ``cutoff_len`` also shortens the prompt.

    Raises
    ------
    ParameterError
        There is no chat template, it refuses the messages, or it renders the prompt in
        another way once an answer follows; or ``max_length`` is below 1.
    """
    if max_length is not None and max_length < 1:
        raise ParameterError(f"max_length={max_length}: give a number of tokens from 1")
    prompt = encode_prompt(tokenizer, dialogue)
    ids = _apply(tokenizer, dialogue, list(dialogue.messages))
    if ids[: len(prompt)] != prompt:
        raise ParameterError(
            f"line {dialogue.line}: the tokens of the prompt change when the answer follows; the "
            "answer may begin with white space, or the chat template may need another model's form"
        )
    labels = [IGNORED] * len(prompt) + ids[len(prompt) :]
    cut = max_length is not None and len(ids) > max_length
    return Encoded(ids[:max_length], labels[:max_length], cut)


def encode_prompt(tokenizer, dialogue: Dialogue) -> list[int]:
    """The ids of the prompt, behind which an answer is generated, with thinking off.

    Raises
    ------
    ParameterError
        There is no chat template, or it refuses the messages.
    """
    return _apply(tokenizer, dialogue, dialogue.prompt, add_generation_prompt=True)


def _apply(tokenizer, dialogue: Dialogue, messages: list[dict[str, str]], **options) -> list[int]:
    if not tokenizer.chat_template:
        raise ParameterError(
            "the tokenizer has no chat template: take an instruct model, such as 'Qwen/Qwen3-0.6B'"
        )
    try:
        return tokenizer.apply_chat_template(messages, return_dict=False, **THINKING, **options)
    except TemplateError as error:
        raise ParameterError(
            f"line {dialogue.line}: the model's chat template refuses it ({error})"
        ) from None


def count_tokens(tokenizer, texts: Sequence[str]) -> int:
    """Tokens of some texts, without any template."""
    return sum(len(ids) for ids in tokenizer(list(texts), add_special_tokens=False).input_ids)


def count_pieces(tokenizer, ids: Sequence[int]) -> int:
    """Tokens that are a piece of a character: alone they are no text."""
    return sum("\ufffd" in tokenizer.decode([token]) for token in ids)


def token_bytes(tokenizer, ids: Sequence[int]) -> list[bytes]:
    """The text of every token in UTF-8, also of tokens that are a piece of a character."""
    written = {letter: byte for byte, letter in bytes_to_unicode().items()}  # by byte-level BPE
    texts = []
    for token, letters in zip(ids, tokenizer.convert_ids_to_tokens(list(ids)), strict=True):
        if set(letters) <= set(written):
            texts.append(bytes(written[letter] for letter in letters))
        else:
            texts.append(tokenizer.decode([token]).encode())
    return texts


def length_statistics(tokenizer, dialogues: Sequence[Dialogue]) -> dict:
    """How long the rows are.

    Returns
    -------
    dict
        ``count``, and for ``prompt``, ``answer`` and ``whole``, in ``tokens`` (with those of the
        template) and in ``characters`` (without): ``min``, ``median``, ``mean``, ``p95``, ``max``.

    Raises
    ------
    ParameterError
        There are no dialogues; see also `encode`.
    """
    if not dialogues:
        raise ParameterError("there are no dialogues to measure")
    tokens, characters = [], []
    for dialogue in dialogues:
        encoded = encode(tokenizer, dialogue)
        tokens.append((len(encoded.ids) - encoded.trained, encoded.trained))
        prompt = sum(len(message["content"]) for message in dialogue.prompt)
        characters.append((prompt, len(dialogue.answer)))
    units = {"tokens": np.array(tokens), "characters": np.array(characters)}
    parts = {"prompt": [0], "answer": [1], "whole": [0, 1]}
    return {"count": len(dialogues)} | {
        part: {unit: _summary(lengths[:, columns].sum(1)) for unit, lengths in units.items()}
        for part, columns in parts.items()
    }


def _summary(lengths: np.ndarray) -> dict[str, float]:
    return {
        "min": int(lengths.min()),
        "median": float(np.median(lengths)),
        "mean": float(lengths.mean()),
        "p95": float(np.quantile(lengths, 0.95)),
        "max": int(lengths.max()),
    }
