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
        self.queries = {}

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
        asked = [[] for _ in range(heads)]
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
                asked[h].append(q)
                scores = torch.stack(
                    [q @ rope(e[1], p, self.inv_freq) for e, p in zip(visible, where, strict=True)]
                )
                row = torch.softmax(scores / math.sqrt(dim), 0)
                weights[h, i, : held + i + 1] = row
                out[i, h] = sum(a * e[2] for a, e in zip(row, visible, strict=True))
        self.queries[layer] = [torch.stack(rows) for rows in asked]  # after RoPE
        return out.flatten(1) @ self.w[f"model.layers.{layer}.self_attn.o_proj.weight"].T, weights

    def forward(self, tokens, drop, pass_on=None):
        """Logits after ``tokens``; ``drop(layer, weights)`` says per KV head what stays, or None.

        ``pass_on(layer, weights)``: the inputs that go on to the next layer, or None.
        """
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

    def prompt(self, tokens, chunk=None):
        after = getattr(self.policy, "after_prompt", None)
        pass_on = getattr(self.policy, "pass_on", None)
        for start in range(0, len(tokens), chunk or len(tokens)):
            logits = self.forward(tokens[start : start + (chunk or len(tokens))], after, pass_on)
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


def pool(row, kernel, pooling):
    half = kernel // 2
    near = [row[max(0, j - half) : j + half + 1] for j in range(len(row))]
    return [max(part) if pooling == "max" else sum(part) / kernel for part in near]


def join(members, gqa):
    """Lists of the query heads of a group as one list."""
    how = {"max": max, "sum": sum, "mean": lambda column: sum(column) / len(column)}[gqa]
    return [how(column) for column in zip(*members, strict=True)]


def top(scores, count):
    """Exact ties (pooling by max makes them) are broken as torch.topk breaks them."""
    return sorted(torch.tensor(scores).topk(count).indices.tolist())


class NaiveSnapKV:
    def __init__(self, budget, kv_heads, window=32, kernel=7, pooling="max", gqa="mean"):
        self.budget, self.kv_heads, self.kernel = budget, kv_heads, kernel
        self.pooling, self.gqa = pooling, gqa
        self.window = window if budget > window else max(1, budget // 2)

    def scores(self, weights):
        """Per KV head, over the prefix."""
        heads, n, _ = weights.shape
        prefix, group = n - self.window, heads // self.kv_heads
        votes = [
            [float(sum(weights[h, i, j] for i in range(prefix, n))) for j in range(prefix)]
            for h in range(heads)
        ]
        pooled = [pool(row, self.kernel, self.pooling) for row in votes]
        return [
            join(pooled[kv * group : (kv + 1) * group], self.gqa) for kv in range(self.kv_heads)
        ]

    def after_prompt(self, layer, weights):
        n = weights.shape[1]
        if self.budget >= n:
            return None
        last = list(range(n - self.window, n))
        return [top(row, self.budget - self.window) + last for row in self.scores(weights)]


class NaiveFastKV(NaiveSnapKV):
    def __init__(self, budget, kv_heads, tsp_layer, tsp_length, window=8, kernel=7, pooling="max"):
        super().__init__(budget, kv_heads, window, kernel, pooling, "sum")
        self.tsp_layer, self.length = tsp_layer, max(self.window + 1, tsp_length)

    def pass_on(self, layer, weights):
        n = weights.shape[1]
        if layer != self.tsp_layer or self.length >= n or self.budget >= n:
            return None
        total = join(self.scores(weights), "sum")
        return top(total, self.length - self.window) + list(range(n - self.window, n))


class NaiveH2O:
    """Keeps an account per query head and entry; `after_token` is the simulator of the decode."""

    def __init__(self, budget, kv_heads, recent=None, gqa="mean", forever=False):
        self.budget, self.kv_heads, self.gqa, self.forever = budget, kv_heads, gqa, forever
        recent = budget // 2 if recent is None else recent
        self.recent = recent if budget > recent else max(1, budget // 2)
        self.accounts = {}

    def after_prompt(self, layer, weights):
        heads, new, entries = weights.shape
        before = self.accounts.get(layer, [[]] * heads)
        accounts = []
        for h in range(heads):
            row = before[h] + [0.0] * (entries - len(before[h]))
            accounts.append([row[j] + float(sum(weights[h, :, j])) for j in range(entries)])
        self.accounts[layer] = accounts
        if entries <= self.budget or self.forever:
            return None
        group, kept = heads // self.kv_heads, []
        for kv in range(self.kv_heads):
            score = join(accounts[kv * group : (kv + 1) * group], self.gqa)
            old = entries - self.recent
            kept.append(top(score[:old], self.budget - self.recent) + list(range(old, entries)))
        self.accounts[layer] = [[accounts[h][j] for j in kept[h // group]] for h in range(heads)]
        return kept

    after_token = after_prompt


class NaivePublishedH2O:
    """The harness: queries before the last 8 see the future. Needs the scores, so it is given them."""

    def __init__(self, budget, kv_heads, naive, gqa="mean"):
        self.budget, self.kv_heads, self.naive, self.gqa = budget, kv_heads, naive, gqa
        self.window = 8 if budget > 8 else max(1, budget // 2)

    def after_prompt(self, layer, weights):
        heads, n, _ = weights.shape
        if self.budget >= n:
            return None
        queries, group = self.naive.queries[layer], heads // self.kv_heads
        totals = []
        for h in range(heads):
            entries = self.naive.layers[layer][h // group]
            keys = torch.stack([rope(e[1], e[0], self.naive.inv_freq) for e in entries])
            scores = queries[h] @ keys.T / math.sqrt(keys.shape[1])
            for i in range(max(0, n - 8), n):
                scores[i, i + 1 :] = -math.inf
            totals.append(torch.softmax(scores, -1).sum(0).tolist())
        kept, old = [], n - self.window
        for kv in range(self.kv_heads):
            score = join(totals[kv * group : (kv + 1) * group], self.gqa)[:old]
            kept.append(top(score, self.budget - self.window) + list(range(old, n)))
        return kept


class NaivePyramid:
    def __init__(
        self,
        tokens,
        layers,
        kv_heads,
        decay=0.3,
        recent_ratio=0.2,
        min_length=64,
        sinks=4,
        distance_weight=1.2,
        generation=False,
    ):
        self.layers, self.decay, self.min_length, self.sinks = layers, decay, min_length, sinks
        self.recent = math.floor(tokens * recent_ratio)
        self.weight, self.generation, self.kv_heads = distance_weight, generation, kv_heads
        self.rows, self.made = {}, {}

    def note(self, layer, weights, made):
        """Every query's row over all entries, mean over the heads; which entries were generated."""
        heads, new, entries = weights.shape
        rows, known = self.rows.setdefault(layer, []), self.made.setdefault(layer, [])
        for row in rows:
            row += [0.0] * new
        for i in range(new):
            rows.append(
                [float(sum(weights[h, i, j] for h in range(heads))) / heads for j in range(entries)]
            )
        known += [made] * new

    def after_prompt(self, layer, weights):
        self.note(layer, weights, made=False)

    def after_token(self, layer, weights):
        self.note(layer, weights, made=weights.shape[1] == 1)
        entries = weights.shape[-1]
        rows, made = self.rows[layer], self.made[layer]
        before = [j for j in range(entries - 1 - self.recent) if made[j]]
        if not self.generation or sum(made) - self.recent < 16 or len(before) < 15:
            return None
        asked = rows[-1 - self.recent :]
        step = (self.weight - 1) / self.recent if self.recent else 0
        score = [sum((1 + step * i) * row[j] for i, row in enumerate(asked)) for j in before[:16]]
        share = 0.9 * (math.cos(math.pi * layer / self.layers) + 1) / 2 + 0.1
        stay = {
            before[i] for i in top(score, min(len(score), max(1, math.floor(16 * 0.9 * share))))
        }
        kept = [j for j in range(entries) if j not in before[:16] or j in stay]
        self.rows[layer] = [[row[j] for j in kept] for row in rows]
        self.made[layer] = [made[j] for j in kept]
        return [kept] * self.kv_heads

    def pass_on(self, layer, weights):
        heads, m, _ = weights.shape
        context = m - 1 - self.recent
        rate = (1 - self.decay) * (math.cos(math.pi * layer / self.layers) + 1) / 2 + self.decay
        count = math.floor(context * rate)
        if layer + 1 == self.layers or count <= self.min_length:
            return None
        rows = range(context, m)
        step = (self.weight - 1) / (len(rows) - 1) if len(rows) > 1 else 0
        score = []
        for j in range(context):
            of_rows = [
                (1 + step * i) * float(sum(weights[h, row, j] for h in range(heads))) / heads
                for i, row in enumerate(rows)
            ]
            score.append(math.inf if j < min(self.sinks, count) else sum(of_rows) / len(rows))
        return top(score, count) + list(rows)


def gemfilter_choice(model, tokens, budget, filter_layer, kernel=5):
    """The positions that GemFilter reads."""
    n = len(tokens)
    if budget >= n:
        return list(range(n))
    naive = Naive(model)
    naive.prompt(tokens)
    heads = model.config.num_attention_heads
    group = heads // model.config.num_key_value_heads
    totals = [0.0] * n
    for h in range(heads):
        for j, entry in enumerate(naive.layers[filter_layer][h // group]):
            key = rope(entry[1], entry[0], naive.inv_freq)
            totals[j] += float(naive.queries[filter_layer][h][-1] @ key)
    pooled = pool(totals, kernel, "avg")
    return top([*pooled[:-1], math.inf], budget)
