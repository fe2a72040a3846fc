"""`kvbook profile`: methods over context lengths, measured and on paper, into one file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kvbook import results
from kvbook.errors import ParameterError
from kvbook.files import check_writable
from kvbook.methods.base import Method
from kvbook.models import load_model
from kvbook.profiling.hardware import Hardware, measure_hardware
from kvbook.profiling.prediction import Prediction, predict
from kvbook.profiling.timing import Measurement, measure_all
from kvbook.tasks.grid import make_grid


@dataclass(frozen=True)
class Profiled:
    """What a session found.

    Attributes
    ----------
    measurements : list of Measurement
        Context by context, in the order of the methods.
    predictions : list of Prediction
        Of the same, on this machine.
    hardware : Hardware
        This machine, by its micro-benchmark.
    """

    measurements: list[Measurement]
    predictions: list[Prediction]
    hardware: Hardware

    @property
    def rows(self) -> list[dict[str, str]]:
        """For a table: measured, and on paper beside it."""
        return [
            one.row()
            | {
                "paper: prefill, s": f"{paper.prefill_seconds:.2f}",
                "paper: memory, MiB": f"{(paper.peak_bytes - paper.weight_bytes) / 2**20:.0f}",
            }
            for one, paper in zip(self.measurements, self.predictions, strict=True)
        ]

    @property
    def notes(self) -> list[str]:
        """What methods had to change, each said once."""
        return list(dict.fromkeys(note for one in self.measurements for note in one.notes))

    def data(self) -> dict:
        """Plain values, for a results file."""
        return {
            "hardware": asdict(self.hardware),
            "measurements": [one.data() for one in self.measurements],
            "predictions": [
                {
                    "method": one.method,
                    "context_length": one.context_length,
                    "prefill_seconds": paper.prefill_seconds,
                    "decode_seconds": paper.decode_seconds,
                    "peak_bytes": paper.peak_bytes - paper.weight_bytes,
                    "kv_bytes": paper.kv_bytes,
                }
                for one, paper in zip(self.measurements, self.predictions, strict=True)
            ],
        }


def profile(
    lm,
    methods: dict[str, Method],
    contexts: Sequence[int],
    new_tokens: int = 16,
    repeats: int = 3,
    **options,
) -> Profiled:
    """Measure this machine, then the methods on it, and predict the same.

    Parameters
    ----------
    lm, methods, contexts, new_tokens, repeats, **options
        As for `kvbook.profiling.measure_all`; every method is one of ours.
    """
    hardware = measure_hardware(lm)
    measurements = measure_all(lm, methods, contexts, new_tokens, repeats, **options)
    predictions = [
        predict(
            lm.model.config,
            methods[one.method],
            one.context_length,
            new_tokens,
            dtype=lm.model.dtype,
            hardware=hardware,
        )
        for one in measurements
    ]
    return Profiled(measurements, predictions, hardware)


def profile_grid(
    methods: Sequence[str],
    contexts: Sequence[str],
    budget: str,
    parameters: Sequence[str] = (),
    *,
    new_tokens: int,
    repeats: int,
    memory: bool,
    model: str,
    dtype: str,
    output: Path,
) -> Profiled:
    """The same from the words of a command line, kept in the file ``output``.

    Raises
    ------
    ParameterError
        An unknown method or parameter, a context that is no number, or an output that is no
        ``.json`` file or cannot be written; before anything is measured.
    """
    grid = make_grid(methods, budgets=[budget], parameters=parameters)
    wrong = [one for one in contexts if not one.isdecimal() or int(one) < 1]
    if wrong or not contexts:
        raise ParameterError(
            f"--contexts {','.join(wrong)}: give numbers of tokens with commas between, such as "
            "1024,4096"
        )
    if output.is_dir() or output.suffix != ".json":
        raise ParameterError(f"--output {output}: give a file that ends in .json")
    lm = load_model(model, dtype=dtype)
    limit = lm.model.config.max_position_embeddings
    lengths = [int(one) for one in contexts]
    if max(lengths) + new_tokens > limit:
        raise ParameterError(
            f"--contexts {max(lengths)} and {new_tokens} new tokens are more than the {limit} "
            f"positions of {model}"
        )
    check_writable(output.parent)
    named = {method.name: method for method in grid.methods}
    done = profile(lm, named, lengths, new_tokens, repeats, memory=None if memory else ())
    asked = {
        "model": model,
        "dtype": dtype,
        "methods": list(methods),
        "contexts": lengths,
        "budget": budget,
        "parameters": list(parameters),
        "new_tokens": new_tokens,
        "repeats": repeats,
    }
    results.save(output.stem, done.data(), parameters=asked, directory=output.parent)
    return done
