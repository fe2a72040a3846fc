"""The files that figure 1 is made of: a letter for each, and a link behind every number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from kvbook import results
from kvbook.results import ResultFile
from kvbook.show.tables import linked
from kvbook.tasks.scores import most_items

FILES = {
    "evaluation": ("evaluation", "evaluation"),
    "profiling": ("profiling", "profiling-bench"),
    "bertscore": ("bertscore", "bertscore"),
    "ondevice": ("ondevice_costs", "ondevice_costs"),
}
"""The chapters whose numbers figure 1 has, and the names of their results: of this build, and kept."""
CALLED = {"here": "this build", "kept": "the kept run", "gpu": "a GPU"}
REPORT = {
    "letter": "a",
    "address": "results/report.json",
    "kind": "report",
    "called": "",
    "model": "not named",
    "begun": "–",
    "how much": "–",
}
"""The report's own row among them, for `kvbook.show.sources_table`."""


@dataclass(frozen=True)
class Source:
    """A results file.

    Attributes
    ----------
    letter : str
        Stands raised behind its numbers.
    chapter : str
        Whose page says how they came about.
    run : {"here", "kept", "gpu"}
        Of this build, or of the longer run in the repository; or of `kvbook gpu-report`.
    file : ResultFile
        The numbers.
    """

    letter: str
    chapter: str
    run: str
    file: ResultFile

    @property
    def address(self) -> str:
        """Where the pages have it."""
        return f"results/{'kept/' * (self.run != 'here')}{self.file.name}.json"

    @property
    def called(self) -> str:
        """This build, the kept run, or a GPU."""
        return CALLED[self.run]

    @property
    def model(self) -> str:
        """Which model; ``make bench`` has no parameter for it and takes the embedded one."""
        return self.file.provenance.model.replace("unknown", "smollm2-135m")

    @property
    def amount(self) -> str:
        """How much was asked or repeated, in words."""
        return AMOUNTS[self.chapter](self.file.data)

    def cell(self, text: str) -> Markup:
        """A number of this file, with its links."""
        return linked(text, f"{self.chapter}.html", self.address, self.letter)

    def row(self) -> dict[str, str]:
        """A row for `kvbook.show.sources_table`."""
        return {
            "letter": self.letter,
            "address": self.address,
            "kind": "measured",
            "called": self.called,
            "model": self.model,
            "begun": self.file.provenance.started[:10],
            "how much": self.amount,
        }


def find_sources() -> list[Source]:
    """The files that there are, chapter by chapter, this build's before the kept one; a GPU's last."""
    found = [
        (chapter, run, file)
        for chapter, (here, kept) in FILES.items()
        for run, file in (
            ("here", results.find(here)),
            ("kept", results.find(kept, results.kept_dir())),
        )
        if file
    ]
    if gpu := results.find(results.GPU_REPORT, results.kept_dir()):
        found.append(("profiling", "gpu", gpu))
    return [Source(letter, *one) for letter, one in zip("bcdefghij", found, strict=False)]


def pick(sources: Sequence[Source], chapter: str, run: str = "") -> list[Source]:
    """A chapter's files, of this build and the kept run, or of one; a GPU's only by that name."""
    runs = (run,) if run else ("here", "kept")
    return [one for one in sources if one.chapter == chapter and one.run in runs]


def most(sources: Sequence[Source], chapter: str) -> Source | None:
    """Of a chapter's files the one with more items, or repeats; None where there is none."""
    return max(pick(sources, chapter), key=lambda one: SIZES[chapter](one.file.data), default=None)


def budget_names(data: Mapping[str, Any]) -> dict[str, str]:
    """What ``make bench`` calls its methods, by method: each has a budget of its own there."""
    called = [promise["what"].split(":")[0] for promise in data.get("promises", [])]
    return {name.split(",")[0]: name for name in called}


def report_cell(chapter: str) -> Callable[[str], Markup]:
    """What makes a number of the report lead to a chapter's page and to the report's file."""
    return partial(linked, page=f"{chapter}.html", file=REPORT["address"], mark=REPORT["letter"])


def _repeats(data: dict[str, Any]) -> int:
    """Of the profiling: the most that a measurement has."""
    return max(len(one["prefill"]) for one in data["measurements"])


def _asked(data: dict[str, Any]) -> str:
    count = most_items(data["evaluated"])
    return f"{count} item{'s' * (count > 1)} a task"


def _repeated(data: dict[str, Any]) -> str:
    full = [one for one in data["measurements"] if one["method"] == "fullkv"]
    contexts = ", ".join(f"{one['context_length']:,}" for one in full)
    return f"{_repeats({'measurements': full})} repeats at {contexts} tokens"


def _trained(data: dict[str, Any]) -> str:
    return f"{len(data['references'])} items, {data['steps']} steps"


def _on_the_device(data: dict[str, Any]) -> str:
    if not data["costs"]:
        return "llama.cpp was not there"
    repeats = max(len(one["prefill"]) for one in data["costs"])
    return f"{repeats} repeat{'s' * (repeats > 1)}"


SIZES: dict[str, Callable[[dict[str, Any]], int]] = {
    "evaluation": lambda data: most_items(data["evaluated"]),
    "profiling": _repeats,
}
AMOUNTS = {
    "evaluation": _asked,
    "profiling": _repeated,
    "bertscore": _trained,
    "ondevice": _on_the_device,
}
