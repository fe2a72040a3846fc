"""The methods by naive dense arithmetic in float64: slow, plain, and independent of the engine.

A layer's cache is, per KV head, a list of entries ``(position, key before RoPE, value)``; RoPE is applied when a query
looks at an entry. Nothing here calls `kvbook`.
"""

import math

import torch


def rms_norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rope(x, position, inv_freq):
    half = x.shape[-1] // 2
    cos, sin = torch.cos(position * inv_freq), torch.sin(position * inv_freq)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Naive:
    """One sequence through a tiny Llama or Qwen3, one token and one head at a time.

    ``policy`` has ``after_prompt(layer, weights)`` and ``after_token(layer, entries)``: per KV head the indices to
    keep; ``weights [heads, n, n]`` is the dense attention matrix. ``slots``: RoPE by the place in the list.
    """

    def __init__(self, model, policy=None, slots=False):
        self.config, self.policy, self.slots = model.config, policy, slots
        self.w = {name: p.detach().double() for name, p in model.state_dict().items()}
        self.inv_freq = model.model.rotary_emb.inv_freq.double()
        self.layers = [
            [[] for _ in range(self.config.num_key_value_heads)]
            for _ in range(self.config.num_hidden_layers)
        ]
        self.read = 0

    def project(self, layer, name, x, heads):
        prefix = f"model.layers.{layer}.self_attn."
        out = x @ self.w[prefix + f"{name}_proj.weight"].T
        if prefix + f"{name}_proj.bias" in self.w:
            out = out + self.w[prefix + f"{name}_proj.bias"]
        out = out.view(heads, -1)
        if prefix + f"{name}_norm.weight" in self.w:
            out = rms_norm(out, self.w[prefix + f"{name}_norm.weight"], self.config.rms_norm_eps)
        return out

    def attend(self, layer, x, positions):
        c = self.config
        heads, kv_heads = c.num_attention_heads, c.num_key_value_heads
        group, dim = heads // kv_heads, c.head_dim
        held = len(self.layers[layer][0])
        out = torch.zeros(len(x), heads, dim, dtype=torch.float64)
        weights = torch.zeros(heads, len(x), held + len(x), dtype=torch.float64)
        queries = [self.project(layer, "q", row, heads) for row in x]
        for i, row in enumerate(x):
            k, v = self.project(layer, "k", row, kv_heads), self.project(layer, "v", row, kv_heads)
            for h in range(kv_heads):
                self.layers[layer][h].append((positions[i], k[h], v[h]))
        for h in range(heads):
            entries = self.layers[layer][h // group]
            for i in range(len(x)):
                visible = entries[: held + i + 1]
                where = [j if self.slots else entry[0] for j, entry in enumerate(visible)]
                q = rope(queries[i][h], where[-1], self.inv_freq)
                scores = torch.stack(
                    [q @ rope(e[1], p, self.inv_freq) for e, p in zip(visible, where, strict=True)]
                )
                row = torch.softmax(scores / math.sqrt(dim), 0)
                weights[h, i, : held + i + 1] = row
                out[i, h] = sum(a * e[2] for a, e in zip(row, visible, strict=True))
        return out.flatten(1) @ self.w[f"model.layers.{layer}.self_attn.o_proj.weight"].T, weights

    def forward(self, tokens, drop):
        """Logits after ``tokens``; ``drop(layer, weights)`` says per KV head what stays, or None."""
        x = self.w["model.embed_tokens.weight"][tokens]
        positions = list(range(self.read, self.read + len(tokens)))
        self.read += len(tokens)
        eps = self.config.rms_norm_eps
        for layer in range(self.config.num_hidden_layers):
            p = f"model.layers.{layer}."
            mixed, weights = self.attend(
                layer, rms_norm(x, self.w[p + "input_layernorm.weight"], eps), positions
            )
            x = x + mixed
            y = rms_norm(x, self.w[p + "post_attention_layernorm.weight"], eps)
            gate = y @ self.w[p + "mlp.gate_proj.weight"].T
            up = y @ self.w[p + "mlp.up_proj.weight"].T
            x = x + (gate * torch.sigmoid(gate) * up) @ self.w[p + "mlp.down_proj.weight"].T
            kept = drop(layer, weights) if drop else None
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

    def prompt(self, tokens, chunk=None):
        after = self.policy.after_prompt if self.policy else None
        for start in range(0, len(tokens), chunk or len(tokens)):
            logits = self.forward(tokens[start : start + (chunk or len(tokens))], after)
        self.kept = [[[e[0] for e in head] for head in layer] for layer in self.layers]
        return logits

    def token(self, token):
        after = getattr(self.policy, "after_token", None)
        return self.forward([token], after)

    def generate(self, tokens, count, chunk=None):
        """The greedy continuation, and the logits that chose each token."""
        logits = [self.prompt(tokens, chunk)]
        out = []
        for _ in range(count):
            out.append(int(logits[-1].argmax()))
            logits.append(self.token(out[-1]))
        return out, torch.stack(logits[:-1])


class NaiveStreaming:
    def __init__(self, budget, kv_heads, sinks=4, rolling=True):
        self.budget, self.kv_heads, self.sinks, self.rolling = (
            budget,
            kv_heads,
            min(sinks, budget),
            rolling,
        )

    def after_prompt(self, layer, weights):
        held = weights.shape[-1]
        if held <= self.budget:
            return None
        js = list(range(self.sinks)) + list(range(held - (self.budget - self.sinks), held))
        return [js] * self.kv_heads

    def after_token(self, layer, weights):
        return self.after_prompt(layer, weights) if self.rolling else None


class NaiveSnapKV:
    def __init__(self, budget, kv_heads, window=32, kernel=7, pooling="max", gqa="mean"):
        self.budget, self.kv_heads, self.kernel, self.pooling, self.gqa = (
            budget,
            kv_heads,
            kernel,
            pooling,
            gqa,
        )
        self.window = window if budget > window else max(1, budget // 2)

    def after_prompt(self, layer, weights):
        heads, n, _ = weights.shape
        if self.budget >= n:
            return None
        prefix, half = n - self.window, self.kernel // 2
        pooled = []
        for h in range(heads):
            s = [float(sum(weights[h, i, j] for i in range(prefix, n))) for j in range(prefix)]
            row = []
            for j in range(prefix):
                near = s[max(0, j - half) : j + half + 1]
                row.append(max(near) if self.pooling == "max" else sum(near) / self.kernel)
            pooled.append(row)
        group = heads // self.kv_heads
        kept = []
        for kv in range(self.kv_heads):
            members = pooled[kv * group : (kv + 1) * group]
            column = list(zip(*members, strict=True))
            score = [
                max(c) if self.gqa == "max" else sum(c) / (group if self.gqa == "mean" else 1)
                for c in column
            ]
            # pooling by max makes exact ties: broken as torch.topk breaks them
            top = torch.tensor(score).topk(self.budget - self.window).indices.tolist()
            kept.append(sorted(top) + list(range(prefix, n)))
        return kept
