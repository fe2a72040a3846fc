"""PyramidInfer's generation stage: older generated entries are evicted, too.

The numbers are those of the authors' code (mutonix/pyramidinfer, read in November 2026).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kvbook.engine.attention import attention_rows
from kvbook.engine.seen import Seen

INTERVAL = 16
"""Generated entries that are judged together."""
KEPT, DECAY = 0.9, 0.1
"""The share of them that stays in the first layer, and the factor to which it falls with depth."""


def count_kept(layer: int, layers: int) -> int:
    """How many of `INTERVAL` generated entries stay: fewer in deeper layers, by a cosine."""
    share = (1 - DECAY) * (math.cos(math.pi * layer / layers) + 1) / 2 + DECAY
    return max(1, math.floor(INTERVAL * KEPT * share))


def thin(seen: Seen, recent: int, distance_weight: float) -> Tensor | None:
    """Evict generated entries as soon as the layer holds ``INTERVAL + recent`` of them. The last
    ``1 + recent`` always stay. Of those before, the oldest, at most `INTERVAL`, are judged by the
    attention of the last ``1 + recent`` queries. What stays is judged again with the next ones, so
    a layer never holds more generated entries than that. The entries of the prompt and of later
    turns always stay.

    Parameters
    ----------
    recent : int
        As in the prefill: recent entries that stay, and whose queries judge.
    distance_weight : float
        Weight of the last query's judgement; the first one's is 1.

    Returns
    -------
    LongTensor [1, kept] or None
        None: all stay.
    """
    generated, rows = remember(seen, 1 + recent)
    old = generated[: max(0, len(generated) - 1 - recent)].nonzero()[:INTERVAL, 0]
    if len(old) < INTERVAL - 1:
        return None
    weights = torch.linspace(1, distance_weight, 1 + recent, device=rows.device)[-len(rows) :]
    score = weights @ rows[:, old.to(rows.device)]
    count = min(count_kept(seen.layer, seen.layers), len(old))
    stays = torch.ones_like(generated)
    stays[old] = False
    stays[old[score.topk(count).indices.cpu()]] = True
    left = stays.nonzero()[:, 0].to(rows.device)
    seen.memory |= {"generated": generated[stays], "rows": rows[:, left]}
    prompt = seen.entries - len(generated)
    return torch.cat((torch.arange(prompt, device=rows.device), prompt + left))[None]


def remember(seen: Seen, most: int) -> tuple[Tensor, Tensor]:
    """Add the newest inputs to what is known of the entries behind the prompt's, and return it:
    which of them were generated, ``[entries]`` on the CPU, so that a token waits for a device only
    when entries are evicted; and the attention that each of the last ``most`` queries gave them,
    mean over the heads, ``[queries, entries]``. The prompt's own queries gave them none."""
    new = seen.queries.shape[1]
    mine = torch.full((new,), new == 1)  # several: the next turn's input
    before = seen.memory.get("generated", mine[:0]).cpu()
    generated = torch.cat((before, mine))
    asked = attention_rows(seen.queries[:, -most:], seen.keys, seen.scaling).mean(0)
    asked = asked[:, seen.entries - len(generated) :]
    rows = seen.memory.get("rows", asked.new_empty(0, len(before)))
    rows = torch.cat((F.pad(rows, (0, new)), asked))[-most:]
    seen.memory |= {"generated": generated, "rows": rows}
    return generated, rows
