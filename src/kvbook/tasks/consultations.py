"""Consultations: fine-tuning data as a conversation that is longer than its last question needs."""

from collections.abc import Sequence

from kvbook.finetune.data import Dialogue
from kvbook.lm.models import LoadedModel, check_loaded
from kvbook.lm.turns import render
from kvbook.tasks.fidelity import Probe, make_probe

TURNS = 4
"""Questions in a consultation."""


def make_consultation(lm: LoadedModel, dialogues: Sequence[Dialogue], number: int) -> Probe:
    """Three rows with their answers, and a fourth; its answer's first tokens are the right ones.

    Parameters
    ----------
    lm : LoadedModel
        Its tokenizer needs a chat template.
    dialogues : sequence of Dialogue
        The rows, which are taken in turn, and from the first again when there are no more.
    number : int
        Which consultation, from 0: rows ``4 * number`` and the three behind it.
    """
    check_loaded(lm)
    rows = [dialogues[(TURNS * number + i) % len(dialogues)] for i in range(TURNS)]
    *before, answer = [message for row in rows for message in row.messages]
    prompt = render(lm.tokenizer, before, add_generation_prompt=True)
    ids = lm.tokenizer(prompt, add_special_tokens=False).input_ids
    right = lm.tokenizer(answer["content"], add_special_tokens=False).input_ids[:24]
    return make_probe(lm, f"consultation {number}", ids, right, new_tokens=8)
