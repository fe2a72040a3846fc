"""Fine-tuning data: a file of rows, chat messages, the model's own template, and what is trained.

Rows are Alpaca's (``instruction``, ``input``, ``output``; MedChatZH's, Tan et al., 2024),
ShareGPT's (``conversations``) or OpenAI's (``messages``). What counts for the loss is what
counts in LLaMA-Factory 0.9.5 (``template: qwen3``, ``enable_thinking: false``) and in TRL 1.16
(prompt and completion): the last answer, its end-of-turn token, and whatever the template
writes behind it, which for Qwen3 is one newline. The empty think block of a model that does
not think belongs to the prompt.
"""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import TemplateError

from kvbook.errors import ParameterError
from kvbook.results import write_whole

IGNORED = -100
"""The label of a token that does not count for the loss, as PyTorch's cross entropy has it."""
ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
"""What the formats call them, and what chat templates call them."""
THINKING = {"enable_thinking": False}
"""For every chat template; those that know nothing of thinking ignore it."""
CONTROL = re.compile(r"<\|\w+\|>")
THINK = re.compile(r"</?think>")


# ---- rows ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dialogue:
    """One row of the data as a chat.

    Attributes
    ----------
    messages : tuple of dict
        Each ``{"role": ..., "content": ...}``: perhaps a system message, then user and
        assistant in turn; the last is the assistant's answer, which is trained.
    line : int
        Where it stands in its file, from 1.

    Raises
    ------
    ParameterError
        Roles in another order; a text that is not a string, or empty, or not Unicode; a
        text that holds control tokens of a chat template, which the tokenizer would take for
        the template's own; an answer with a think block, since thinking is off.
    """

    messages: tuple[dict[str, str], ...]
    line: int

    def __post_init__(self):
        turns = self.messages[1:] if _role(self.messages) == "system" else self.messages
        for number, message in enumerate(turns):
            if message["role"] != ("user", "assistant")[number % 2]:
                raise ParameterError("user and assistant do not alternate, the user first")
        if not turns or len(turns) % 2:
            raise ParameterError("the last message is not an answer of the assistant")
        for message in self.messages:
            _check_text(message["role"], message["content"])

    @property
    def prompt(self) -> list[dict[str, str]]:
        """All messages before the last answer."""
        return list(self.messages[:-1])

    @property
    def answer(self) -> str:
        """The last answer."""
        return self.messages[-1]["content"]

    @property
    def question(self) -> str:
        """What the answer answers: the prompt's texts, a line each, without the system's."""
        return "\n".join(m["content"] for m in self.prompt if m["role"] != "system")


def _role(messages: Sequence[dict[str, str]]) -> str | None:
    return messages[0]["role"] if messages else None


def _check_text(role: str, content: str) -> None:
    if not isinstance(content, str):
        raise ParameterError(f"a message of the {role} is {_kind(content)}, not a string")
    if not content.strip():
        raise ParameterError(f"a message of the {role} is empty")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise ParameterError(f"a message of the {role} holds half of a surrogate pair") from None
    found = CONTROL.search(content) or (role == "assistant" and THINK.search(content))
    if found:
        raise ParameterError(f"a message of the {role} holds the control token {found[0]}")


@dataclass(frozen=True)
class Malformed:
    """A row that cannot be used: where, and why.

    Attributes
    ----------
    line : int
        From 1.
    reason : str
    """

    line: int
    reason: str


@dataclass(frozen=True)
class Read:
    """What is in a file.

    Attributes
    ----------
    dialogues : list of Dialogue
        The usable rows, in the file's order.
    malformed : list of Malformed
        The others.
    """

    dialogues: list[Dialogue]
    malformed: list[Malformed]


def read_dialogues(path: str | Path, *, limit: int | None = None) -> Read:
    """Read a file of fine-tuning data.

    Parameters
    ----------
    path : str or Path
        JSON Lines, or one JSON array, in UTF-8. Rows with ``instruction``, ``output`` and
        perhaps ``input``, ``history`` (pairs of question and answer) and ``system``; rows with
        ``conversations`` (``from``: human, gpt or system, and ``value``); or rows with
        ``messages`` (``role`` and ``content``). As in LLaMA-Factory, the question is
        ``instruction`` and ``input``, those that are not empty, a line each. White space in
        front of an answer is left out: tokenizers may merge it with the end of the prompt.
    limit : int, optional
        Stop after so many usable rows.

    Raises
    ------
    ParameterError
        There is no such file, it is not UTF-8, or it has no usable row.
    """
    if limit is not None and limit < 1:
        raise ParameterError(f"limit={limit}: give a number of rows from 1, or leave it out")
    path, dialogues, malformed = Path(path), [], []
    for line, row in _open_rows(path):
        try:
            if isinstance(row, ValueError):
                raise ParameterError(f"not JSON: {row}")
            dialogues.append(Dialogue(tuple(_as_messages(row)), line))
        except ParameterError as error:
            malformed.append(Malformed(line, str(error)))
        if len(dialogues) == limit:
            break
    if not dialogues:
        why = "it is empty"
        if malformed:
            first = malformed[0]
            why = f"{len(malformed)} malformed, the first in line {first.line}: {first.reason}"
        raise ParameterError(
            f"{path} has no usable row ({why}); a row is a JSON object with instruction, input and "
            "output, or with conversations, or with messages"
        )
    return Read(dialogues, malformed)


def _open_rows(path: Path) -> Iterator[tuple[int, object]]:
    """Line numbers and rows; a `ValueError` in place of a row that is not JSON."""
    if path.is_dir():
        raise ParameterError(f"{path} is a folder: give one file of it")
    try:
        with path.open("rb") as file:
            first = True
            for number, raw in enumerate(file, 1):
                text = _decode(raw, path, number)
                if not text.strip():
                    continue
                if first and text.lstrip().startswith("["):
                    yield from _array(text + _decode(file.read(), path, number + 1), number)
                else:
                    yield number, _parse(json.loads, text)
                first = False
    except FileNotFoundError:
        raise ParameterError(f"there is no file {path}: give a .jsonl or .json file") from None
    except OSError as error:
        raise ParameterError(f"cannot read {path}: {error.strerror}") from None


def _decode(raw: bytes, path: Path, line: int) -> str:
    try:
        return raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # the file was cut off inside a character
            return raw[: error.start].decode()
        line += raw.count(b"\n", 0, error.start)
        raise ParameterError(
            f"{path} is not UTF-8 (line {line}): save it as UTF-8; if it is Chinese, `iconv -f "
            "GB18030 -t UTF-8` may do it"
        ) from None


def _parse(parse, *arguments) -> object:
    try:
        return parse(*arguments)
    except RecursionError:
        return ValueError("nested too deeply")
    except ValueError as error:
        return ValueError(getattr(error, "msg", str(error)))


def _array(text: str, line: int) -> Iterator[tuple[int, object]]:
    """The elements of a JSON array that begins in ``line``; nothing is sure behind a bad one."""
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    seen, at = 0, between.match(text, text.index("[") + 1).end()
    while at < len(text) and text[at] != "]":
        line, seen = line + text.count("\n", seen, at), at
        row = _parse(decoder.raw_decode, text, at)
        if isinstance(row, ValueError):
            yield line, row
            return
        yield line, row[0]
        at = between.match(text, row[1]).end()
    line += text.count("\n", seen, at)
    if at == len(text):
        yield line, ValueError("the array has no end")
    elif text[at + 1 :].strip():
        yield line, ValueError("there is more behind the array")


def _as_messages(row: object) -> Iterator[dict[str, str]]:
    if not isinstance(row, dict):
        raise ParameterError(f"{_kind(row)}, not an object")
    if row.get("messages") is not None:
        turns = _turns(row["messages"], "messages", "role", "content")
    elif row.get("conversations") is not None:
        turns = _turns(row["conversations"], "conversations", "from", "value")
    elif "instruction" in row:
        turns = _alpaca(row)
    else:
        raise ParameterError("no instruction, conversations or messages")
    system = _text(row, "system")
    if system.strip() and (not turns or turns[0][0] != "system"):
        turns = [("system", system), *turns]
    if turns and turns[0] == ("system", ""):  # which means: no system message
        turns = turns[1:]
    for role, content in turns:
        if role == "assistant" and isinstance(content, str):
            content = content.lstrip()
        yield {"role": role, "content": content}


def _alpaca(row: dict) -> list[tuple[str, str]]:
    history = row.get("history") or []
    if not isinstance(history, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in history
    ):
        raise ParameterError("history is not a list of pairs of question and answer")
    question = "\n".join(filter(None, (_text(row, "instruction"), _text(row, "input"))))
    if not question.strip():
        raise ParameterError("instruction and input are empty")
    if not _text(row, "output").strip():
        raise ParameterError("output is missing or empty")
    turns = [turn for pair in history for turn in zip(("user", "assistant"), pair, strict=True)]
    return [*turns, ("user", question), ("assistant", row["output"])]


def _turns(messages: object, name: str, role: str, content: str) -> list[tuple[str, str]]:
    if not isinstance(messages, list) or not all(
        isinstance(one, dict) and role in one and content in one for one in messages
    ):
        raise ParameterError(f"{name} is not a list of objects with {role} and {content}")
    for message in messages:
        if str(message[role]).lower() not in ROLES:
            raise ParameterError(f"{role} is {message[role]!r}, not one of {', '.join(ROLES)}")
    return [(ROLES[str(one[role]).lower()], one[content]) for one in messages]


def _text(row: dict, field: str) -> str:
    text = row.get(field)
    if text is not None and not isinstance(text, str):
        raise ParameterError(f"{field} is {_kind(text)}, not a string")
    return text or ""


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


# ---- tokens -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encoded:
    """A dialogue as the model reads it in training.

    Attributes
    ----------
    ids, labels : list of int
        ``[tokens]`` each; a label is its own token where it counts for the loss, else -100.
    cut : bool
        Whether the end was cut off.
    """

    ids: list[int]
    labels: list[int]
    cut: bool = False

    @property
    def trained(self) -> int:
        """How many tokens count; 0 if the prompt alone fills the length."""
        return sum(label != IGNORED for label in self.labels)


def encode(tokenizer, dialogue: Dialogue, *, max_length: int | None = None) -> Encoded:
    """A dialogue by the model's own chat template, and what of it is trained.

    The prompt ends where an answer would be generated with thinking off; everything behind
    it counts. For Qwen3 that is the answer, ``<|im_end|>`` and a newline: the last is trained
    by LLaMA-Factory, whose template writes it into the answer, and by TRL, which counts
    all that its completion adds. The model never generates it, since it stops before.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        With a chat template.
    max_length : int, optional
        Most tokens; what is over is cut off at the end, as TRL does. LLaMA-Factory's
        ``cutoff_len`` also shortens the prompt.

    Raises
    ------
    ParameterError
        There is no chat template, it refuses the messages, or it renders the prompt in
        another way once an answer follows; or ``max_length`` is below 1.
    """
    if max_length is not None and max_length < 1:
        raise ParameterError(f"max_length={max_length}: give a number of tokens from 1")
    prompt = _apply(tokenizer, dialogue, dialogue.prompt, add_generation_prompt=True)
    ids = _apply(tokenizer, dialogue, list(dialogue.messages))
    if ids[: len(prompt)] != prompt:
        raise ParameterError(
            f"line {dialogue.line}: the tokens of the prompt change when the answer follows; the "
            "answer may begin with white space, or the chat template may need another model's form"
        )
    labels = [IGNORED] * len(prompt) + ids[len(prompt) :]
    cut = max_length is not None and len(ids) > max_length
    return Encoded(ids[:max_length], labels[:max_length], cut)


def _apply(tokenizer, dialogue: Dialogue, messages: list[dict[str, str]], **options) -> list[int]:
    if not tokenizer.chat_template:
        raise ParameterError(
            "the tokenizer has no chat template: take an instruct model, such as 'Qwen/Qwen3-0.6B'"
        )
    try:
        return tokenizer.apply_chat_template(messages, return_dict=False, **THINKING, **options)
    except TemplateError as error:
        raise ParameterError(
            f"line {dialogue.line}: the model's chat template refuses it ({error})"
        ) from None


def length_statistics(tokenizer, dialogues: Sequence[Dialogue]) -> dict:
    """How long the rows are.

    Returns
    -------
    dict
        ``count``, and for ``prompt``, ``answer`` and ``whole``, in ``tokens`` (with those of the
        template) and in ``characters`` (without): ``min``, ``median``, ``mean``, ``p95``, ``max``.

    Raises
    ------
    ParameterError
        There are no dialogues; see also `encode`.
    """
    if not dialogues:
        raise ParameterError("there are no dialogues to measure")
    tokens, characters = [], []
    for dialogue in dialogues:
        encoded = encode(tokenizer, dialogue)
        tokens.append((len(encoded.ids) - encoded.trained, encoded.trained))
        prompt = sum(len(message["content"]) for message in dialogue.prompt)
        characters.append((prompt, len(dialogue.answer)))
    units = {"tokens": np.array(tokens), "characters": np.array(characters)}
    parts = {"prompt": [0], "answer": [1], "whole": [0, 1]}
    return {"count": len(dialogues)} | {
        part: {unit: _summary(lengths[:, columns].sum(1)) for unit, lengths in units.items()}
        for part, columns in parts.items()
    }


def _summary(lengths: np.ndarray) -> dict[str, float]:
    return {
        "min": int(lengths.min()),
        "median": float(np.median(lengths)),
        "mean": float(lengths.mean()),
        "p95": float(np.quantile(lengths, 0.95)),
        "max": int(lengths.max()),
    }


# ---- for the trainers ---------------------------------------------------------------------------


def as_prompt_completion(dialogue: Dialogue) -> dict:
    """A row for TRL's ``SFTTrainer``, which trains of it what `encode` says.

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
        known = json.loads(info.read_bytes()) if info.exists() else {}
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
    texts = [message["content"] for message in dialogue.messages]
    system = texts.pop(0) if _role(dialogue.messages) == "system" else ""
    *earlier, question, answer = texts
    history = [earlier[i : i + 2] for i in range(0, len(earlier), 2)]
    row = {"instruction": question, "input": "", "output": answer}
    return row | {"history": history, "system": system}


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


# ---- duplicates ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A row of the training data, and the row of the test data that it repeats.

    Attributes
    ----------
    train, test : int
        Their lines.
    similarity : float
        From 0 to 1.
    """

    train: int
    test: int
    similarity: float


@dataclass(frozen=True)
class Deduplicated:
    """Training data that the test data do not know.

    Attributes
    ----------
    train : list of Dialogue
        What is left.
    test : list of Dialogue
        All of it.
    exact, near : list of Pair
        What was taken out of the training data, each row with the test row that is most like it.
    """

    train: list[Dialogue]
    test: list[Dialogue]
    exact: list[Pair]
    near: list[Pair]


def remove_duplicates(
    train: Sequence[Dialogue], test: Sequence[Dialogue], *, threshold: float = 0.8
) -> Deduplicated:
    """Take out of the training data what the test data ask.

    Questions are compared after Unicode's NFKC, in lower case, without white space and
    punctuation. Equal ones are exact duplicates, whatever the answers; near ones share most
    of their three-character pieces (Jaccard similarity of the two sets).

    Parameters
    ----------
    threshold : float
        The least similarity of a near duplicate, above 0 and up to 1.

    Raises
    ------
    ParameterError
        ``threshold`` is not in that range.
    """
    if not 0 < threshold <= 1:
        raise ParameterError(f"threshold={threshold}: give a similarity above 0, up to 1")
    asked, holders, sizes = {}, defaultdict(list), []
    for number, dialogue in enumerate(test):
        text = _normal(dialogue.question)
        asked.setdefault(text, dialogue.line)
        pieces = _pieces(text)
        sizes.append(len(pieces))
        for piece in pieces:
            holders[piece].append(number)
    holders = {piece: np.array(numbers) for piece, numbers in holders.items()}
    sizes, left, exact, near = np.array(sizes), [], [], []
    for dialogue in train:
        text = _normal(dialogue.question)
        if text in asked:
            exact.append(Pair(dialogue.line, asked[text], 1.0))
            continue
        pieces = _pieces(text)
        common = [holders[piece] for piece in pieces if piece in holders]
        if len(common) / len(pieces) >= threshold:  # no similarity is above that share
            shared = np.bincount(np.concatenate(common), minlength=len(sizes))
            similarity = shared / (len(pieces) + sizes - shared)
            best = int(similarity.argmax())
            if similarity[best] >= threshold:
                near.append(Pair(dialogue.line, test[best].line, float(similarity[best])))
                continue
        left.append(dialogue)
    return Deduplicated(left, list(test), exact, near)


class _WithoutSigns(dict):
    """A table for `str.translate` that drops punctuation, separators and control characters."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PZC" else code
        return self[code]


_WITHOUT_SIGNS = _WithoutSigns()


def _normal(question: str) -> str:
    text = unicodedata.normalize("NFKC", question).lower()
    return text.translate(_WITHOUT_SIGNS) or text.strip()  # of signs alone, the signs


def _pieces(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(max(1, len(text) - 2))}
