"""The README's table of results is what the results file says; the Chinese README is in step with it."""

from statistics import fmean

from kvbook import results
from kvbook.chapters.edition.blocks import digest, split_page
from kvbook.chapters.edition.same import differences
from kvbook.places import REPOSITORY
from kvbook.stats import mean_and_interval

ENTRIES = "128"


def results_table() -> str:
    """Scores with 95 % intervals over the items, bytes and divergence, a row a method."""
    file = results.load("evaluation", REPOSITORY / "data/results")
    data, run = file.data, file.provenance
    tasks = list(data["evaluated"]["fullkv"]["scores"])
    full = sum(data["evaluated"]["fullkv"]["kept_bytes"].values())
    lines = [
        " | ".join(["| method", *tasks, "KV kept", "KL, nats |"]),
        "|---" * (len(tasks) + 3) + "|",
    ]
    for name, one in data["evaluated"].items():
        cells = []
        for task in tasks:
            mean, low, high = (100 * x for x in mean_and_interval([*one["scores"][task].values()]))
            cells.append(f"{mean:.0f} ({low:.0f}–{high:.0f})")
        cells.append(f"{sum(one['kept_bytes'].values()) / full:.0%}")
        near = data["fidelity"].get(name)
        cells.append(f"{fmean(probe['kl'] for probe in near[ENTRIES]):.2f}" if near else "–")
        lines.append(f"| {' | '.join([name, *cells])} |")
    items = len(data["evaluated"]["fullkv"]["scores"][tasks[0]])
    lines += [
        "",
        f"{run.model}, budget {run.parameters['budget']}, {items} items a task; KL at {ENTRIES} entries; "
        f"{run.started:.10}, {run.machine['cores']} cores of an {run.machine['cpu']}, torch {run.versions['torch']}, "
        f"commit {run.commit:.8}.",
    ]
    return "\n".join(lines)


def test_the_table_of_the_readme_is_made_from_the_results():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert results_table() in readme, f"put this into the README:\n{results_table()}"


CHINESE = REPOSITORY / "README.zh.md"


def test_the_chinese_readme_is_that_of_the_present_english_one():
    english = digest((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    *_, last = CHINESE.read_text(encoding="utf-8").splitlines()
    assert last == f"<!-- translates README.md {english} -->", (
        "put README.zh.md in step with README.md, then write this digest into its last line"
    )


def test_both_readmes_have_the_same_code_links_numbers_and_rows():
    english, chinese = (
        split_page(
            (REPOSITORY / name).read_text(encoding="utf-8").partition("\n<!-- translates")[0]
        )
        for name in ("README.md", "README.zh.md")
    )
    assert len(english) == len(chinese)
    told = {
        title: found
        for title, text, other in zip(english, english.values(), chinese.values(), strict=True)
        if (found := differences(text, other))
    }
    each_other = ["link 'README.zh.md' only in English", "link 'README.md' only in Chinese"]
    assert told == {"kvbook": each_other}
