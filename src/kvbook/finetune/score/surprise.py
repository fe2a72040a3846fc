"""Where the loss of a row comes from: its template, its question, its answer, or its end."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from kvbook.finetune.data.dialogue import Dialogue
from kvbook.finetune.data.parts import PARTS, parts_of
from kvbook.finetune.score.likelihood import token_nll
from kvbook.lm.models import LoadedModel, check_loaded


@dataclass(frozen=True)
class Surprise:
    """How much the tokens of some rows surprise a model, by part.

    Attributes
    ----------
    rows : int
    tokens : dict of str to int
        Tokens of each part, all rows together; the first token of a row is not counted, since
        nothing predicts it.
    nats : dict of str to float
        Sums of their negative log-likelihoods.
    question_ends : list of float
        Nats of the token that closes a question, a value a row.
    first, further : list of float
        Nats of the first token of a character of several tokens, and of the others.
    """

    rows: int
    tokens: dict[str, int]
    nats: dict[str, float]
    question_ends: list[float]
    first: list[float]
    further: list[float]

    def means(self) -> dict[str, dict[str, float]]:
        """By part, tokens a row and nats a token."""
        return {
            part: {"tokens": count / self.rows, "nats": self.nats[part] / count}
            for part, count in self.tokens.items()
        }


def surprise_by_part(lm: LoadedModel, dialogues: Sequence[Dialogue]) -> Surprise:
    """How much each part of some rows surprises a model, trained or not.

    Raises
    ------
    ParameterError
        As `kvbook.finetune.data.parts.parts_of` says.
    """
    check_loaded(lm)
    tokens: dict[str, int] = defaultdict(int)
    nats: dict[str, float] = defaultdict(float)
    ends, first, further = [], [], []
    for dialogue in dialogues:
        parts = parts_of(lm.tokenizer, dialogue)
        costs = token_nll(lm.model, parts.ids).tolist()
        for i, cost in enumerate(costs, 1):
            tokens[parts.names[i]] += 1
            nats[parts.names[i]] += cost
            if parts.first[i]:
                first.append(cost)
            if parts.further[i]:
                further.append(cost)
        if "question" in parts.names:
            closing = len(parts.names) - parts.names[::-1].index("question")
            ends.append(costs[closing - 1])
    kept = [part for part in PARTS if part in tokens]
    return Surprise(
        len(dialogues),
        {part: tokens[part] for part in kept},
        {part: nats[part] for part in kept},
        ends,
        first,
        further,
    )
