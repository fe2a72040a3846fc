"""A tiny random model that reads: what a method holds after each input, as plain lists."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from kvbook.engine.attach import attach
from kvbook.engine.run import Run

Heads = list[list[int]]
"""Positions, by KV head."""


def make_tiny_model() -> nn.Module:
    """A random Llama in float32 on the CPU, the same every time: 4 layers, 4 query heads over 2 KV
    heads of 8 numbers. Its weights are large enough that attention is far from uniform."""
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        initializer_range=0.3,
        max_position_embeddings=4096,
    )
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).float().eval()


def prompt_of(length: int, model: nn.Module, seed: int = 1) -> Tensor:
    """Random tokens ``[1, length]``: of one seed, a shorter prompt is the beginning of a longer one."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(1, model.config.vocab_size, (length,), generator=draw)[None]


def tokens_of(model: nn.Module, *lengths: int) -> list[Tensor]:
    """Later inputs of so many tokens each, ``[1, length]``: 1 is a decoded token, more a turn."""
    return [prompt_of(length, model, seed=100 + i) for i, length in enumerate(lengths)]


@dataclass(frozen=True)
class Reading:
    """What a prompt and the inputs after it left.

    Attributes
    ----------
    logits : list of Tensor [batch, vocabulary]
        After the prompt, and after each later input.
    inputs : list of list of list of int
        By layer and row, the prompt positions that the layer read.
    held : list of list of list of Heads
        After the prompt and after each later input, by layer and row, the positions held.
    """

    logits: list[Tensor]
    inputs: list[list[list[int]]]
    held: list[list[list[Heads]]]

    def row(self, row: int) -> "Reading":
        """One row of the batch, as if it had been alone."""
        return Reading(
            [one[row : row + 1] for one in self.logits],
            [[layer[row]] for layer in self.inputs],
            [[[layer[row]] for layer in held] for held in self.held],
        )


def read(
    method, model: nn.Module, prompts: Sequence[Tensor], later: Sequence[Tensor] = ()
) -> Reading:
    """Attach a method, and read prompts with it, and what comes after them.

    Parameters
    ----------
    prompts : sequence of LongTensor [1, length]
        A row of a left-padded batch each.
    later : sequence of LongTensor [1, new]
        The same for all rows.
    """
    with attach(method, model) as run:
        return read_on(run, prompts, later)


def read_on(run: Run, prompts: Sequence[Tensor], later: Sequence[Tensor] = ()) -> Reading:
    """The same under an attach."""
    inputs, mask = left_pad(prompts)
    logits: list[Tensor] = []
    held: list[list[list[Heads]]] = []
    for new in (inputs, *(one.expand(len(prompts), -1) for one in later)):
        if held:
            mask = torch.cat((mask, torch.ones_like(new)), dim=1)
        cache = run.cache if held else None
        output = run.model(new, attention_mask=mask, past_key_values=cache)
        logits.append(output.logits[:, -1])
        now = [layer.positions for layer in run.cache.layers] if held else run.kept_positions
        held.append([_rows(layer, run) for layer in now])
    read_by = [_rows(layer[:, None], run) for layer in run.layer_inputs]
    return Reading(logits, [[row[0] for row in layer] for layer in read_by], held)


def _rows(positions: Tensor, run: Run) -> list[Heads]:
    """Positions ``[batch, heads or 1, entries]`` by row and KV head, without padding."""
    heads = run.model.config.num_key_value_heads
    rows = positions.expand(-1, heads, -1).tolist()
    return [[[one for one in head if one >= 0] for head in row] for row in rows]


def left_pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Prompts ``[1, length]`` as a batch ``[batch, longest]``, and its attention mask."""
    width = max(row.shape[1] for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, width - row.shape[1] :], mask[i, width - row.shape[1] :] = row[0], 1
    return ids, mask


def heads_of(held: list[list[Heads]]) -> Iterator[tuple[int, int, list[int]]]:
    """Layer, KV head and positions of all that one row holds."""
    for layer, rows in enumerate(held):
        for head, positions in enumerate(rows[0]):
            yield layer, head, positions
