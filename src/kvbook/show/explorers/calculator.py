"""What every method costs on paper, to be asked."""

from collections.abc import Mapping

from IPython.display import HTML

from kvbook.show.explorers.frame import explorer, slider

WORDS = {
    "tokens": "{count} tokens",
    "budget": "{share} %: {entries} entries",
    "too_large": "{bytes} (does not fit)",
}


def calculator(
    table: Mapping,
    model: str = "",
    machine: str = "",
    context: int = 0,
    budget: float = 0.0,
    name: str = "calculator",
) -> HTML:
    """What every method costs, for a model, a machine, a context, a budget and an answer to
    choose: bytes and seconds on paper.

    Parameters
    ----------
    table : mapping
        Of `kvbook.profiling.calculator.tabulate`.
    model, machine, context, budget
        What is shown first; one of the table's, or else its first.
    name : str
        Unique on its page.
    """

    def place(axis: str, value) -> int:
        return table[axis].index(value) if value in table[axis] else 0

    start = {
        "model": place("models", model),
        "machine": place("machines", machine),
        "context": place("contexts", context),
        "budget": place("budgets", budget),
    }
    selects = "".join(
        f'<label>{part} <select class="kv-{part}"></select></label>'
        for part in ("model", "machine")
    )
    sliders = "".join(
        slider(part, most, part, least)
        for part, least, most in (
            ("context", 0, len(table["contexts"]) - 1),
            ("budget", 0, len(table["budgets"]) - 1),
            ("answer", 3, 11),
        )
    )
    columns = ("method", "KV cache", "memory, at least", "prefill", "a token", "end to end")
    head = "".join(f"<th>{column}</th>" for column in columns)
    return explorer(
        name,
        f'{selects}{sliders}<table class="kv-table"><caption>'
        f'<span class="kv-computed">computed on paper</span></caption><thead><tr>{head}</tr></thead>'
        '<tbody class="kv-rows"></tbody></table>',
        "calculator",
        {**{name: held for name, held in table.items() if name != "machines"}, "start": start},
        {**WORDS, "machines": table["machines"]},
        "The calculator needs JavaScript; kvbook.profiling.predict gives the same.",
    )
