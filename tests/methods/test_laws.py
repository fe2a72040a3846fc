"""Laws that hold between methods and for any of them, on tiny random models."""

from types import SimpleNamespace

import pytest
import torch
from conftest import BUDGETED, continue_greedily, prompt_of

from kvbook import create_method
from kvbook.engine.attention import received
from kvbook.errors import ParameterError, UnsupportedError
from kvbook.methods import H2O, PublishedH2O
from kvbook.methods.pyramidinfer import build_pyramid, solve_pyramid

OWN = {"pyramidinfer": {"min_length": 2}}


def greedy(model, method, ids, count=20):
    with method.attach(model) as run:
        return continue_greedily(model, ids, count), run


@pytest.mark.parametrize("budget", [30, 31, 500, 1.0])
@pytest.mark.parametrize("name", BUDGETED)
def test_a_budget_that_holds_the_prompt_is_full_kv(model, prompt, name, budget):
    (full, full_logits), _ = greedy(model, create_method("fullkv"), prompt)
    (got, logits), run = greedy(model, create_method(name, budget=budget), prompt)
    assert got == full
    assert torch.allclose(logits, full_logits, atol=2e-4)
    assert run.kv_lengths == [49] * 3


@pytest.mark.parametrize("name", BUDGETED)
def test_two_prompts_in_a_row_equal_two_fresh_runs(model, name):
    method = create_method(name, budget=9, **OWN.get(name, {}))
    with method.attach(model) as run:
        continue_greedily(model, prompt_of(25, 5))
        second, logits = continue_greedily(model, prompt_of(30, 6))
        kept = run.kept_positions
    (fresh, fresh_logits), fresh_run = greedy(model, method, prompt_of(30, 6))
    assert second == fresh and torch.equal(logits, fresh_logits)
    assert all(torch.equal(a, b) for a, b in zip(kept, fresh_run.kept_positions, strict=True))


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("budget", [1, 2, 0.1, 0.5])
@pytest.mark.parametrize("name", BUDGETED)
def test_short_prompts_and_small_budgets_work(llama, name, length, budget):
    (tokens, logits), run = greedy(llama, create_method(name, budget=budget), prompt_of(length), 6)
    assert len(tokens[0]) == 6 and logits.isfinite().all()
    assert all(kept.shape[-1] >= 1 for kept in run.kept_positions)


@pytest.mark.parametrize("name", BUDGETED)
def test_bf16_keeps_as_many_and_stays_finite(name, prompt):
    from conftest import make_model

    model = make_model("llama").to(torch.bfloat16)
    method = create_method(name, budget=9, **OWN.get(name, {}))
    (_, logits), run = greedy(model, method, prompt)
    assert logits.isfinite().all()
    assert run.kv_bytes <= run.kv_bytes_peak
    if name != "pyramidinfer":
        assert all(kept.shape == (1, 2, 9) for kept in run.kept_positions)


@pytest.mark.parametrize("tsp_length", [30, 1.0, 400])
def test_fastkv_that_passes_everything_on_is_snapkv_with_sums(model, prompt, tsp_length):
    fast = create_method("fastkv", budget=9, window=3, tsp_length=tsp_length)
    snap = create_method("snapkv", budget=9, window=3, gqa="sum")
    (a, a_logits), a_run = greedy(model, fast, prompt)
    (b, b_logits), b_run = greedy(model, snap, prompt)
    assert a == b and torch.equal(a_logits, b_logits)
    assert all(
        torch.equal(x, y) for x, y in zip(a_run.kept_positions, b_run.kept_positions, strict=True)
    )


def test_a_layer_of_fastkv_that_reads_less_than_the_budget_keeps_all(model, prompt):
    method = create_method("fastkv", budget=20, window=3, tsp_length=9)
    _, run = greedy(model, method, prompt, 2)
    assert [kept.shape[2] for kept in run.kept_positions] == [20, 9, 9]
    assert torch.equal(run.kept_positions[2][0, 0], run.layer_inputs[2][0])


def test_pyramidinfers_generation_stage_thins_only_what_was_generated(model, prompt):
    own = dict(min_length=2, recent_ratio=0.1)
    _, plain = greedy(model, create_method("pyramidinfer", **own), prompt, 60)
    _, run = greedy(model, create_method("pyramidinfer", **own, generation=True), prompt, 60)
    prompts = [kept.shape[2] for kept in run.kept_positions]
    assert prompts == [kept.shape[2] for kept in plain.kept_positions]
    for layer, entries in zip(run.cache.layers, prompts, strict=True):
        assert layer.entries - entries < 3 + 17  # the recent, and fewer than an interval
        assert (layer.positions[0] < 30).sum() == entries


def test_pyramidinfers_generation_stage_drops_nothing_of_a_whole_budget(model, prompt):
    own = dict(budget=1.0, generation=True)
    (tokens, logits), run = greedy(model, create_method("pyramidinfer", **own), prompt, 40)
    (expected, full), _ = greedy(model, create_method("fullkv"), prompt, 40)
    assert tokens == expected and torch.equal(logits, full)


def test_a_methods_layers_read_what_the_record_says(model, prompt):
    _, run = greedy(model, create_method("fastkv", budget=4, window=2, tsp_length=12), prompt, 2)
    assert [read.shape[1] for read in run.layer_inputs] == [30, 12, 12]
    assert all(
        set(kept.flatten().tolist()) <= set(read.flatten().tolist())
        for kept, read in zip(run.kept_positions, run.layer_inputs, strict=True)
    )
    _, run = greedy(model, create_method("gemfilter", budget=7), prompt, 2)
    assert run.filter_layers == 2 and [read.shape[1] for read in run.layer_inputs] == [7] * 3
    assert torch.equal(run.layer_inputs[0], run.kept_positions[0][:, 0])


class TestH2O:
    def accounts(self, model, ids, last=0):
        """Per layer what every entry has received, without what the ``last`` queries gave."""

        class Noted(H2O):
            def keep(self, seen):
                given = received(seen.queries[:, seen.entries - last :], seen.keys, seen.scaling)
                got.append(self.accumulate(seen) - given)
                return super().keep(seen)

        got = []
        with Noted(budget=1.0).attach(model):
            model(ids)
        return got

    def test_a_prompt_of_n_adds_up_to_n_a_head(self, model, prompt):
        for sums in self.accounts(model, prompt):
            assert torch.allclose(sums.sum(-1), torch.full((8,), 30.0), atol=1e-4)

    def test_appending_tokens_never_changes_the_old_partial_sums(self, model, prompt):
        longer = torch.cat((prompt, prompt_of(6, 8)), dim=1)
        for short, long in zip(
            self.accounts(model, prompt), self.accounts(model, longer, last=6), strict=True
        ):
            assert torch.allclose(long[:, :30], short, atol=1e-4)
            assert torch.allclose(long[:, 30:], torch.zeros(8, 6), atol=1e-4)

    def test_every_decoded_token_adds_one_a_head_and_evicts_one(self, model, prompt):
        with create_method("h2o", budget=10, recent=4).attach(model) as run:
            model(prompt)
            token = prompt_of(1, 3)
            for _ in range(5):
                before = [layer.positions.clone() for layer in run.cache.layers]
                model(token, past_key_values=run.cache)
                for old, layer in zip(before, run.cache.layers, strict=True):
                    for head in range(2):
                        kept = set(layer.positions[0, head].tolist())
                        there = {*old[0, head].tolist(), max(kept)}
                        assert len(there - kept) == 1 and len(kept) == 10
                        assert not (there - kept) & set(sorted(there)[-4:])

    def test_published_scores_see_the_future(self, model, prompt):
        _, paper = greedy(model, create_method("h2o", budget=12, recent=8), prompt, 1)
        _, published = greedy(model, PublishedH2O(budget=12), prompt, 1)
        assert any(
            not torch.equal(a, b)
            for a, b in zip(paper.kept_positions, published.kept_positions, strict=True)
        )


class TestPyramid:
    @pytest.mark.parametrize(
        "ratio, decay, retention", [(0.2, 0.7, 0.595), (0.2, 0.3, 0.499), (0.01, 0.01, 0.340)]
    )
    def test_mean_retentions_of_the_specification(self, ratio, decay, retention):
        pyramid = build_pyramid(8192, 32, decay, int(8192 * ratio), 64)
        assert pyramid.retention == pytest.approx(retention, abs=0.001)

    @pytest.mark.parametrize("share", [0.9, 0.7, 0.5, 0.45])
    @pytest.mark.parametrize("tokens, layers", [(8192, 32), (1000, 30)])
    def test_a_budget_is_the_mean_retention(self, share, tokens, layers):
        pyramid, _ = solve_pyramid(tokens, layers, int(share * tokens), int(0.2 * tokens), 64)
        assert pyramid.retention == pytest.approx(share, abs=0.01)

    def test_a_recent_part_over_the_budget_shrinks_and_says_so(self):
        pyramid, note = solve_pyramid(1000, 30, 400, 500, 64)
        assert pyramid.recent < 400 and "recent tokens 500 ->" in note

    def test_an_unreachable_budget_says_so_in_the_run(self, llama, prompt):
        with create_method("pyramidinfer", budget=3, min_length=0).attach(llama) as run:
            llama(prompt)
        assert "no decay reaches it" in run.notes[0] and len(run.notes) == 1

    def test_the_run_has_the_lengths_of_the_plan(self, model, prompt):
        method = create_method("pyramidinfer", decay=0.1, recent_ratio=0.1, min_length=1)
        _, run = greedy(model, method, prompt, 2)
        lengths = list(method.pyramid(30, 3)[0].lengths)
        assert [read.shape[1] for read in run.layer_inputs] == lengths and lengths[-1] < 30
        assert [kept.shape[-1] for kept in run.kept_positions] == lengths


@pytest.mark.parametrize("name, field", [("gemfilter", "filter_layer"), ("fastkv", "tsp_layer")])
def test_a_layer_that_the_model_has_not_is_refused(llama, name, field):
    with (
        pytest.raises(ParameterError, match="layers 0 to 2"),
        create_method(name, budget=4, **{field: 3}).attach(llama),
    ):
        pass


@pytest.mark.parametrize("name", BUDGETED)
def test_samples_of_one_prompt_do_not_mix(llama, prompt, name):
    """Each continuation, forced token by token on its own, has the same logits."""
    method = create_method(name, budget=9, **OWN.get(name, {}))
    torch.manual_seed(0)
    with method.attach(llama):
        many = llama.generate(
            prompt, do_sample=True, num_return_sequences=3, max_new_tokens=6, top_k=5,
            return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
    assert len({tuple(row.tolist()) for row in many.sequences}) > 1
    for i, row in enumerate(many.sequences):
        with method.attach(llama) as run:
            logits = [llama(prompt).logits[0, -1]]
            for token in row[30:-1]:
                logits.append(llama(token.view(1, 1), past_key_values=run.cache).logits[0, -1])
        for together, alone in zip(many.logits, logits, strict=True):
            assert torch.allclose(together[i], alone, atol=2e-4)


def test_gemfilters_default_layer_is_that_of_the_paper():
    """13 of 32, and as deep in other models."""
    method = create_method("gemfilter", budget=8)
    assert [method.first_pass(layers, 100) for layers in (32, 30, 28, 4)] == [13, 12, 11, 2]


def test_a_recent_part_beyond_the_budget_becomes_half_of_it():
    pyramid, note = solve_pyramid(1000, 30, 700, 900, 64)
    assert pyramid.recent == 350 and "900 -> 350" in note


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
@pytest.mark.parametrize("name", ["streamingllm", "summarykv"])
def test_rope_that_no_rotation_can_move_is_refused(name, kind):
    model = SimpleNamespace(config=SimpleNamespace(rope_parameters={"rope_type": kind}))
    with pytest.raises(UnsupportedError, match="original"):
        create_method(name, budget=9).check_model(model)
