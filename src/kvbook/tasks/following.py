"""Several methods read a prompt and then the same words: what each would say at every one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kvbook.engine.panel import Panel, PanelRun, PanelState
from kvbook.engine.refuse import changes_later
from kvbook.engine.run import Run
from kvbook.lm.generation import ends_of, pad_left
from kvbook.methods import create_method


@dataclass(frozen=True)
class Followed:
    """What one method would say along given words.

    Attributes
    ----------
    kept_bytes : int
        Keys and values that the prefill left of the prompt.
    logs : list of Tensor [tokens, vocabulary]
        By text, float32 log-probabilities before each of its tokens.
    """

    kept_bytes: int
    logs: list[Tensor]


def follow(
    lm,
    methods: Sequence,
    prompt: Sequence[int],
    texts: Sequence[Sequence[int]],
    question: Sequence[int] = (),
) -> list[Followed]:
    """Every method reads a prompt, then a question, if there is one, and from there each of some
    texts.

    The prompt is read once for all methods (`kvbook.engine.panel.Panel`), and each goes on with one
    copy of its row a text. One that evicts, looks back or packs while decoding reads a text token by
    token, since what it holds depends on where an input ends; the others read it in one forward,
    which gives the same.
    """
    ids = torch.tensor([list(prompt)] * len(methods))
    with Panel(methods).attach(lm.model) as run, torch.no_grad():
        first = next_logs(lm, run, ids, last=True)
        if question:
            first = next_logs(lm, run, torch.tensor([list(question)] * len(methods)), last=True)
        kept, state = [row.prompt_bytes for row in run.rows], run.snapshot()
    logs: dict[int, list[Tensor]] = {}
    for one_by_one in (False, True):
        which = [i for i, one in enumerate(methods) if changes_later(one) == one_by_one]
        if which:
            of = [methods[i] for i in which]
            rows = [i for i in which for _ in texts]
            read = _go_on(lm, of, state.pick(rows), first[rows], texts, one_by_one)
            logs |= zip(which, read, strict=True)
    return [Followed(size, logs[i]) for i, size in enumerate(kept)]


def _go_on(
    lm, methods: Sequence, state: PanelState, first: Tensor, texts, one_by_one: bool
) -> list[list[Tensor]]:
    """By method and text, the log-probabilities before each token of it.

    Parameters
    ----------
    state : PanelState
        After the prompt; a row a method and text.
    first : Tensor [rows, 1, vocabulary]
        Log-probabilities of the first token.
    """
    # shorter texts are filled up at their end: nothing that counts looks there
    ids = pad_sequence([torch.tensor(text[:-1]) for text in texts], batch_first=True).long()
    ids = ids.repeat(len(methods), 1)
    width = ids.shape[1]
    size = 1 if one_by_one else max(1, width)
    with (
        Panel([one for one in methods for _ in texts]).attach(lm.model) as run,
        torch.no_grad(),
    ):
        run.restore(state)
        steps = [next_logs(lm, run, ids[:, i : i + size]) for i in range(0, width, size)]
    logs = torch.cat([first, *steps], dim=1).unflatten(0, (len(methods), len(texts)))
    return [[row[: len(text)] for row, text in zip(of, texts, strict=True)] for of in logs]


def write_along(
    lm, methods: Sequence, prompts: Sequence[Sequence[int]], new_tokens: int
) -> tuple[Tensor, Tensor]:
    """Full KV goes on with each prompt, whether or not it would like to end, and the methods read
    along, as rows of the same batch.

    Parameters
    ----------
    methods : sequence of Method
        A row each, beside full KV's.

    Returns
    -------
    said : LongTensor [prompts, new_tokens]
        What full KV wrote.
    would : LongTensor [prompts, methods, new_tokens]
        What each method would have said in its place.
    """
    rows, ends = 1 + len(methods), ends_of(lm.model)
    said, would = [], []
    ids, mask = pad_left([prompt for prompt in prompts for _ in range(rows)])
    with Panel([create_method("fullkv"), *methods]).attach(lm.model) as run, torch.no_grad():
        for _ in range(new_tokens):
            logs = next_logs(lm, run, ids, mask, last=True).view(len(prompts), rows, -1)
            would.append(logs[:, 1:].argmax(-1))
            full = logs[:, 0]
            full[:, ends] = -torch.inf
            said.append(full.argmax(-1))
            ids, mask = said[-1].repeat_interleave(rows)[:, None], None
    return torch.stack(said, dim=-1), torch.stack(would, dim=-1)


def next_logs(
    lm, run: Run | PanelRun, ids: Tensor, mask: Tensor | None = None, last: bool = False
) -> Tensor:
    """Log-probabilities after more tokens, ``[rows, new, vocabulary]``; or after the last only."""
    device = lm.model.device
    logits = lm.model(
        ids.to(device),
        attention_mask=None if mask is None else mask.to(device),
        past_key_values=run.cache,
        logits_to_keep=int(last),
    ).logits
    return logits.float().log_softmax(-1)
