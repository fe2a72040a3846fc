"""A model by naive dense arithmetic in float64: slow, plain, and independent of the engine.

A layer's cache is, per KV head, a list of entries ``(position, key before RoPE, value)``; RoPE is
applied when a query looks at an entry. Nothing here calls the rest of `kvbook`.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x [..., size]`` divided by the root of its mean square, times ``weight [size]``."""
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rope(x: Tensor, position: int, inv_freq: Tensor) -> Tensor:
    """``x [head_dim]`` turned to its position (half-split layout)."""
    half = x.shape[-1] // 2
    cos, sin = torch.cos(position * inv_freq), torch.sin(position * inv_freq)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Naive:
    """One sequence through a tiny Llama, Qwen or Mistral, one token and one head at a time.

    Parameters
    ----------
    model : nn.Module
        Its weights are copied to float64.
    policy : object, optional
        What is kept, one of `kvbook.laws.naive_rules`: with ``after_prompt(layer, weights)`` and
        ``after_token(layer, weights)``, per KV head the indices to keep, or None; and with
        ``pass_on(layer, weights)``, the inputs that go on to the next layer, or None.
        ``weights [heads, new, entries]`` is the dense attention matrix.
    slots : bool
        RoPE by the place in the list, and not by the position in the prompt.

    Attributes
    ----------
    layers : list of list of list
        By layer and KV head, the entries.
    inputs : list of list of int
        By layer, the prompt positions that it read.
    kept : list of list of list of int
        By layer and KV head, the positions that the prefill left.
    queries : dict of int to list of Tensor [new, head_dim]
        By layer, each query head's newest queries after RoPE.
    """

    def __init__(self, model: nn.Module, policy: Any = None, slots: bool = False):
        self.config, self.policy, self.slots = model.config, policy, slots
        self.w = {name: p.detach().double() for name, p in model.state_dict().items()}
        self.inv_freq = model.model.rotary_emb.inv_freq.double()
        self.layers: list[list[list]] = [
            [[] for _ in range(self.config.num_key_value_heads)]
            for _ in range(self.config.num_hidden_layers)
        ]
        self.read = 0
        self.inputs: list[list[int]] = [[] for _ in self.layers]
        self.queries: dict[int, list[Tensor]] = {}

    def project(self, layer: int, name: str, x: Tensor, heads: int) -> Tensor:
        """``"q"``, ``"k"`` or ``"v"`` of one input, before RoPE: ``[heads, head_dim]``."""
        prefix = f"model.layers.{layer}.self_attn."
        out = x @ self.w[prefix + f"{name}_proj.weight"].T
        if prefix + f"{name}_proj.bias" in self.w:
            out = out + self.w[prefix + f"{name}_proj.bias"]
        out = out.view(heads, -1)
        if prefix + f"{name}_norm.weight" in self.w:
            out = rms_norm(out, self.w[prefix + f"{name}_norm.weight"], self.config.rms_norm_eps)
        return out

    def attend(self, layer: int, x: Tensor, positions: list[int]) -> tuple[Tensor, Tensor]:
        """Append the inputs' entries, and attend: the output, and the weights."""
        c = self.config
        heads, kv_heads = c.num_attention_heads, c.num_key_value_heads
        group, dim = heads // kv_heads, c.head_dim
        held = len(self.layers[layer][0])
        asked: list[list[Tensor]] = [[] for _ in range(heads)]
        out = torch.zeros(len(x), heads, dim, dtype=torch.float64)
        weights = torch.zeros(heads, len(x), held + len(x), dtype=torch.float64)
        queries = [self.project(layer, "q", row, heads) for row in x]
        for i, row in enumerate(x):
            k, v = self.project(layer, "k", row, kv_heads), self.project(layer, "v", row, kv_heads)
            for h in range(kv_heads):
                self.layers[layer][h].append((positions[i], k[h], v[h]))
        for h in range(heads):
            entries = self.layers[layer][h // group]
            where = [j if self.slots else entry[0] for j, entry in enumerate(entries)]
            turned = [rope(e[1], p, self.inv_freq) for e, p in zip(entries, where, strict=True)]
            keys, values = torch.stack(turned), torch.stack([entry[2] for entry in entries])
            for i in range(len(x)):
                visible = held + i + 1  # all before this input, and itself
                q = rope(queries[i][h], where[visible - 1], self.inv_freq)
                asked[h].append(q)
                row = torch.softmax(keys[:visible] @ q / math.sqrt(dim), 0)
                weights[h, i, :visible] = row
                out[i, h] = row @ values[:visible]
        self.queries[layer] = [torch.stack(rows) for rows in asked]  # after RoPE
        return out.flatten(1) @ self.w[f"model.layers.{layer}.self_attn.o_proj.weight"].T, weights

    def forward(self, tokens: list[int], drop: Any, pass_on: Any = None) -> Tensor:
        """Logits ``[vocabulary]`` after ``tokens``; ``drop`` and ``pass_on`` are the policy's."""
        x = self.w["model.embed_tokens.weight"][tokens]
        positions = list(range(self.read, self.read + len(tokens)))
        self.read += len(tokens)
        eps = self.config.rms_norm_eps
        for layer in range(self.config.num_hidden_layers):
            p = f"model.layers.{layer}."
            self.inputs[layer] += positions
            mixed, weights = self.attend(
                layer, rms_norm(x, self.w[p + "input_layernorm.weight"], eps), positions
            )
            x = x + mixed
            y = rms_norm(x, self.w[p + "post_attention_layernorm.weight"], eps)
            gate = y @ self.w[p + "mlp.gate_proj.weight"].T
            up = y @ self.w[p + "mlp.up_proj.weight"].T
            x = x + (gate * torch.sigmoid(gate) * up) @ self.w[p + "mlp.down_proj.weight"].T
            kept = drop(layer, weights) if drop else None
            on = pass_on(layer, weights) if pass_on else None
            if on is not None:
                x, positions = x[on], [positions[j] for j in on]
            if kept is not None:
                self.layers[layer] = [
                    [e[j] for j in js] for e, js in zip(self.layers[layer], kept, strict=True)
                ]
        x = rms_norm(x, self.w["model.norm.weight"], eps)
        head = (
            self.w["lm_head.weight"]
            if "lm_head.weight" in self.w
            else self.w["model.embed_tokens.weight"]
        )
        return (x[-1] @ head.T).detach()

    def positions(self) -> list[list[list[int]]]:
        """By layer and KV head, the positions of what is held now."""
        return [[[e[0] for e in head] for head in layer] for layer in self.layers]

    def prompt(self, tokens: list[int], chunk: int | None = None) -> Tensor:
        """Read a prompt, ``chunk`` tokens at a time; the logits after it."""
        after = getattr(self.policy, "after_prompt", None)
        pass_on = getattr(self.policy, "pass_on", None)
        for start in range(0, len(tokens), chunk or len(tokens)):
            logits = self.forward(tokens[start : start + (chunk or len(tokens))], after, pass_on)
        self.kept = self.positions()
        return logits

    def more(self, tokens: list[int]) -> Tensor:
        """Read a decoded token, or the next turn of a chat; the logits after it."""
        return self.forward(tokens, getattr(self.policy, "after_token", None))

    def generate(
        self, tokens: list[int], count: int, chunk: int | None = None
    ) -> tuple[list[int], Tensor]:
        """The greedy continuation, and the logits that chose each token."""
        logits = [self.prompt(tokens, chunk)]
        out: list[int] = []
        for _ in range(count):
            out.append(int(logits[-1].argmax()))
            logits.append(self.more([out[-1]]))
        return out, torch.stack(logits[:-1])
