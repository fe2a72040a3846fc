"""SummaryKV: its layout at every step, its laws, and what a summary does to the cache."""

from contextlib import nullcontext

import pytest
import torch
from conftest import VOCABULARY, continue_greedily, prompt_of

from kvbook import create_method, load_model
from kvbook.engine.attach import attach
from kvbook.engine.panel import Panel
from kvbook.errors import ParameterError, UnsupportedError
from kvbook.methods import SummaryKV, summarizers
from kvbook.methods.summarizers import find_tokenizer, split, summarize_by_model


def last(ids, most):
    return ids[-most:]


def summarykv(**parameters):
    return create_method("summarykv", **dict(budget=16, segment=6, summary_tokens=4) | parameters)


SUMMARIZERS = ["model", "extractive", last]


@pytest.mark.parametrize(
    "summarizer", SUMMARIZERS, ids=lambda one: getattr(one, "__name__", str(one))
)
@pytest.mark.parametrize("length", [3, 16, 40])
def test_the_cache_never_exceeds_the_budget(model, summarizer, length):
    with summarykv(summarizer=summarizer).attach(model) as run:
        model(prompt_of(length))
        for step in range(40):
            model(prompt_of(1, step), past_key_values=run.cache)
            assert max(run.kv_lengths) <= 16
    assert len(run.summaries) >= 2


@pytest.mark.parametrize("sinks", [0, 4])
def test_positions_are_sinks_then_summary_then_recent(llama, sinks):
    with summarykv(summarizer=last, sinks=sinks).attach(llama) as run:
        llama(prompt_of(50))
        for step in range(10):
            llama(prompt_of(1, step), past_key_values=run.cache)
            for layer in run.cache.layers:
                positions = layer.positions[0, 0].tolist()
                assert positions == sorted(set(positions))
                assert positions[:sinks] == list(range(sinks))
                assert positions[-1] == run.tokens_seen - 1
                recent = positions[sinks + len(run.shared["summary"]) :]
                assert recent == list(range(recent[0], run.tokens_seen))


@pytest.mark.parametrize("budget", [12, 0.5, 1, 1.0])
def test_without_summary_tokens_it_is_streamingllm(model, prompt, budget):
    with create_method("streamingllm", budget=budget).attach(model):
        expected, logits = continue_greedily(model, prompt)
    with create_method("summarykv", budget=budget, summary_tokens=0).attach(model) as run:
        got, got_logits = continue_greedily(model, prompt)
    assert got == expected and torch.equal(got_logits, logits) and not run.summaries


def test_what_was_never_evicted_is_full_kv(model, prompt):
    with create_method("fullkv").attach(model):
        expected, _ = continue_greedily(model, prompt)
    with summarykv(budget=60).attach(model):
        assert continue_greedily(model, prompt)[0] == expected


def test_the_cache_is_what_reading_its_parts_in_place_gives(model):
    """After a summary, entries are those of [sinks, summary] read at slots 0, 1, ..., moved."""
    from kvbook.engine.attention import rotate

    with summarykv(summarizer=last, sinks=2).attach(model) as run:
        model(prompt_of(30))
        ids = run.shared["ids"][:2] + run.summaries[-1].ids
    with create_method("fullkv").attach(model) as plain:
        model(torch.tensor([ids]))
    for layer, expected in zip(run.cache.layers, plain.cache.layers, strict=True):
        steps = run.tokens_seen - layer.entries
        keys = rotate(expected.keys, steps, run.inv_freq)
        assert torch.allclose(layer.keys[:, :, :6], keys, atol=1e-4)
        assert torch.allclose(layer.values[:, :, :6], expected.values, atol=1e-4)


def test_a_callable_sees_the_summary_and_all_that_was_evicted(llama):
    seen = []

    def first(ids, most):
        seen.append((list(ids), most))
        return ids[:most]

    ids = prompt_of(30)
    with summarykv(summarizer=first).attach(llama) as run:
        llama(ids)
    tokens = ids[0].tolist()
    assert {most for _, most in seen} == {4}
    evicted = list(seen[0][0])
    for i, (source, _) in enumerate(seen[1:], 1):
        assert source[:4] == run.summaries[i - 1].ids
        evicted += source[4:]
    assert evicted == tokens[4 : 4 + len(evicted)]  # every evicted token once, in order
    assert [summary.read for summary in run.summaries] == [len(source) for source, _ in seen]


@pytest.mark.parametrize("bad", [[1] * 5, [VOCABULARY], ["a"], None, [True]])
def test_a_wrong_answer_of_a_callable_is_refused(llama, bad):
    with (
        summarykv(summarizer=lambda ids, most: bad).attach(llama),
        pytest.raises(ParameterError, match="at most 4 token ids"),
    ):
        llama(prompt_of(30))


@pytest.mark.parametrize(
    "summarizer", SUMMARIZERS, ids=lambda one: getattr(one, "__name__", str(one))
)
def test_summarising_shares_no_state_with_the_run(model, summarizer):
    """A summarizer that also asks the model leaves the run as one that knew the answer."""
    with summarykv(summarizer=summarizer).attach(model) as run:
        tokens, logits = continue_greedily(model, prompt_of(30), 12)
    answers = iter([summary.ids for summary in run.summaries])
    with summarykv(summarizer=lambda ids, most: next(answers)).attach(model) as replay:
        again, same = continue_greedily(model, prompt_of(30), 12)
    assert tokens == again and torch.equal(logits, same)
    assert run.decode_tokens == replay.decode_tokens == 11
    assert run.kv_lengths == replay.kv_lengths
    assert all(summary.seconds > 0 for summary in run.summaries)


def test_sampling_works(llama):
    torch.manual_seed(0)
    with summarykv(summarizer="extractive").attach(llama) as run:
        out = llama.generate(prompt_of(30), do_sample=True, max_new_tokens=30)
    assert out.shape == (1, 60) and max(run.kv_lengths) <= 16


@pytest.mark.parametrize("call", ["batch", "samples", "embeddings"])
def test_more_than_one_conversation_is_refused(llama, call):
    with (
        summarykv().attach(llama),
        pytest.raises(UnsupportedError, match="one sequence|one conversation"),
    ):
        if call == "batch":
            llama(prompt_of(30).repeat(2, 1))
        elif call == "samples":
            llama.generate(prompt_of(30), do_sample=True, num_return_sequences=2, max_new_tokens=2)
        else:
            llama(inputs_embeds=torch.randn(1, 30, 32))


@pytest.mark.parametrize("budget", [1, 2, 5, 6])
def test_budgets_too_small_for_a_summary_work(llama, budget):
    with summarykv(budget=budget).attach(llama) as run:
        tokens, logits = continue_greedily(llama, prompt_of(20), 10)
    assert logits.isfinite().all() and max(run.kv_lengths) <= budget


@pytest.mark.parametrize("name", ["summarykv", "h2o"])
def test_a_snapshot_brings_everything_back_as_often_as_one_likes(llama, name):
    method = summarykv(summarizer=last) if name == "summarykv" else create_method(name, budget=9)
    logits = []
    with method.attach(llama) as run:
        llama(prompt_of(30))
        state = run.snapshot()
        for _ in range(3):
            run.restore(state)
            llama(prompt_of(9, 4), past_key_values=run.cache)
            for step in range(3):
                out = llama(prompt_of(1, step), past_key_values=run.cache)
            logits.append(out.logits)
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[1], logits[2])


def test_a_document_read_on_at_whole_segments_is_the_document_read_at_once(llama):
    ids = prompt_of(50)
    with summarykv(summarizer="extractive").attach(llama) as run:
        expected = llama(ids).logits[:, -1]
        held = [layer.keys for layer in run.cache.layers]
    with summarykv(summarizer="extractive").attach(llama) as parts:
        llama(ids[:, :18])
        so_far = parts.kv_bytes_peak
        logits = llama(ids[:, 18:], past_key_values=parts.cache).logits[:, -1]
    assert parts.summaries[-1].ids == run.summaries[-1].ids and parts.kv_lengths == run.kv_lengths
    assert torch.equal(logits, expected) and parts.kv_bytes_peak == run.kv_bytes_peak >= so_far
    assert all(map(torch.equal, held, [layer.keys for layer in parts.cache.layers]))


@pytest.mark.parametrize("summarizer", ["model", "extractive"])
def test_rows_of_a_panel_are_summarised_together_and_each_as_alone(llama, monkeypatch, summarizer):
    """From one state, with later inputs of several lengths."""
    method, ids, together = summarykv(summarizer=summarizer), prompt_of(32), []
    plain = SummaryKV.summarize
    monkeypatch.setattr(
        SummaryKV, "summarize", lambda *given: together.append(len(given[1])) or plain(*given)
    )
    turns = [prompt_of(n, seed=n) for n in (6, 2, 5)]
    rows = torch.zeros(3, 38, dtype=torch.long)
    mask = torch.ones_like(rows)
    for row, turn in enumerate(turns):
        rows[row, :32], rows[row, 38 - turn.shape[1] :] = ids[0], turn[0]
        mask[row, 32 : 38 - turn.shape[1]] = 0
    options = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False}
    with Panel([method]).attach(llama) as panel:
        llama(ids)
        panel.restore(panel.snapshot().pick([0, 0, 0]))
        words = llama.generate(rows, attention_mask=mask, past_key_values=panel.cache, **options)[
            :, 38:
        ]
    assert max(together) > 1
    for row, turn in enumerate(turns):
        with method.attach(llama) as run:
            llama(ids)
            whole = torch.cat((ids, turn), 1)
            alone = llama.generate(whole, past_key_values=run.cache, **options)
        one = panel.rows[row]
        assert alone[0, whole.shape[1] :].equal(words[row])
        for name in ("ids", "read", "at"):
            made = [[getattr(note, name) for note in it.summaries] for it in (one, run)]
            assert made[0] == made[1] and len(made[0]) > 3
        assert one.kv_lengths == run.kv_lengths


def decode(llama, prompt, tokens, **parameters):
    with summarykv(**parameters).attach(llama) as run:
        llama(prompt_of(prompt))
        for step in range(tokens):
            llama(prompt_of(1, step), past_key_values=run.cache)
    return run


def test_a_segment_that_is_just_full_is_summarised(llama):
    run = decode(llama, 16, 6, segment=6, summarizer=last)
    assert [one.at for one in run.summaries] == [22]


def test_a_summary_is_never_longer_than_what_it_stands_for(llama):
    asked = []

    def note(ids, most):
        asked.append((len(ids), most))
        return ids[:most]

    decode(llama, 40, 4, budget=40, segment=2, summary_tokens=16, summarizer=note)
    assert asked[0] == (2, 2)


def test_the_end_token_is_no_part_of_a_summary(llama, monkeypatch):
    ids = prompt_of(12)[0].tolist()
    free = summarize_by_model(llama, None, [ids], [6])[0]
    monkeypatch.setattr(llama.generation_config, "eos_token_id", free[2])
    assert summarize_by_model(llama, None, [ids], [6])[0] == free[: free.index(free[2])]


def test_sentences_that_say_nothing_are_left_out():
    tokenizer = load_model("tiny-random").tokenizer  # of bytes: "No!" are three
    ids = tokenizer("Yes.My code is 293.No!").input_ids
    kept = [tokenizer.decode(ids[a:b]) for a, b in split(ids, tokenizer)]
    assert kept == ["Yes.", "My code is 293."]


def test_the_span_with_most_attention_is_extracted(llama, monkeypatch):
    class Told(summarizers.Listener):
        """Has heard that the second of three spans is looked at."""

        def __init__(self, every_query=False):
            super().__init__(every_query)
            self.attention = torch.cat((torch.zeros(16), torch.ones(16), torch.zeros(16)))

        def keep(self, seen):
            pass

    monkeypatch.setattr(summarizers, "Listener", Told)
    ids = prompt_of(48)[0].tolist()
    assert summarizers.extract(llama, None, ids, 16, nullcontext) == ids[16:32]


def test_it_listens_in_the_deeper_half_of_the_layers(llama):
    listener = summarizers.Listener()
    with attach(listener, llama):
        llama(prompt_of(10))
    layers, heads = 3, 8
    assert float(listener.attention.sum()) == pytest.approx(heads * (layers - layers // 2))


def test_spans_without_a_tokenizer_cover_everything():
    assert split(list(range(40)), None) == [(0, 16), (16, 32), (32, 40)]


def test_the_tokenizer_is_read_again_when_its_folder_has_changed(tmp_path):
    lm = load_model("tiny-random", dtype="float32")
    lm.model.save_pretrained(tmp_path)
    for template in ("first", "second"):
        lm.tokenizer.chat_template = template
        lm.tokenizer.save_pretrained(tmp_path)
        model = load_model(tmp_path, dtype="float32").model
        assert find_tokenizer(model).chat_template == template
