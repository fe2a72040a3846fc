"""What a chat model answers: greedily, in batches, thinking off."""

from collections.abc import Sequence

import torch
from tqdm import tqdm

from kvbook.errors import ParameterError
from kvbook.finetune.data import Dialogue, encode_prompt
from kvbook.lm.generation import ends_of, generate_ids, generate_words
from kvbook.lm.models import LoadedModel, check_loaded


def generate_answers(
    lm: LoadedModel,
    dialogues: Sequence[Dialogue],
    *,
    max_new_tokens: int = 128,
    batch_size: int = 16,
    progress: bool = True,
) -> list[str]:
    """Answer the prompt of each dialogue; its own last answer is not read.

    Parameters
    ----------
    lm : LoadedModel
        From `kvbook.load_model`; its tokenizer needs a chat template.
    dialogues : sequence of Dialogue
        The prompts: everything before the last answer.
    max_new_tokens : int
        An answer that has not ended by then is cut.
    batch_size : int
        Prompts generated together: decoding reads the weights once for all of them. Those of
        about the same length are put together, the longest first, so that little is padded and
        memory runs out at once or never. In float32 it does not change the answers; in bfloat16
        other sums round in another way, which may turn a close choice.
    progress : bool
        Show how many are answered.

    Returns
    -------
    list of str
        In the order of ``dialogues``, up to the model's end of turn, without special tokens and
        without white space at the ends.

    Raises
    ------
    ParameterError
        A number below 1; see also `kvbook.finetune.data.encode_prompt`.
    """
    check_loaded(lm)
    for name, value in (("max_new_tokens", max_new_tokens), ("batch_size", batch_size)):
        if value < 1:
            raise ParameterError(f"{name}={value}: give at least 1")
    prompts = [encode_prompt(lm.tokenizer, dialogue) for dialogue in dialogues]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
    answers = [""] * len(prompts)
    ends = _ends(lm)
    with (
        torch.inference_mode(),
        tqdm(desc="answers", total=len(prompts), unit="answer", disable=not progress) as bar,
    ):
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            asked = [prompts[i] for i in part]
            texts = generate_words(lm, asked, max_new_tokens, eos_token_id=ends)
            for i, text in zip(part, texts, strict=True):
                answers[i] = text.strip()
            bar.update(len(part))
    return answers


def continue_text(lm: LoadedModel, text: str, *, max_new_tokens: int = 16) -> tuple[str, bool]:
    """What a model writes behind a text as it stands, greedily, without any template.

    Returns
    -------
    str
        The new words, without white space at the ends.
    bool
        Whether it ended by itself.
    """
    check_loaded(lm)
    ids, ends = lm.tokenizer(text, add_special_tokens=False).input_ids, _ends(lm)
    new = generate_ids(lm.model, [ids], max_new_tokens, eos_token_id=ends)[0]
    said = lm.tokenizer.decode(new, skip_special_tokens=True).strip()
    return said, int(new[-1]) in (ends or ())


def _ends(lm: LoadedModel) -> list[int] | None:
    """What ends a turn: the tokenizer's end token, and those of the model's configuration; None
    when neither has one."""
    own = lm.tokenizer.eos_token_id
    return sorted({*ends_of(lm.model), *([] if own is None else [own])}) or None
