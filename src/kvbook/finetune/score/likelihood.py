"""How likely a model finds the reference answers."""

from collections.abc import Sequence

import torch

from kvbook.errors import ParameterError
from kvbook.finetune.data import IGNORED, Dialogue, Encoded, encode


def reference_nll(
    model, tokenizer, dialogues: Sequence[Dialogue], *, batch_size: int = 4
) -> list[float]:
    """How unlikely a model finds each reference answer, whatever it would say itself.

    Parameters
    ----------
    model : PreTrainedModel
        Causal; evaluated without dropout, and left in the mode that it was in.
    tokenizer : PreTrainedTokenizerBase
        With a chat template.
    dialogues : sequence of Dialogue
        The last answer of each is meant, with what `kvbook.finetune.data.encode` counts to it.
    batch_size : int
        How many go through the model at once; it changes memory, not the result.

    Returns
    -------
    list of float
        Mean negative logarithm of the probability of an answer's tokens, in nats a token, from
        0 (certain); a value a dialogue. Only values of the same tokenizer compare.

    Raises
    ------
    ParameterError
        No dialogues, or no batch; see also `kvbook.finetune.data.encode`.
    """
    if not dialogues:
        raise ParameterError("there are no answers to score")
    if batch_size < 1:
        raise ParameterError(f"batch_size={batch_size}: give a number of dialogues from 1")
    rows = [encode(tokenizer, dialogue) for dialogue in dialogues]
    training = model.training
    model.eval()
    try:
        starts = range(0, len(rows), batch_size)
        return [nll for start in starts for nll in _nll(model, rows[start : start + batch_size])]
    finally:
        model.train(training)


@torch.no_grad()
def token_nll(model, ids: Sequence[int]) -> torch.Tensor:
    """Negative log-likelihood of every token but the first, in nats: ``[tokens - 1]``."""
    logits = model(torch.tensor([list(ids)], device=model.device)).logits[0, :-1]
    target = torch.tensor(list(ids[1:]), device=logits.device)
    return torch.nn.functional.cross_entropy(logits.float(), target, reduction="none").cpu()


@torch.no_grad()
def _nll(model, rows: Sequence[Encoded]) -> list[float]:
    def pad(parts: list[list[int]], value: int) -> torch.Tensor:
        # on the right: no token sees what comes after it
        tensors = [torch.tensor(part) for part in parts]
        padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
        return padded.to(model.device)

    ids, mask = pad([row.ids for row in rows], 0), pad([[1] * len(row.ids) for row in rows], 0)
    labels = pad([row.labels for row in rows], IGNORED)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return [
        torch.nn.functional.cross_entropy(here.float(), next_one, ignore_index=IGNORED).item()
        for here, next_one in zip(logits[:, :-1], labels[:, 1:], strict=True)
    ]
