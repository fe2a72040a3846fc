"""The sentences of the last page say the numbers that they were made from."""

import pytest

from kvbook.chapters import evidence
from kvbook.profiling.timing import Measurement


def prefill(method, *seconds):
    return Measurement(method, 1024, 4, prefill=seconds, end_to_end=seconds).data()


FACTS = [{"ago": 300, "found": True}, {"ago": 300, "found": False}, {"ago": 10, "found": True}]
TUNED = {
    "held_out_losses": [[0, 3.0], [20, 2.5], [40, 2.0]],
    "steps": 40,
    "forgetting": {"essays": {"gain": -0.1}},
    "gains": {
        "BERTScore F1, raw": {"before": 0.8, "after": 0.85, "gain": 0.05, "low": 0.01, "high": 0.09}
    },
    "unrelated": [0.7, 0.8],
    "damaged": {"ten times the dose": {"raw": 0.99}, "the same in other words": {"raw": 0.9}},
}
NONE = {"kept_bytes": {"trec": 1}, "seconds": {"trec": 1.0}}
DATA = {
    "streamingllm": {
        "needle": {
            "fullkv": [True, True],
            "streamingllm budget=64": [True, True],
            "streamingllm budget=128": [True, False],
        }
    },
    "snapkv": {"second_question": {"fullkv": [True, True], "snapkv": [False, True]}},
    "fastkv": {"by_layer": {"9": [True, False], "14": [True, True]}},
    "summarykv": {"recall": {"fullkv": {"facts": FACTS}, "another": {"facts": FACTS}}},
    "evaluation": {
        "fidelity": {
            "h2o": {"64": [{"kl": 0.5}, {"kl": 1.5}], "128": [{"kl": 0.1}]},
            "snapkv": {"64": [{"kl": 0.25}]},
        },
        "evaluated": {
            "fullkv": {**NONE, "scores": {"trec": {"a": 1.0}, "lcc": {"b": 0.0}}},
            "snapkv": {**NONE, "scores": {"trec": {"a": 0.75}, "lcc": {"b": 0.0}}},
        },
        "after": {
            "evaluated": {
                "fullkv": {"scores": {"trec": {"a": 1.0}}},
                "snapkv": {"scores": {"trec": {"a": 0.25}}},
            }
        },
    },
    "quantization": {
        "measured": {
            "full": {"16 bits": {"probe_bytes": 100, "kl": [0.0]}},
            "fullkv, fewer bits": {
                "8 bits": {"probe_bytes": 55, "kl": [0.001]},
                "4 bits": {"probe_bytes": 30, "kl": [0.01, 0.03]},
            },
            "snapkv": {
                "budget 0.25": {"probe_bytes": 25, "kl": [0.001]},
                "budget 0.5": {"probe_bytes": 50, "kl": [0.25, 0.75]},
            },
            "h2o": {"budget 0.5": {"probe_bytes": 50, "kl": [2.0]}},
            "snapkv, 8 bits": {"budget 0.5": {"probe_bytes": 30, "kl": [0.001]}},
        }
    },
    "harder": {
        "followed": {
            "fullkv": [{"shop": True, "cat": True}],
            "snapkv": [{"shop": True, "cat": False}],
        },
        "rules_budget": 0.5,
    },
    "ondevice_costs": {
        "same": {"full cache": {"kl": 1e-10}, "SummaryKV": {"kl": 2e-9}},
        "costs": [
            {"engine": engine, "context": context, "peak": [peak * 2**20]}
            for context in (512, 1024)
            for engine, peak in (
                ("kvbook, FullKV, float32", context),
                ("llama.cpp, q4_1, cache f16", 200),
                ("llama.cpp, q8_0, cache f16", 300),
            )
        ],
    },
    "profiling": {
        "measurements": [prefill("fullkv", 1, 2), prefill("fastkv", 0.5, 1), prefill("own", 1, 1)]
    },
    "bertscore": TUNED,
}
TOLD = {
    "Keeping both ends": "1 of 2 needles with budget 128, 2 with the full cache.",
    "The question knows": "a second question in the next turn was answered 2 of 2 times (fullkv), "
    "1 of 2 times (snapkv).",
    "What is cut from the reading": "FastKV, cut after layer 9: 1 of 2, 14: 2 of 2.",
    "An evicted fact need not be lost": "facts told more than 256 tokens ago: fullkv 1 of 2.",
    "The question can come later": "scores with the question known before the compression, and after "
    "it: fullkv 100 before, 100 after; snapkv 75 before, 25 after.",
    "Fewer bits first": "4 bits: 30% of the bytes, 0.020 nats from full KV; the nearest that evicts and "
    "holds at least as much is snapkv, budget 0.5: 50%, 0.500.",
    "Instructions are lost before needles": "rules of a system prompt still followed, budget 0.5: fullkv 2 of 2; "
    "snapkv 1 of 2.",
    "Methods that choose by position": "in float32 llama.cpp is at most 2e-09 nats from this package; at "
    "1,024 tokens its process with quantised weights peaks at 200 MiB, this package's in float32 at 1024.",
    "With a small model": "at 64 entries, the divergence from full KV is least for snapkv (0.25 nats) "
    "and most for h2o (1.00).",
    "Prefill is bound by operations": "fastkv 0.50 times FullKV's prefill at 1,024 tokens.",
    "Fine-tuning teaches form first": "held-out loss 3.00 to 2.00 nats a token in 40 steps; general answers essays "
    "-0.10 nats (positive is better).",
    "Unrelated texts already have a high BERTScore": "F1 0.800 to 0.850 (+0.050, interval +0.010 to +0.090), while answers "
    "to other questions score 0.750; ten times the dose scores 0.990, the right answer in other "
    "words 0.900.",
}


@pytest.mark.parametrize("sentence", TOLD)
def test_a_sentence_says_its_chapters_numbers(sentence):
    assert evidence.find_evidence(DATA)[sentence] == TOLD[sentence]


def test_every_sentence_has_its_numbers_in_the_order_of_the_page():
    assert list(evidence.find_evidence(DATA)) == list(evidence.EVIDENCE) == list(TOLD)


def test_a_chapter_without_results_or_without_such_numbers_says_nothing():
    young = [{"ago": 10, "found": True}]
    alone = {"measurements": [prefill("fullkv", 1)]}
    data = {"summarykv": {"recall": {"fullkv": {"facts": young}}}, "profiling": alone}
    data |= {"ondevice_costs": {"same": None, "costs": []}}
    assert evidence.find_evidence(data) == {}


def test_needles_are_those_of_each_method_in_its_own_chapter_behind_full_kv():
    data = {
        "profiling": {},
        "snapkv": {"needle": {"fullkv": [True], "snapkv budget=64": [False]}},
        "h2o": {"needle": {"fullkv": [False], "h2o budget=0.5": [True], "snapkv budget=9": [True]}},
    }
    assert evidence.needles_found(data) == [
        ("fullkv", "–", [True]),
        ("snapkv", "64", [False]),
        ("h2o", "0.5", [True]),
    ]
