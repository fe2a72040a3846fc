"""Ways to a smaller cache, each by the bytes that it keeps: what is found, and how far a
distribution moves."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from kvbook.errors import ParameterError
from kvbook.lm.models import check_loaded
from kvbook.methods.base import as_methods
from kvbook.tasks.fidelity import Probe, measure_probe
from kvbook.tasks.needle import NEW_TOKENS, Needle, found
from kvbook.tasks.together import Label, answer_together


def compare_bytes(
    lm, methods: Mapping[Label, Any], needles: Sequence[Needle], probes: Sequence[Probe]
) -> dict[Label, dict]:
    """Ask every needle and follow every probe with several methods.

    Returns
    -------
    dict of dict
        By label: ``found``, one truth value a needle; ``kl`` and ``agreement``, one number a probe,
        as in `kvbook.tasks.fidelity.Fidelity`; ``needle_bytes`` and ``probe_bytes``, what the
        prefill left of them on average, from the real tensors.

    Raises
    ------
    ParameterError
        No needle, no probe; as in `kvbook.tasks.together.answer_together`.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    if not needles or not probes:
        raise ParameterError(
            f"{len(needles)} needles and {len(probes)} probes: give at least one of each"
        )
    prompts = [lm.tokenizer(one.prompt, add_special_tokens=False).input_ids for one in needles]
    answers = answer_together(lm, list(methods.values()), prompts, NEW_TOKENS)
    followed = [measure_probe(lm, methods, probe) for probe in probes]
    return {
        label: {
            "found": [found(*pair) for pair in zip(needles, _words(said), strict=True)],
            "needle_bytes": fmean(answer.kept_bytes for answer in said),
            "kl": [of[label]["kl"] for of in followed],
            "agreement": [of[label]["agreement"] for of in followed],
            "probe_bytes": fmean(of[label]["kept_bytes"] for of in followed),
        }
        for label, said in zip(methods, answers, strict=True)
    }


def _words(answers: Sequence) -> list[str]:
    return [answer.words for answer in answers]
