"""One prompt through one method: what the chapters look at."""

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

from transformers import BatchEncoding

from kvbook.engine.run import Run
from kvbook.errors import ParameterError
from kvbook.lm.costs import prefill_flops
from kvbook.lm.generation import generate_words
from kvbook.lm.models import check_loaded
from kvbook.lm.text import check_text
from kvbook.methods import Method
from kvbook.methods.base import as_method
from kvbook.tasks import needle
from kvbook.texts import read_text


@dataclass(frozen=True)
class Example:
    """A prompt, ready to be read by a model and by people.

    Attributes
    ----------
    inputs : BatchEncoding
        ``input_ids`` and ``attention_mask``, ``[1, tokens]``.
    tokens : list of str
        The text of every token.
    answer : str
        What is asked for; empty for a prompt of your own.
    gold : tuple of int
        Positions of the answer's tokens in the prompt; empty without one.
    """

    inputs: BatchEncoding
    tokens: list[str]
    answer: str = ""
    gold: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Tokens of the prompt."""
        return len(self.tokens)

    def __str__(self) -> str:
        where = f"; the answer {self.answer} is at positions {list(self.gold)}" if self.gold else ""
        return f"{self.length} tokens{where}"


def as_example(lm, text: str, answer: str = "") -> Example:
    """A text as an example; ``answer`` is looked for in it, from its end."""
    check_loaded(lm)
    check_text(text, "the prompt")
    inputs = lm.tokenizer(
        text, return_tensors="pt", add_special_tokens=False, return_offsets_mapping=True
    )
    spans = inputs.pop("offset_mapping")[0].tolist()
    ids = inputs.input_ids[0]
    if len(ids) == 0:
        raise ParameterError("the prompt is empty: give it at least one word")
    start = text.rfind(f"{answer}.") if answer else -1
    gold = [i for i, (a, _) in enumerate(spans) if start >= 0 and start <= a < start + len(answer)]
    tokens = [lm.tokenizer.decode([token]) for token in ids]
    return Example(inputs.to(lm.model.device), tokens, answer, tuple(gold))


def read_example(
    lm, data: Path, prompt: str = "", prompt_file: str = "", seed: int = 0, length: int = 500
) -> Example:
    """The prompt of a chapter's parameters, or else a needle in the book's essays.

    Parameters
    ----------
    lm : LoadedModel
        With its tokenizer.
    data : Path
        The folder of the book's data.
    prompt, prompt_file : str
        A text, or a file that holds one; both empty: a needle.
    seed, length : int
        What the needle is drawn from, and about how many tokens it has.
    """
    check_loaded(lm)
    if prompt_file:
        try:
            return as_example(lm, read_text(Path(prompt_file)))
        except OSError as error:
            raise ParameterError(f"prompt_file {prompt_file} cannot be read: {error}") from None
    if prompt:
        return as_example(lm, prompt)
    one = needle.make_needles(lm.tokenizer, data, count=3, length=length, seed=seed)[1]
    return as_example(lm, one.prompt, one.answer)


@dataclass(frozen=True)
class Trial:
    """What one method did with one prompt.

    Attributes
    ----------
    method : Method
        With its parameters.
    run : Run
        The record.
    text : str
        The new words.
    flops : float
        Floating-point operations of the prefill, on paper.
    """

    method: Method
    run: Run
    text: str
    flops: float

    @property
    def label(self) -> str:
        """What the method calls itself; or its name, its budget, and of its other parameters those that
        are not the default."""
        method = self.method
        if hasattr(method, "label"):
            return method.label
        own = [one for one in (fields(method) if is_dataclass(method) else ()) if one.init]
        changed = [(one.name, getattr(method, one.name), one.default) for one in own]
        return ", ".join(
            [method.name] + [f"{name} {value}" for name, value, usual in changed if value != usual]
        )

    def cost_row(self) -> dict[str, str]:
        """What it cost, for `kvbook.show.table`."""
        run = self.run
        read = sum(inputs.shape[1] for inputs in run.layer_inputs) / len(run.layer_inputs)
        return {
            "method": self.label,
            "tokens a layer reads": f"{read:.0f}"
            + (f" (+ {run.filter_layers} layers, all)" if run.filter_layers else ""),
            "prefill GFLOP": f"{self.flops / 1e9:.0f}",
            "prefill": f"{run.prefill_seconds:.2f} s",
            "KV now": f"{run.kv_bytes / 2**20:.2f} MiB",
            "KV at most": f"{run.kv_bytes_peak / 2**20:.2f} MiB",
            "decode": f"{1000 * run.decode_seconds / max(1, run.decode_tokens):.0f} ms a token",
        }


def try_method(lm, method: Method, example: Example, new_tokens: int = 12) -> Trial:
    """Generate greedily after an example's prompt, with ``method`` attached."""
    check_loaded(lm)
    method = as_method(method)
    with method.attach(lm.model) as run:
        text = generate_words(lm, example.inputs.input_ids.tolist(), new_tokens)[0]
    return as_trial(run, text, example)


def as_trial(run: Run, text: str, example: Example) -> Trial:
    """The record of a run, and what was said, with the operations of the prefill."""
    lengths = [inputs.shape[1] for inputs in run.layer_inputs]
    flops = prefill_flops(run.model.config, lengths, example.length, run.filter_layers)
    return Trial(run.method, run, text, flops)
