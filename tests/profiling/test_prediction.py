"""The cost model against PyTorch's counter of operations, real tensors, and the report."""

import dataclasses
import gc
import json

import pytest
import torch
from conftest import BUDGETED, make_method, make_model, prompt_of
from live import LiveBytes
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kvbook import create_method
from kvbook.errors import ParameterError, UnsupportedError
from kvbook.lm.configs import PUBLISHED
from kvbook.lm.costs import ModelShape
from kvbook.methods.base import Method
from kvbook.places import place
from kvbook.profiling import predict
from kvbook.profiling.hardware import TABLE, Hardware
from kvbook.profiling.plan import REQUEST_TOKENS, Plan, plan, whole
from kvbook.profiling.prediction import Cost

N = 150
CASES = {"fullkv": dict()} | {name: dict(budget=40) for name in BUDGETED}
CASES |= {
    "streamingllm in chunks": dict(budget=40, chunk=33),
    "snapkv": dict(budget=40, window=8),
    "h2o_published": dict(budget=40),
    "pyramidinfer": dict(min_length=8),
    "fastkv": dict(budget=40, tsp_length=60),
    "fastkv at the first layer": dict(budget=0.1, tsp_layer=0),
    "fastkv that propagates all": dict(budget=40, tsp_length=1.0),
}
SUMMARY = dict(budget=64, segment=32, summary_tokens=16, summarizer=lambda ids, most: ids[:most])


def make(name, parameters):
    return make_method(name.split()[0], **parameters)


@pytest.fixture(scope="module")
def families():
    return {family: make_model(family) for family in ("llama", "qwen2", "qwen3", "mistral")}


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral"])
def test_weights_are_those_of_the_model(families, family):
    model = families[family]
    paper = predict(model.config, create_method("fullkv"), 10, 1, dtype=torch.float32)
    assert paper.weight_bytes == sum(p.nbytes for p in model.parameters())


@pytest.mark.parametrize("name, parameters", CASES.items())
def test_cache_bytes_are_those_of_the_tensors(model, name, parameters):
    method = make(name, parameters)
    paper = predict(model.config, method, N, 1, dtype=torch.float32)
    with method.attach(model) as run:
        model(prompt_of(N))
    assert run.kv_bytes == paper.kv_bytes
    assert run.kv_bytes_peak == paper.kv_bytes_peak


@pytest.mark.parametrize("name, parameters", CASES.items())
def test_decoding_grows_the_cache_as_predicted(model, name, parameters):
    method = make(name, parameters)
    paper = predict(model.config, method, N, 9, dtype=torch.float32)
    with method.attach(model) as run:
        model.generate(prompt_of(N), max_new_tokens=9, do_sample=False)
    added = plan(method, model.config.num_hidden_layers, N).added(8)
    entry = 2 * 2 * 8 * 4 * model.config.num_hidden_layers  # keys and values, heads, size, float32
    assert run.kv_bytes == paper.kv_bytes + added * entry


@pytest.mark.parametrize("budget", [N, N + 3, N + 20, 1.0])
def test_summarykv_grows_up_to_its_budget(model, budget):
    method = create_method("summarykv", budget=budget, segment=64)
    steps = plan(method, model.config.num_hidden_layers, N)
    with method.attach(model) as run:
        model.generate(prompt_of(N), max_new_tokens=9, do_sample=False)
    assert run.kv_lengths == [layer.keeps + steps.added(8) for layer in steps.layers]


@pytest.mark.parametrize("name, parameters", CASES.items())
def test_prefill_operations_equal_the_counter_of_pytorch(model, name, parameters):
    """The counter sees the whole square of fused attention, the model only what is not masked."""
    method = make(name, parameters)
    paper = predict(model.config, method, N, 1, dtype=torch.float32)
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
        method.attach(model),
    ):
        model(prompt_of(N), logits_to_keep=1)
    steps = plan(method, model.config.num_hidden_layers, N)
    wide = 8 * 8  # heads and their size
    masked = 0
    for layer in steps.layers:
        if not layer.sums:
            masked += 4 * wide * (squares(layer) - layer.pairs)
    masked += 4 * wide * max(0, steps.scanned - 1) * (N * N - N * (N + 1) // 2)
    if name == "pyramidinfer":  # its rows are weighted: a sum that is written as a product
        masked += 2 * 8 * sum(layer.scored for layer in steps.layers)
    assert counter.get_total_flops() == paper.prefill.flops + masked


def squares(layer):
    """Query-key pairs of a layer's attention when the mask is not made use of."""
    if layer.at_once == layer.reads:
        return layer.reads**2
    held = total = 0
    for start in range(0, layer.reads, layer.at_once):
        new = min(layer.at_once, layer.reads - start)
        total += new * (held + new)
        held = min(layer.keeps, held + new)
    return total


def test_decode_operations_equal_the_counter_of_pytorch(model):
    method = create_method("snapkv", budget=40, window=8)
    paper = predict(model.config, method, N, 2, dtype=torch.float32)
    with method.attach(model) as run:
        model(prompt_of(N))
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(torch.tensor([[1]]), past_key_values=run.cache)
    assert counter.get_total_flops() == paper.decode.flops


def test_a_summary_counts_as_passes_of_its_own(llama):
    method = create_method("summarykv", **SUMMARY)
    bare = create_method("streamingllm", budget=64, chunk=32)
    with_it, without = (predict(llama.config, one, N, 1) for one in (method, bare))
    assert with_it.prefill.flops > without.prefill.flops
    with method.attach(llama) as run:
        llama(prompt_of(N))
    assert with_it.kv_bytes == run.kv_bytes // 2  # bfloat16 on paper, float32 here


def test_a_summary_that_is_written_costs_its_decoding_and_its_memory(llama):
    told, read = (
        predict(llama.config, create_method("summarykv", **SUMMARY | {"summarizer": one}), N, 1)
        for one in ("model", "extractive")
    )
    most, source = SUMMARY["summary_tokens"], REQUEST_TOKENS + 16 + SUMMARY["segment"]
    linear = sum(m.weight.numel() for m in llama.modules() if isinstance(m, torch.nn.Linear))
    seen = sum(source + 1 + token for token in range(most))
    one = 2 * most * linear + 4 * 64 * seen * 3  # numbers of all heads, layers
    count = (N - SUMMARY["budget"]) // SUMMARY["segment"]
    assert told.prefill.flops - read.prefill.flops == count * one
    entry = 2 * 2 * 8 * 2 * 3  # keys and values, heads, size, bfloat16, layers
    assert told.kv_bytes_peak - read.kv_bytes_peak == most * entry


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "name, parameters",
    {name: CASES[name] for name in CASES if "chunks" not in name}.items(),
)
def test_the_peak_is_that_of_live_tensors(name, parameters, dtype):
    """Within a tenth, with the two hidden states that transformers' frames hold."""
    model = make_model("qwen3", hidden_size=64, intermediate_size=192, num_hidden_layers=5)
    model = model.to(dtype)
    method, n = make(name, parameters), 600
    paper = predict(model.config, method, n, 1, dtype=dtype)
    ids = prompt_of(n)
    gc.collect()
    with method.attach(model), LiveBytes(model.parameters()) as live:
        model(ids, logits_to_keep=1)
    floor = paper.peak_bytes - paper.weight_bytes
    assert 0.9 * floor < live.peak < 1.12 * (floor + paper.frame_bytes)


def test_full_kv_in_memory_to_three_percent(llama):
    paper = predict(llama.config, create_method("fullkv"), 400, 1, dtype=torch.float32)
    with create_method("fullkv").attach(llama), LiveBytes(llama.parameters()) as live:
        llama(prompt_of(400), logits_to_keep=1)
    assert live.peak == pytest.approx(
        paper.peak_bytes - paper.weight_bytes + paper.frame_bytes, rel=0.03
    )


# ---- the report ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report():
    return json.loads((place("data") / "report.json").read_text(encoding="utf-8"))["system"]["rows"]


@pytest.mark.parametrize("context", [32768, 131072])
def test_the_reports_memory_of_full_kv_within_ten_percent(report, context):
    paper = predict(PUBLISHED["Qwen3-0.6B"](), create_method("fullkv"), context, 1)
    theirs = report["fullkv"]["prefill"][str(context)]["gigabytes"]
    assert paper.peak_bytes / 2**30 == pytest.approx(theirs, rel=0.1)


@pytest.mark.parametrize("context", [32768, 131072])
def test_prefill_is_ranked_as_the_report_ranks_it(report, context):
    qwen, gpu = PUBLISHED["Qwen3-0.6B"](), TABLE["A100 80GB SXM"]
    names = ("gemfilter", "fastkv", "fullkv")
    ours = [
        predict(qwen, make(name, {} if name == "fullkv" else {"budget": 0.1}), context, 1,
                hardware=gpu).prefill_seconds
        for name in names
    ]  # fmt: skip
    theirs = [report[name]["prefill"][str(context)]["seconds"] for name in names]
    assert ours == sorted(ours) and theirs == sorted(theirs)


def test_whole_matrices_are_slower_than_full_kv_as_in_the_report(report):
    qwen, gpu = PUBLISHED["Qwen3-0.6B"](), TABLE["A100 80GB SXM"]
    seconds = {
        name: predict(qwen, method, 8192, 1, hardware=gpu, matrix=True).prefill_seconds
        for name, method in {
            "fullkv": create_method("fullkv"),
            "pyramidinfer": create_method("pyramidinfer"),
            "h2o": create_method("h2o", budget=0.1),
        }.items()
    }
    theirs = {name: report[name]["prefill"]["8192"]["seconds"] for name in seconds}
    assert sorted(seconds, key=seconds.get) == sorted(theirs, key=theirs.get)


def test_whole_matrices_do_not_fit_where_the_report_ran_out_of_memory():
    qwen = PUBLISHED["Qwen3-0.6B"]()
    method = create_method("h2o", budget=0.1)
    gpu = TABLE["A100 80GB SXM"]
    assert not predict(qwen, method, 32768, 1, hardware=gpu, matrix=True).fits
    assert predict(qwen, method, 32768, 1, hardware=gpu).fits


def test_parameters_of_the_published_configurations():
    counts = {name: ModelShape.of(config()).parameters for name, config in PUBLISHED.items()}
    assert counts == {
        "SmolLM2-135M": 134_515_008,
        "Qwen3-0.6B": 596_049_920,
        "Qwen3-1.7B": 1_720_574_976,
        "Llama-3.1-8B": 8_030_261_248,
    }


# ---- the roofline, and wrong input -----------------------------------------------------------------


def test_a_step_takes_the_longer_of_operations_and_bytes():
    hardware = Hardware("two operations and four bytes a second", 2.0, 4.0, 1.0)
    assert Cost(flops=6, bytes=4).seconds(hardware) == 3.0
    assert Cost(flops=6, bytes=40).seconds(hardware) == 10.0


def test_decoding_reads_the_weights_and_the_cache_at_every_step(llama):
    shape = ModelShape.of(llama.config)
    entry = 2 * shape.kv_heads * shape.head_dim * 4 * shape.layers  # of all layers, float32
    weights = sum(m.weight.nbytes for m in llama.modules() if isinstance(m, torch.nn.Linear))

    def traffic(context, new):
        paper = predict(llama.config, create_method("fullkv"), context, new, dtype=torch.float32)
        return paper.decode.bytes

    assert traffic(200, 2) - traffic(100, 2) == 100 * entry
    assert traffic(100, 4) - 3 * traffic(100, 2) == (1 + 2) * entry  # what was added is read, too
    assert 1 < traffic(100, 2) / (weights + 101 * entry) < 1.2


def test_the_peak_may_be_at_the_end_of_decoding(llama):
    paper = predict(llama.config, create_method("fullkv"), 10, 101, dtype=torch.float32)
    with create_method("fullkv").attach(llama) as run:
        llama.generate(prompt_of(10), max_new_tokens=101, min_new_tokens=101, do_sample=False)
    assert run.kv_bytes_peak == paper.kv_bytes_peak


def test_without_hardware_there_are_no_seconds(llama):
    paper = predict(llama.config, create_method("fullkv"), 50, 4)
    assert paper.prefill_seconds is paper.decode_seconds is paper.seconds is paper.fits is None


def test_the_starts_of_layers_are_added(llama):
    hardware = Hardware("only starts", 1e30, 1e30, 1e30, layer_seconds=1.0)
    paper = predict(llama.config, create_method("gemfilter", budget=10), 50, 3, hardware=hardware)
    assert paper.prefill_seconds == pytest.approx(3 + 2)  # all layers, and a first pass to layer 1
    assert paper.decode_seconds == pytest.approx(3)


@pytest.mark.parametrize("context, new", [(0, 1), (1, 0), (2.5, 1), (-3, 1)])
def test_lengths_must_be_whole_numbers(llama, context, new):
    with pytest.raises(ParameterError, match="at least 1"):
        predict(llama.config, create_method("fullkv"), context, new)


@pytest.mark.parametrize("dtype", ["bf17", "softmax", 16])
def test_an_unknown_dtype_is_refused(llama, dtype):
    with pytest.raises(ParameterError, match="dtype"):
        predict(llama.config, create_method("fullkv"), 10, 1, dtype=dtype)


@dataclasses.dataclass(frozen=True)
class Unplanned(Method):
    """A method of a user, without a name."""


def test_a_method_without_a_plan_is_refused_with_what_to_do(llama):
    with pytest.raises(UnsupportedError, match="plan.register"):
        predict(llama.config, Unplanned(), 10, 1)


def test_a_plan_of_your_own_is_used(llama):
    @dataclasses.dataclass(frozen=True)
    class Half(Method):
        pass

    plan.register(Half, lambda method, layers, n: Plan((whole(n, n // 2),) * layers))
    paper = predict(llama.config, Half(), 100, 1)
    assert paper.kv_bytes * 2 == predict(llama.config, create_method("fullkv"), 100, 1).kv_bytes


def test_one_token_can_be_predicted(llama):
    for name, parameters in CASES.items():
        assert predict(llama.config, make(name, parameters), 1, 1).prefill.flops > 0
