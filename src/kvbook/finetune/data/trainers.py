"""Rows in the forms that the two trainers read: TRL's, and LLaMA-Factory's files."""

import json
import re
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

from kvbook.errors import ParameterError
from kvbook.files import write_whole
from kvbook.finetune.data.dialogue import Dialogue
from kvbook.lm.turns import THINKING
from kvbook.texts import decode, parse_json


def read_template(name: str) -> str:
    """A chat template of another model, such as ``"qwen3"`` or ``"llama3"``, from TRL's copies.

    Raises
    ------
    ParameterError
        TRL has no copy of it.
    """
    folder = Path(str(distribution("trl").locate_file("trl"))) / "chat_templates"
    try:
        return (folder / f"{name}.jinja").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParameterError(f"TRL has no chat template {name!r}") from None


def as_prompt_completion(dialogue: Dialogue) -> dict:
    """A row for TRL's ``SFTTrainer``, which then trains the tokens that `encode` says.

    Returns
    -------
    dict
        ``prompt`` and ``completion``, lists of messages, and ``chat_template_kwargs``.
    """
    return {
        "prompt": dialogue.prompt,
        "completion": [dialogue.messages[-1]],
        "chat_template_kwargs": dict(THINKING),
    }


def write_llamafactory(dialogues: Sequence[Dialogue], folder: str | Path, name: str) -> Path:
    """Write ``<name>.json`` in Alpaca's form, and enter it in the folder's ``dataset_info.json``.

    LLaMA-Factory trains of it what `encode` says, with ``template: qwen3``,
    ``enable_thinking: false``, and ``mask_history: true`` if there is any history: by default
    it trains every answer, and puts an empty think block before each.

    Parameters
    ----------
    folder : str or Path
        Its ``dataset_dir``; made if it is not there, other data sets in it stay.
    name : str
        The data set's, for its ``dataset``.

    Returns
    -------
    Path
        Of the data.

    Raises
    ------
    ParameterError
        The name is not made of letters, digits, ``_`` and ``-``; or ``dataset_info.json`` is
        there and is not one.
    ResultError
        Nothing can be written there; what was there before is unchanged.
    """
    if not re.fullmatch(r"[\w-]+", name) or name == "dataset_info":
        raise ParameterError(
            f"name={name!r}: give one of letters, digits, _ and -, and not 'dataset_info'"
        )
    info = Path(folder) / "dataset_info.json"
    try:
        known = parse_json(decode(info.read_bytes())) if info.exists() else {}
        if not isinstance(known, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise ParameterError(f"cannot read {info} ({error}): give another folder") from None
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    columns |= {"history": "history", "system": "system"}
    known[name] = {"file_name": f"{name}.json", "formatting": "alpaca", "columns": columns}
    path = Path(folder) / f"{name}.json"
    write_whole(path, _as_json([_as_alpaca(dialogue) for dialogue in dialogues]))
    write_whole(info, _as_json(known))
    return path


def _as_alpaca(dialogue: Dialogue) -> dict:
    *earlier, question, answer = [message["content"] for message in dialogue.turns]
    system = dialogue.messages[0]["content"] if dialogue.turns != dialogue.messages else ""
    history = [earlier[i : i + 2] for i in range(0, len(earlier), 2)]
    row = {"instruction": question, "input": "", "output": answer}
    return row | {"history": history, "system": system}


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
