"""On the second device every method writes, keeps and holds what it does on the CPU."""

from copy import deepcopy

import pytest
import torch
from conftest import left_pad, prompt_of
from second_device.cases import BATCHED, CASES
from transformers.generation.utils import DeferredStopCheck

from kvbook import Panel
from kvbook.errors import UnsupportedError
from kvbook.methods import METHODS


def write(model, ids, count=10, mask=None, **more):
    ids = ids.to(model.device)
    mask = torch.ones_like(ids) if mask is None else mask.to(model.device)
    how = {"max_new_tokens": count, "do_sample": False}
    return model.generate(ids, attention_mask=mask, **how, **more)


def written(run):
    """What a record says, to be compared."""
    kept = [positions.tolist() for positions in run.kept_positions]
    return kept, run.kv_lengths, run.kv_bytes_peak, run.decode_tokens


def turns(model, run, ids, count=2, **more):
    """What is written after a prompt, and in ``count`` turns after it."""
    out = write(model, ids, **more)
    for turn in range(count):
        said = torch.cat((out, prompt_of(5, turn).to(out)), dim=1)
        out = write(model, said, past_key_values=run.cache, **more)
    return out.tolist()


def test_every_method_is_among_the_cases():
    assert {name.split(",")[0] for name in CASES} >= set(METHODS)


@pytest.mark.parametrize("name", CASES)
def test_a_prompt_and_its_later_turns_are_the_cpus(pair, name):
    def go(model):
        with CASES[name].attach(model) as run:
            return turns(model, run, prompt_of(30)), written(run)

    on_cpu, on_second = map(go, pair)
    assert on_second == on_cpu


@pytest.mark.parametrize("name", BATCHED)
def test_a_padded_batch_with_an_uncut_row_first_is_the_cpus(pair, name):
    """The first row fits the budget, so a method answers None for it and indices for the next."""
    ids, mask = left_pad([prompt_of(9), prompt_of(30, 2), prompt_of(21, 3)])

    def go(model):
        with CASES[name].attach(model) as run:
            out = write(model, ids, mask=mask).cpu()
            said = torch.cat((out, prompt_of(5).expand(3, -1)), dim=1)
            longer = torch.cat((mask, mask.new_ones(3, said.shape[1] - mask.shape[1])), dim=1)
            longer[1, -6:-3] = 0  # a shorter turn: padding is on the left of what is new
            out = write(model, said, mask=longer, past_key_values=run.cache)
            return out.tolist(), written(run)

    on_cpu, on_second = map(go, pair)
    assert on_second == on_cpu


@pytest.mark.parametrize("name", CASES)
def test_a_snapshot_goes_on_as_on_the_cpu(pair, name):
    def go(model):
        with CASES[name].attach(model) as run:
            said = torch.cat((write(model, prompt_of(30)).cpu(), prompt_of(5)), dim=1)
            before = run.snapshot()
            first = write(model, said, past_key_values=run.cache).tolist()
            run.restore(before)
            assert write(model, said, past_key_values=run.cache).tolist() == first
            return first, written(run)

    on_cpu, on_second = map(go, pair)
    assert on_second == on_cpu


def test_the_rows_of_a_panel_are_the_cpus(pair):
    panel = Panel(list(CASES.values()))
    ids, mask = left_pad([one for one in (prompt_of(20, 2), prompt_of(30)) for _ in CASES])

    def go(model):
        with panel.attach(model) as run:
            out = write(model, ids, 4, mask).cpu()
            before = run.snapshot()
            said = torch.cat((out, prompt_of(5).expand(len(out), -1)), dim=1)
            longer = torch.cat((mask, mask.new_ones(len(out), said.shape[1] - ids.shape[1])), dim=1)
            out = write(model, said, 4, longer, past_key_values=run.cache).tolist()
            run.restore(before)
            assert write(model, said, 4, longer, past_key_values=run.cache).tolist() == out
            return out, [written(row) for row in run.rows]

    on_cpu, on_second = map(go, pair)
    assert on_second == on_cpu


@pytest.mark.parametrize("name", CASES)
def test_a_stop_that_is_noticed_late_changes_no_later_turn(llama, second, name, monkeypatch):
    """transformers lets some devices read a token more than an answer has, and takes it back."""
    model = deepcopy(llama).to(second)
    with CASES[name].attach(model):
        end = write(model, prompt_of(30))[
            0, 33
        ].item()  # among the first ones, so every answer stops

    def go():
        with CASES[name].attach(model) as run:
            return turns(model, run, prompt_of(30), eos_token_id=end)

    at_once = go()

    def everywhere(device, cache, cache_is_returned, is_assistant):
        return cache is None or cache.is_croppable or not cache_is_returned

    monkeypatch.setattr(DeferredStopCheck, "is_supported", staticmethod(everywhere))
    assert go() == at_once


def test_layers_on_several_devices_are_refused_by_name(pair):
    _, there = pair
    apart = deepcopy(there)
    apart.model.layers[1].to("cpu")
    with pytest.raises(UnsupportedError, match=r"several devices \(cpu, second:0\)"):
        CASES["fullkv"].attach(apart).__enter__()
