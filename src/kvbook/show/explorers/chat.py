"""What was said in a chat, and what the cache held meanwhile."""

from collections.abc import Sequence

from IPython.display import HTML

from kvbook.chat.saved import Turn
from kvbook.show.explorers.frame import explorer, slider

WORDS = {
    "count": "{entries} entries; {waiting} evicted tokens wait for the next summary",
    "nothing": "(nothing)",
}


def chat_explorer(turns: Sequence[Turn], name: str = "chat") -> HTML:
    """A chat to move through: what was said in a turn, and what the cache held after it.

    Parameters
    ----------
    turns : sequence of kvbook.chat.Turn
        As a chat has them.
    name : str
        Unique on its page.
    """
    data = [
        {
            "user": turn.user,
            "assistant": turn.assistant,
            "sinks": turn.contents.sinks,
            "summary": turn.contents.summary,
            "recent": turn.contents.recent,
            "entries": turn.contents.entries,
            "waiting": turn.contents.waiting,
        }
        for turn in turns
    ]
    rows = "".join(
        f'<div class="kv-row"><b>{part}</b><div class="kv-text kv-part-{part}"></div></div>'
        for part in ("user", "assistant", "sinks", "summary", "recent")
    )
    return explorer(
        name,
        f'{slider("turn", len(turns) - 1)}{rows}<p class="kv-count"></p>',
        "chat",
        {"turns": data},
        WORDS,
        "This picture needs JavaScript; the figure above shows how full the cache was.",
    )
