"""GemFilter: an early layer filters the prompt, and the model reads only what is left."""

from typing import ClassVar

from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from kvbook.engine.seen import Seen
from kvbook.fields import Budget, Kernel, Natural
from kvbook.methods.base import STRICT, Method, check_layer, pool, resolve_budget


@dataclass(frozen=True, config=STRICT)
class GemFilter(Method):
    """Run the first layers on the whole prompt, let the last token choose what matters, and
    prefill only that.

    Parameters
    ----------
    budget : int or float
        Prompt tokens that are prefilled; or a fraction of the prompt.
    filter_layer : int, optional
        The layer, from 0, whose attention chooses; none: at 40 % of the depth. The paper chose by
        hand: 13 of 32 layers (Llama 3.1 8B), 19 of 40 (Mistral Nemo 12B), 19 of 32 (Phi 3.5 mini);
        this rule gives only the first of these.
    kernel : int
        Odd width of the average pooling over positions. 5, as in the authors' code.

    Notes
    -----
    The chosen tokens are read at positions 0, 1, ...: the model sees a shorter prompt, and
    answers at the position after it. The last token of the prompt is always among them; the
    authors' code (SalesforceAIResearch/GemFilter, read in November 2026) does not force that.

    References
    ----------
    GemFilter (Shi et al., 2024; Findings of ACL 2026), section 3, algorithm 1.
    """

    budget: Budget
    filter_layer: Natural | None = None
    kernel: Kernel = 5

    name: ClassVar[str] = "gemfilter"

    def first_pass(self, layers: int, prompt_length: int) -> int | None:
        """The layer that chooses; None when the whole prompt fits the budget."""
        if resolve_budget(self.budget, prompt_length) >= prompt_length:
            return None
        return round(0.4 * layers) if self.filter_layer is None else self.filter_layer

    def choose(self, seen: Seen) -> Tensor:
        """The prompt's indices with the top scores and the last one, ``[budget]``."""
        n = seen.entries
        budget = min(resolve_budget(self.budget, seen.prompt_length), n)
        score = self.score(seen)
        score[-1] = float("inf")
        return score.topk(budget).indices.sort().values

    def score(self, seen: Seen) -> Tensor:
        """The last query's products with all keys, summed over the query heads and averaged over
        ``kernel`` positions: ``[n]``."""
        last = seen.queries[:, -1].float().view(len(seen.keys), -1, seen.keys.shape[-1])
        products = last.sum(1, keepdim=True) @ seen.keys.float().transpose(1, 2)
        return pool(products.sum(0), self.kernel, "avg")[0]

    def check_model(self, model: nn.Module) -> None:
        """Refuse a layer that the model does not have."""
        check_layer(self, "filter_layer", model)
