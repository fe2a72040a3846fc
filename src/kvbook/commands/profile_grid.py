"""Methods over context lengths, measured and on paper, into one file."""

from collections.abc import Sequence
from pathlib import Path

from kvbook import results
from kvbook.commands.grid import make_grid
from kvbook.errors import ParameterError
from kvbook.files import check_writable
from kvbook.lm.models import load_model
from kvbook.profiling.profile import Profiled, profile


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
    """`profile` from the words of a command line, kept in the file ``output``.

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
