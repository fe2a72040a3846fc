"""Dialogues and files of rows, in few words, for tests only."""

import json

from kvbook.finetune.data import Dialogue

ROW = {"instruction": "头痛怎么办？", "input": "", "output": "多休息。"}


def chat(*contents, system=None, line=1):
    """A dialogue of questions and answers in turn."""
    roles = ["user", "assistant"] * len(contents)
    turns = list(zip(roles, contents, strict=False))
    turns = [("system", system), *turns] if system else turns
    return Dialogue(tuple({"role": role, "content": content} for role, content in turns), line)


def asks(*questions):
    """Dialogues with these questions in lines 1, 2, ..."""
    return [chat(question, "ok", line=line) for line, question in enumerate(questions, 1)]


def file_of(folder, *rows, name="train.jsonl"):
    """A file with a line a row; a string is a line as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name
