"""Fine-tuning data as files of rows: templates, formats, what is malformed, what stands twice."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from IPython.display import HTML, Markdown

from kvbook.finetune.data import Deduplicated, Dialogue, Duplicate, Read
from kvbook.show.said import Said, say
from kvbook.show.tables import quoted, table


def finetuning_report(report: Mapping) -> HTML:
    """What the report says about its fine-tuning: ``finetuning`` of ``report.json``."""
    before, after = report["bertscore_f1"].values()
    said = {
        "training data": "MedChatZH: Chinese medical dialogue instructions, JSON Lines with instruction, input, output",
        "conversion": "to the chat template of Qwen3",
        "training": "LoRA by LLaMA-Factory, so that the small model keeps its native ability; merged into the weights",
        "test data": f"the official test set, {report['items']} items",
        "BERTScore F1": f"{before:.2f} before, {after:.2f} after",
    }
    rows = [{"what": what, "the report": text} for what, text in said.items()]
    return table(rows, "report", "sections 2.2 and 3.2")


def template_texts(texts: Mapping[str, str]) -> HTML:
    """One conversation as the templates of several models write it down."""
    rows = [{"model": name, "text": quoted(_in_line(text))} for name, text in texts.items()]
    return table(rows, "computed", "one conversation, three templates")


def template_answers(answers: Mapping[str, tuple[str, bool]], question: str, expected: str) -> HTML:
    """What a model answers to a question by template, and whether it stopped by itself.

    Parameters
    ----------
    answers : mapping of str to (str, bool)
        By template: the answer, and whether it ended by itself.
    expected : str
        What a right answer contains.
    """
    rows = [
        {
            "template": name,
            "answer": quoted(_in_line(text)),
            "right?": "yes" if expected in text else "no",
            "stopped by itself": "yes" if ended else "no",
        }
        for name, (text, ended) in answers.items()
    ]
    caption = f"“{question}” Expected: {expected}. 16 tokens at most; one question is an example and no score"
    return table(rows, "measured", caption)


def template_sentence(answers: Mapping[str, tuple[str, bool]], expected: str) -> Said:
    """With which templates the answer of `template_answers` is right and ends by itself."""
    good = [name for name, (text, ended) in answers.items() if ended and expected in text]
    bad = [name for name in answers if name not in good]
    if not bad:
        return say("With every template the model gives the right answer and stops by itself.")
    if not good:
        return say(
            "With none of the templates the model gives the right answer and stops by itself."
        )
    return say(
        "The answer is right and stops by itself with: {good}. It is wrong, or does not stop, with: {bad}.",
        good=", ".join(good),
        bad=", ".join(bad),
    )


def _in_line(text: str) -> str:
    return text.replace("\n", "↵ ")


def malformed_rows(text: str, read: Read) -> HTML:
    """The rows of a file's text that cannot be used, and why."""
    lines, usable = text.splitlines(), " and ".join(str(one.line) for one in read.dialogues)
    rows = [
        {"line": one.line, "row": lines[one.line - 1], "what is wrong": one.reason}
        for one in read.malformed
    ]
    found = f"{len(lines)} lines, of which {len(rows)} are malformed; lines {usable} are usable"
    return table(rows, "computed", found)


def files_table(reads: Mapping[str, Read], caption: str) -> HTML:
    """Usable and malformed rows of files."""
    rows = [
        {
            "file": name,
            "usable rows": len(read.dialogues),
            "malformed": len(read.malformed),
            "the first of them": f"line {read.malformed[0].line}: {read.malformed[0].reason}"
            if read.malformed
            else "–",
        }
        for name, read in reads.items()
    ]
    return table(rows, "measured", caption)


def json_block(value: object) -> Markdown:
    """A value as JSON."""
    return Markdown(f"```json\n{json.dumps(value, ensure_ascii=False, indent=1)}\n```")


def json_file(path: Path) -> Markdown:
    """A file of JSON under its name."""
    return Markdown(f"`{path.name}`\n```json\n{path.read_text(encoding='utf-8')}```")


def yaml_keys(values: Mapping, keys: Sequence[str]) -> Markdown:
    """Some keys of `lora.yaml`."""
    lines = "\n".join(f"{key}: {str(values[key]).lower()}" for key in keys)
    return Markdown(
        f"What `lora.yaml` tells LLaMA-Factory about these rows:\n```yaml\n{lines}\n```"
    )


def same_rows_sentence(same: Mapping[str, int], rows: int) -> Said:
    """In how many rows another trainer has our ``tokens`` and our ``labels``."""
    if set(same.values()) == {rows}:
        return say("In all {rows} rows, TRL's tokens and labels are those of `encode`.", rows=rows)
    return say(
        "TRL does **not** train what `encode` says: of {rows} rows, {tokens} have the same tokens and {labels} the same labels.",
        rows=rows,
        **same,
    )


def duplicates_sentence(found: Deduplicated) -> Said:
    """How many training rows ask what the test asks."""
    exact, near, left = len(found.exact), len(found.near), len(found.train)
    if not exact + near:
        return say(
            "None of the {left} training questions is one of the {test} test questions, word for word or nearly so.",
            left=left,
            test=len(found.test),
        )
    return say(
        "Of {all} training questions, {exact} are test questions word for word and {near} nearly so; {left} rows are left to train on.",
        all=exact + near + left,
        exact=exact,
        near=near,
        left=left,
    )


def nearest_pair(nearest: Duplicate, train: Sequence[Dialogue], test: Sequence[Dialogue]) -> HTML:
    """The two questions of training and test that are most alike without being equal."""
    ours, theirs = ({one.line: one.question for one in rows} for rows in (train, test))
    alike = {
        "training question": ours[nearest.train],
        "test question": theirs[nearest.test],
        "similarity": f"{nearest.similarity:.2f}",
    }
    return table([alike], "measured", "the most similar pair of questions that are not equal")


def planted_table(planted: Mapping[str, str], caught: Deduplicated, every: Deduplicated) -> HTML:
    """Planted questions, a line each from 1: whether they were found, and how similar they are.

    Parameters
    ----------
    planted : mapping of str to str
        What was done to each question, and the question.
    caught, every : Deduplicated
        With the usual threshold, and with one that finds anything in common.
    """
    kinds = {one.train: "exact" for one in caught.exact} | {
        one.train: "near" for one in caught.near
    }
    alike = {one.train: f"{one.similarity:.2f}" for one in every.exact + every.near}
    rows = [
        {
            "planted": name,
            "question": question,
            "found": kinds.get(line, "no"),
            "similarity": alike.get(line, "0.00"),
        }
        for line, (name, question) in enumerate(planted.items(), 1)
    ]
    said = "against two test questions: one about an itching throat, one about blood sugar"
    return table(rows, "computed", said)


def leak_sentence(report: Mapping, seconds: float) -> Said:
    """What share of the report's test a leak would need for all of its gain."""
    before, after = report["bertscore_f1"].values()
    needed = (after - before) / (1 - before)
    return say(
        "With the report's numbers: *p* = **{needed:.0%}**, that is {leaked:.0f} of {items} items, takes the score from {before:.2f} to {after:.2f} with nothing else learned "
        "(<span class=\"kv-computed\">computed on paper</span>, from the report's scores). We do not say that this happened. The score alone cannot exclude a leak; a comparison of the questions can, and for this chapter's data it took {seconds:.3f} seconds.",
        needed=needed,
        leaked=needed * report["items"],
        items=report["items"],
        before=before,
        after=after,
        seconds=seconds,
    )
