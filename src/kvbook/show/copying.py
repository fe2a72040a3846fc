"""Who votes for an answer that the model will copy, and whether that is enough."""

from collections.abc import Mapping, Sequence
from statistics import median

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from torch import Tensor

from kvbook.show.drawing import mark_said
from kvbook.show.maps import ink_on
from kvbook.show.said import Said, as_code, say
from kvbook.show.style import INK, KEPT, WIDE
from kvbook.show.tables import table
from kvbook.tasks.needle import Needle, found
from kvbook.tasks.trial import Example
from kvbook.tasks.votes import Standing


def votes_by_query(
    votes: Tensor, example: Example, windows: Sequence[int], title: str = ""
) -> Figure:
    """What each of the last queries votes for in the sentence with the answer, a row a query.

    Parameters
    ----------
    votes : Tensor [queries, prompt]
        Attention of the prompt's last queries.
    example : Example
        The prompt.
    windows : sequence of int
        A line stands where each begins.
    """
    start, stop = _sentence(example)
    shares = votes[:, start:stop].cpu()
    figure, axes = plt.subplots(figsize=(WIDE, 1 + 0.17 * len(shares)))
    colours = LinearSegmentedColormap.from_list("votes", ["#e8ebee", KEPT])
    norm = PowerNorm(0.5, vmin=0, vmax=max(1e-6, shares.max().item()))
    axes.imshow(shares, aspect="auto", cmap=colours, norm=norm)
    for row, line in enumerate(shares.tolist()):
        for column, share in enumerate(line):
            if share >= 0.005:
                ink = ink_on(colours(norm(share)))
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=ink)
    for window in windows:
        if window < len(shares):
            at = len(shares) - window - 0.5
            axes.axhline(at, color=INK, linestyle="--", linewidth=1)
            axes.annotate(
                f"the last {window}",
                (1.01, at),
                xycoords=("axes fraction", "data"),
                va="top",
                annotation_clip=False,
            )
    axes.set_xticks(range(stop - start), map(_visible, example.tokens[start:stop]))
    axes.set_yticks(range(len(shares)), map(_visible, example.tokens[-len(shares) :]))
    mark_said([*axes.get_xticklabels(), *axes.get_yticklabels()])
    axes.set(xlabel="token of the sentence with the number", ylabel="query", title=title)
    return figure


def by_query_sentence(votes: Tensor, example: Example, kernel: int) -> Said:
    """What `votes_by_query` shows: how many votes the words before the answer get, and the answer itself;
    and whether pooling carries those of the token before it to its end.

    Parameters
    ----------
    votes, example
        As in `votes_by_query`.
    kernel : int
        Of the pooling.
    """
    start, _ = _sentence(example)
    gold, before = list(example.gold), example.gold[0] - 1
    query = int(votes[:, before].argmax())
    reach, last = kernel // 2, gold[-1] - before
    told = say(
        "Each of the {queries} queries has one vote to give. Together they give {words:.2f} votes to the words of the "
        "sentence before the number, and {number:.4f} to the number. The token directly before the number gets most "
        "from the query {query}: {share:.3f}.",
        queries=len(votes),
        words=votes[:, start : before + 1].sum().item(),
        number=votes[:, gold].sum().item(),
        query=as_code(_visible(example.tokens[len(example.tokens) - len(votes) + query])),
        share=votes[query, before].item(),
    )
    template = (
        "{told} A kernel of {kernel} carries votes {reach} tokens further, and the number ends {last} tokens behind "
        "that token: its end is {where}."
    )
    where = "within reach" if last <= reach else "out of reach"
    return say(template, told=told, kernel=kernel, reach=reach, last=last, where=where)


def ranks_table(
    stands: Sequence[Mapping[int, Standing]], hits: Mapping[int, Sequence[bool]], caption: str
) -> HTML:
    """How an answer stands in one KV head with windows of several sizes, and how often it is found.

    Parameters
    ----------
    stands : sequence of mapping
        By prompt, by window.
    hits : mapping of int to sequence of bool
        By window, whether each prompt's answer was found.
    """
    rows = []
    for window, of in hits.items():
        here = [one[window] for one in stands]
        rows.append(
            {
                "window": window,
                "places beside it": here[0].places,
                "rank of the first digit": f"{median(one.ranks[0] for one in here):.0f}",
                "rank of the last digit": f"{median(one.ranks[-1] for one in here):.0f}",
                "its votes": f"{median(one.votes for one in here):.4f}",
                "votes needed": f"{median(one.needed for one in here):.4f}",
                "the number stays": f"{sum(one.stays for one in here)} of {len(here)}",
                "found": f"{sum(of)} of {len(of)}",
            }
        )
    return table(rows, "measured", caption)


def ranks_sentence(
    stands: Sequence[Mapping[int, Standing]], hits: Mapping[int, Sequence[bool]]
) -> Said:
    """What `ranks_table` shows of the narrowest and the widest window, and how often an answer is found
    where it stays in this head."""
    narrow, wide = min(hits), max(hits)
    few, many = ([one[window] for one in stands] for window in (narrow, wide))
    cases = [
        (stand[window].stays, hit)
        for window, of in hits.items()
        for stand, hit in zip(stands, of, strict=True)
    ]
    return say(
        "From window {narrow} to window {wide} the last digit falls from rank {before:.0f} to rank {after:.0f}, while "
        "the first digit has rank {first:.0f} and then {then:.0f} (medians over {prompts} prompts). The votes of the "
        "last digit change by a factor of {own:.1f}, those that are needed by {needed:.1f}. In {same} of {cases} cases "
        "(a prompt with a window) the number is found where it stays in this one head, and not found where it does "
        "not.",
        narrow=narrow,
        wide=wide,
        before=median(one.ranks[-1] for one in few),
        after=median(one.ranks[-1] for one in many),
        first=median(one.ranks[0] for one in few),
        then=median(one.ranks[0] for one in many),
        prompts=len(stands),
        own=median(one.votes for one in many) / median(one.votes for one in few),
        needed=median(one.needed for one in many) / median(one.needed for one in few),
        same=sum(stays == hit for stays, hit in cases),
        cases=len(cases),
    )


def digits_sentence(needles: Sequence[Needle], words: Sequence[str], label: str) -> Said:
    """Of the answers that are wrong, how many have all digits of the number but the last.

    Parameters
    ----------
    words : sequence of str
        What was said, a text a needle.
    label : str
        Of the method.
    """
    wrong = [pair for pair in zip(needles, words, strict=True) if not found(*pair)]
    return say(
        "{label}: of {wrong} wrong answers {last} have every digit right but the last.",
        label=label,
        wrong=len(wrong),
        last=sum(text.strip().startswith(one.answer[:-1]) for one, text in wrong),
    )


def _sentence(example: Example) -> tuple[int, int]:
    """Where the sentence with the answer begins in the prompt, and where it ends."""
    gold = example.gold
    ends = [place for place in range(gold[0]) if "." in example.tokens[place]]
    return (ends[-1] + 1 if ends else 0), gold[-1] + 1


def _visible(token: str) -> str:
    """A token's text, with blanks and line ends that can be seen where there is nothing else."""
    return token.strip() or token.replace(" ", "␣").replace("\n", "↵")
