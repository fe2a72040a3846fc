"""Several methods on one reading: each row is what its method is alone."""

from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from transformers import DynamicCache

from kvbook import Panel, create_method
from kvbook.engine.attach import attach
from kvbook.errors import ParameterError, UnsupportedError
from tests.conftest import FAMILIES, VOCABULARY, make_model

CHOOSING = {
    "fullkv": create_method("fullkv"),
    "snapkv": create_method("snapkv", budget=20, window=6),
    "snapkv, less": create_method("snapkv", budget=11, window=6),
    "streamingllm": create_method("streamingllm", budget=14),
    "streamingllm, in place": create_method("streamingllm", budget=14, positions="original"),
    "streamingllm, at rest": create_method("streamingllm", budget=17, rolling=False),
    "h2o": create_method("h2o", budget=16),
    "h2o, less": create_method("h2o", budget=9, recent=3),
}
READING = {
    "pyramidinfer": create_method("pyramidinfer", min_length=4),
    "gemfilter": create_method("gemfilter", budget=18),
    "fastkv": create_method("fastkv", budget=12),
    "chunks": create_method("streamingllm", budget=14, chunk=9),
    "summarykv": create_method(
        "summarykv", budget=16, segment=6, summary_tokens=4, summarizer="extractive"
    ),
}
METHODS = CHOOSING | READING


class Scribbler:
    """Writes into all that it sees: no other row may notice."""

    name = "scribbler"

    def keep(self, seen):
        seen.keys.zero_()
        seen.values.zero_()
        if seen.column_sums is not None:
            seen.column_sums.zero_()

    evict = keep


class SummingScribbler(Scribbler):
    column_sums = True


def prompt(tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCABULARY, (1, tokens), generator=generator)


def stack(prompts, rows):
    """Prompts as the batch of a panel, and its mask."""
    width = max(one.shape[1] for one in prompts)
    ids = torch.zeros(len(prompts) * rows, width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, one in enumerate(prompts):
        ids[i * rows : (i + 1) * rows, width - one.shape[1] :] = one
        mask[i * rows : (i + 1) * rows, width - one.shape[1] :] = 1
    return ids, mask


def write(model, ids, count, mask=None, **more):
    mask = torch.ones_like(ids) if mask is None else mask
    how = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
    return model.generate(ids, attention_mask=mask, **how, **more)[:, ids.shape[1] :]


def same(run, alone):
    """The whole record, but for times."""
    for name in ("kv_lengths", "kv_bytes", "kv_bytes_peak", "decode_tokens", "filter_layers"):
        assert getattr(run, name) == getattr(alone, name), name
    assert run.notes == alone.notes and run.tokens_seen == alone.tokens_seen
    for name in ("kept_positions", "layer_inputs"):
        for mine, theirs in zip(getattr(run, name), getattr(alone, name), strict=True):
            assert mine.equal(theirs), name


@contextmanager
def counted(model):
    """How many rows of how many tokens go through the first layer."""
    seen = Counter()
    handle = model.base_model.layers[0].register_forward_pre_hook(
        lambda layer, args: seen.update([tuple(args[0].shape[:2])])
    )
    yield seen
    handle.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_is_its_method_alone(family):
    model, ids = make_model(family), prompt(40)
    panel = Panel(list(METHODS.values()))
    with panel.attach(model) as run:
        words = write(model, ids.repeat(len(panel), 1), 12)
    for row, method in enumerate(panel.methods):
        with method.attach(model) as alone:
            assert write(model, ids, 12)[0].equal(words[row]), method
        same(run.rows[row], alone)


@pytest.mark.parametrize("methods", [CHOOSING, METHODS], ids=["choosing", "all"])
def test_groups_of_rows_are_prompts_padded_on_the_left(llama, methods):
    prompts = [prompt(40), prompt(23, seed=1), prompt(31, seed=2)]
    panel = Panel(list(methods.values()))
    ids, mask = stack(prompts, len(panel))
    with panel.attach(llama) as run:
        words = write(llama, ids, 6, mask)
    for row in range(len(ids)):
        one, method = prompts[row // len(panel)], panel.methods[row % len(panel)]
        with method.attach(llama) as alone:
            assert write(llama, one, 6)[0].equal(words[row]), method
        same(run.rows[row], alone)


@pytest.mark.parametrize("lengths", [(9, 9), (9, 4), (1, 1), (1, 14)])
def test_later_turns_are_each_methods_own(llama, lengths):
    """Also where rows get unequal numbers of tokens."""
    prompts, turns = [prompt(40), prompt(31, seed=1)], [prompt(n, seed=7 + n) for n in lengths]
    panel = Panel(list(METHODS.values()))
    ids, mask = stack(prompts, len(panel))
    more, more_mask = stack(turns, len(panel))
    with panel.attach(llama) as run:
        words = write(llama, ids, 3, mask)
        read = torch.cat((ids, words), 1)[:, :-1]
        seen = torch.cat((mask, torch.ones_like(words)), 1)[:, :-1]
        words_later = write(
            llama,
            torch.cat((read, more), 1),
            5,
            torch.cat((seen, more_mask), 1),
            past_key_values=run.cache,
        )
    for row in range(len(ids)):
        group, method = row // len(panel), panel.methods[row % len(panel)]
        with method.attach(llama) as alone:
            first = write(llama, prompts[group], 3)
            whole = torch.cat((prompts[group], first[:, :-1], turns[group]), 1)
            later = write(llama, whole, 5, past_key_values=alone.cache)
        assert first[0].equal(words[row]) and later[0].equal(words_later[row]), method
        same(run.rows[row], alone)


def test_an_answer_that_ended_early_is_forgotten_in_its_row_only(llama):
    """Row 1's last two words are hidden from the next turn."""
    ids, turn = prompt(30), prompt(4, seed=1)
    panel = Panel([create_method("fullkv"), create_method("snapkv", budget=12)])
    with panel.attach(llama) as run:
        words = write(llama, ids.repeat(2, 1), 5)[:, :-1]
        whole = torch.cat((ids.repeat(2, 1), words, turn.repeat(2, 1)), 1)
        mask = torch.ones_like(whole)
        mask[1, 32:34] = 0
        later = write(llama, whole, 4, mask, past_key_values=run.cache)
    with panel.methods[1].attach(llama) as alone:
        write(llama, ids, 3)
        whole = torch.cat((ids, words[1:, :2], turn), 1)
        assert write(llama, whole, 4, past_key_values=alone.cache)[0].equal(later[1])
    assert run.rows[1].kv_lengths == alone.kv_lengths
    assert run.rows[0].tokens_seen == run.rows[1].tokens_seen + 2


@pytest.mark.parametrize("method", [Scribbler(), SummingScribbler()])
def test_what_a_method_writes_is_written_in_its_own_row(llama, method):
    ids, h2o = prompt(30), create_method("h2o", budget=12)
    others = [create_method("fullkv"), h2o, create_method("snapkv", budget=12)]
    with Panel([method, *others, method]).attach(llama):
        words = write(llama, ids.repeat(5, 1), 6)
    for row, other in enumerate(others, 1):
        with other.attach(llama):
            assert write(llama, ids, 6)[0].equal(words[row]), other


def test_equal_prompts_are_read_once_and_decoded_in_one_batch(llama):
    panel = Panel(list(CHOOSING.values()))
    with panel.attach(llama), counted(llama) as seen:
        write(llama, prompt(40).repeat(len(panel), 1), 3)
    assert seen == {(1, 40): 1, (len(panel), 1): 2}


def test_a_method_that_changes_the_reading_reads_in_a_row_of_its_own(llama):
    snap = create_method("snapkv", budget=12)
    panel = Panel([snap, READING["pyramidinfer"], snap, READING["chunks"]])
    with panel.attach(llama), counted(llama) as seen:
        write(llama, prompt(27).repeat(4, 1), 2)
    assert seen == {(1, 27): 2, (1, 9): 3, (4, 1): 1}


def test_every_token_has_its_logits(llama):
    """Of methods that read alike: logits of the whole prompt, row by row."""
    ids = torch.cat((prompt(20).repeat(2, 1), prompt(20, seed=1).repeat(2, 1)))
    with torch.no_grad():
        plain = llama(ids).logits
    with Panel([create_method("fullkv"), create_method("h2o", budget=8)]).attach(llama):
        torch.testing.assert_close(llama(ids).logits, plain, rtol=1e-4, atol=1e-5)


def test_a_prompts_entries_are_a_rows_own_only_after_the_choice(llama):
    """Rows that keep everything refer to the same memory until they decode."""
    full, snap = create_method("fullkv"), create_method("snapkv", budget=8)
    with Panel([full, full, snap]).attach(llama) as run:
        llama(prompt(30).repeat(3, 1))
        first, second, cut = (row.cache.layers[0].keys for row in run.rows)
        assert first.data_ptr() == second.data_ptr() != cut.data_ptr()
        llama(prompt(1).repeat(3, 1), past_key_values=run.cache)
        first, second = (row.cache.layers[0].keys for row in run.rows[:2])
        assert first.data_ptr() != second.data_ptr() and first.equal(second)


def test_a_snapshot_is_where_all_rows_go_on_from(llama):
    ids, turn = prompt(30), prompt(5, seed=3)
    panel = Panel(list(CHOOSING.values()))
    whole = torch.cat((ids, turn), 1).repeat(len(panel), 1)
    with panel.attach(llama) as run:
        llama(ids.repeat(len(panel), 1))
        state = run.snapshot()
        first = write(llama, whole, 6, past_key_values=run.cache)
        run.restore(state)
        assert write(llama, whole, 6, past_key_values=run.cache).equal(first)


def test_some_rows_go_on_in_another_panel(llama):
    ids = prompt(30)
    panel = Panel([create_method("fullkv"), CHOOSING["snapkv"], CHOOSING["h2o"]])
    with panel.attach(llama) as run:
        llama(ids.repeat(3, 1))
        state = run.snapshot()
        all_rows = write(llama, prompt(33).repeat(3, 1), 6, past_key_values=run.cache)
    with Panel([panel.methods[2], panel.methods[0]]).attach(llama) as fewer:
        fewer.restore(state.pick([2, 0]))
        words = write(llama, prompt(33).repeat(2, 1), 6, past_key_values=fewer.cache)
    assert words.equal(all_rows[[2, 0]])


def test_a_row_goes_on_alone(llama):
    panel = Panel([create_method("fullkv"), CHOOSING["h2o"]])
    with panel.attach(llama) as run:
        llama(prompt(30).repeat(2, 1))
        state = run.rows[1].snapshot()
        both = write(llama, prompt(33).repeat(2, 1), 6, past_key_values=run.cache)
    with panel.methods[1].attach(llama) as alone:
        alone.restore(state)
        assert write(llama, prompt(33), 6, past_key_values=alone.cache)[0].equal(both[1])


def test_two_prompts_in_a_row_are_two_fresh_runs(llama):
    panel = Panel(list(CHOOSING.values()))
    with panel.attach(llama) as run:
        write(llama, prompt(25, seed=4).repeat(len(panel), 1), 4)
        words = write(llama, prompt(40).repeat(len(panel), 1), 4)
        lengths = [row.kv_lengths for row in run.rows]
    with panel.attach(llama) as run:
        assert write(llama, prompt(40).repeat(len(panel), 1), 4).equal(words)
        assert [row.kv_lengths for row in run.rows] == lengths


def test_embeddings_are_read_like_their_tokens(llama):
    ids, panel = prompt(30).repeat(2, 1), Panel([create_method("fullkv"), CHOOSING["snapkv"]])
    with panel.attach(llama):
        by_ids = llama(ids, logits_to_keep=1).logits
        embeddings = llama.get_input_embeddings()(ids)
        assert llama(inputs_embeds=embeddings, logits_to_keep=1).logits.equal(by_ids)


def test_the_callers_own_empty_cache_is_filled(llama):
    mine = DynamicCache()
    with Panel([create_method("fullkv"), CHOOSING["snapkv"]]).attach(llama) as run:
        llama(prompt(20).repeat(2, 1), past_key_values=mine)
        llama(prompt(1).repeat(2, 1), past_key_values=mine)
    assert mine.get_seq_length() == 21 and run.rows[0].kv_lengths == [21] * 3


def test_a_record_can_be_read_before_a_prompt_and_after_the_block(llama):
    with Panel([create_method("fullkv"), CHOOSING["snapkv"]]).attach(llama) as run:
        assert run.kv_bytes == 0 and run.rows[1].kept_positions == []
        write(llama, prompt(30).repeat(2, 1), 3)
    assert run.kv_bytes == sum(row.kv_bytes for row in run.rows) > 0
    assert run.decode_seconds > 0 and run.prefill_seconds > 0


def test_the_model_is_as_before_after_the_block(llama):
    ids, hooks = prompt(20), llama.base_model.layers[0]._forward_hooks
    before, present = llama(ids).logits, dict(hooks)  # transformers may have some of its own
    with Panel([create_method("fullkv"), READING["fastkv"]]).attach(llama):
        write(llama, ids.repeat(2, 1), 3)
    torch.testing.assert_close(llama(ids).logits, before)
    assert hooks == present
    assert not {"forward", "generate"} & {*vars(llama), *vars(llama.base_model)}


# ---- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("methods", [[], "snapkv", None, create_method("fullkv")])
def test_no_sequence_of_methods_is_refused(methods):
    with pytest.raises(ParameterError, match="sequence of methods"):
        Panel(methods)


@pytest.mark.parametrize("one", ["snapkv", None, type(create_method("fullkv"))])
def test_what_is_no_method_is_refused(one):
    with pytest.raises(ParameterError, match="a method"):
        Panel([create_method("fullkv"), one])


def test_too_few_rows_are_refused(llama):
    panel = Panel([create_method("fullkv"), CHOOSING["snapkv"]])
    with panel.attach(llama) as run, pytest.raises(UnsupportedError, match=r"repeat\(2, 1\)"):
        write(llama, prompt(20), 2)
    assert run.cache is None


def test_rows_that_are_not_the_same_prompt_are_refused_and_nothing_is_lost(llama):
    panel = Panel([create_method("fullkv"), CHOOSING["snapkv"]])
    two = torch.cat((prompt(20), prompt(20, seed=1)))
    with panel.attach(llama) as run:
        llama(prompt(20).repeat(2, 1))
        before = run.rows[0].kv_lengths
        with pytest.raises(UnsupportedError, match="rows 0 and 1 are not the same prompt"):
            llama(two)
        assert run.rows[0].kv_lengths == before
        llama(prompt(1).repeat(2, 1), past_key_values=run.cache)


def test_padding_makes_a_prompt_another_one(llama):
    panel, ids = Panel([create_method("fullkv")] * 2), prompt(20).repeat(2, 1)
    mask = torch.ones_like(ids)
    mask[1, 0] = 0
    with panel.attach(llama), pytest.raises(UnsupportedError, match="not the same prompt"):
        llama(ids, attention_mask=mask)


def test_a_refused_row_leaves_all_rows_as_they_were(llama):
    """H2O cannot forget words, FullKV can: neither does."""
    ids, panel = prompt(30), Panel([create_method("fullkv"), CHOOSING["h2o"]])
    with panel.attach(llama) as run:
        words = write(llama, ids.repeat(2, 1), 5)[:, :-1]
        before = [row.tokens_seen for row in run.rows]
        whole = torch.cat((ids.repeat(2, 1), words, prompt(3).repeat(2, 1)), 1)
        mask = torch.ones_like(whole)
        mask[:, 32:34] = 0
        with pytest.raises(UnsupportedError, match="cannot be taken back"):
            write(llama, whole, 4, mask, past_key_values=run.cache)
        assert [row.tokens_seen for row in run.rows] == before


@pytest.mark.parametrize(
    "how, says",
    [
        ({"num_return_sequences": 2, "do_sample": True}, "num_return_sequences"),
        ({"num_beams": 2}, "num_beams=2"),
        ({"prefill_chunk_size": 4}, "prefill_chunk_size"),
    ],
)
def test_what_takes_rows_for_its_own_is_refused(llama, how, says):
    ids = prompt(20).repeat(2, 1)
    with Panel([create_method("fullkv")] * 2).attach(llama):
        with pytest.raises(UnsupportedError, match=says):
            llama.generate(ids, max_new_tokens=2, **how)


@pytest.mark.parametrize("how", [{"output_hidden_states": True}, {"return_dict": False}])
def test_outputs_that_a_panel_does_not_have_are_refused(llama, how):
    with Panel([create_method("fullkv")] * 2).attach(llama):
        with pytest.raises(UnsupportedError, match=next(iter(how))):
            llama.base_model(prompt(20).repeat(2, 1), **how)


def test_more_logits_than_a_cutting_method_has_are_refused(llama):
    with Panel([create_method("fullkv"), READING["fastkv"]]).attach(llama):
        with pytest.raises(UnsupportedError, match="logits_to_keep"):
            llama(prompt(20).repeat(2, 1), logits_to_keep=3)


def test_an_interrupted_call_is_not_gone_on_with(llama):
    class Breaks:
        name = "breaks"

        def evict(self, seen):
            raise KeyboardInterrupt

    panel = Panel([create_method("fullkv"), Breaks()])
    with panel.attach(llama) as run:
        llama(prompt(20).repeat(2, 1))
        one = prompt(1).repeat(2, 1)
        with pytest.raises(KeyboardInterrupt):
            llama(one, past_key_values=run.cache)
        with pytest.raises(UnsupportedError, match="interrupted"):
            llama(one, past_key_values=run.cache)


def test_another_runs_cache_is_refused(llama):
    panel, one = Panel([create_method("fullkv")] * 2), prompt(1).repeat(2, 1)
    with panel.attach(llama) as run:
        llama(prompt(20).repeat(2, 1))
        old = run.cache
        llama(prompt(20).repeat(2, 1))
        with pytest.raises(UnsupportedError, match="latest prompt"):
            llama(one, past_key_values=old)


def test_a_snapshot_of_other_rows_is_refused(llama):
    with Panel([create_method("fullkv")] * 2).attach(llama) as run:
        llama(prompt(20).repeat(2, 1))
        state = run.snapshot()
        with pytest.raises(UnsupportedError, match="2 rows"):
            run.restore(state.pick([0]))


def test_one_attach_at_a_time(llama):
    with Panel([create_method("fullkv")]).attach(llama):
        with pytest.raises(UnsupportedError, match="attached to this model already"):
            with attach(create_method("fullkv"), llama):
                pass
