"""Six tasks in LongBench's format, small enough for the embedded model.

LongBench's own texts (Bai et al., 2024) are longer than a model of 135 million parameters can
read. These are of the same six kinds and 500 to 1200 tokens long; their text was written for
this book, or comes from Python's standard library. Everything is drawn from a seed:
``python -m kvbook.tasks.embedded`` writes the same files again.
"""

from pathlib import Path

FOLDER = Path("tasks")


def row(
    task: str,
    number: int | str,
    context: str,
    answers: list[str],
    *,
    question: str = "",
    opening: str = "",
    classes: list[str] | None = None,
    language: str = "en",
) -> dict:
    """One item with LongBench's fields, and ``opening``.

    Parameters
    ----------
    task : str
        LongBench's name of the task.
    number : int or str
        What tells the item from the others of its task.
    context, question : str
        What is read, and what is asked about it.
    answers : list of str
        Any of them is right.
    opening : str
        How the model's answer is begun for it; a small model answers what a large one would
        when its first words are given.
    classes : list of str, optional
        What a classification chooses from.
    language : str
        ``"en"`` or ``"python"``.
    """
    return {
        "input": question,
        "context": context,
        "answers": answers,
        "length": len(context.split()),
        "dataset": task,
        "language": language,
        "all_classes": classes,
        "_id": f"embedded_{task}_{number if isinstance(number, str) else f'{number:02}'}",
        "opening": opening,
    }
