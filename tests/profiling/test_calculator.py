"""The calculator's table is the cost model's own numbers, at their places."""

import pytest
from conftest import make_model

from kvbook import create_method
from kvbook.profiling.calculator import shares_on_paper, tabulate
from kvbook.profiling.hardware import PHONES, TABLE
from kvbook.profiling.prediction import predict

MACHINES = [TABLE["L4"], TABLE["RTX 4090"]]


@pytest.fixture(scope="module")
def config():
    return make_model("llama").config


def test_every_cell_is_a_prediction(config):
    names, contexts, budgets = ["fullkv", "snapkv"], [100, 400], [0.1, 0.5]
    made = tabulate({"tiny": config}, names, contexts, budgets, MACHINES, new_tokens=9)
    paper = predict(config, create_method("snapkv", budget=0.5), 400, 9)
    cell = made["cells"][0][1][1][1]
    assert cell[:2] == [paper.kv_bytes, paper.peak_bytes]
    assert cell[2:] == pytest.approx(
        [
            seconds
            for machine in MACHINES
            for seconds in (paper.prefill.seconds(machine), paper.decode.seconds(machine) / 8)
        ],
        rel=0.005,  # three digits
    )
    axes = {name: made[name] for name in ("models", "methods", "contexts", "budgets", "new_tokens")}
    assert list(axes.values()) == [["tiny"], names, contexts, budgets, 9]
    assert made["machines"] == ["L4", "RTX 4090"] and made["memory"] == [24e9, 24e9]


def test_full_kv_has_one_budget_and_an_answer_of_one_token_decodes_none(config):
    made = tabulate({"tiny": config}, ["fullkv", "h2o"], [100], [0.1, 0.5], MACHINES, new_tokens=1)
    full, h2o = made["cells"][0]
    assert (len(full), len(h2o)) == (1, 2)
    assert full[0][0][0] == predict(config, "fullkv", 100, 1).kv_bytes
    assert [full[0][0][at] for at in (3, 5)] == [0, 0]


def test_a_phone_has_a_decoded_token_and_no_prefill(config):
    phone = next(iter(PHONES.values()))
    made = tabulate({"tiny": config}, ["fullkv"], [100], [0.1], [phone, MACHINES[0]], new_tokens=9)
    [[[[[_, _, prefill, token, gpu_prefill, _]]]]] = made["cells"]
    paper = predict(config, "fullkv", 100, 9)
    assert prefill is None and gpu_prefill > 0
    assert token == pytest.approx(paper.decode.bytes / phone.bandwidth / 8, rel=0.005)


def test_a_share_is_of_full_kv_on_the_same_machine(config):
    method, machine = create_method("snapkv", budget=16), MACHINES[0]

    def seconds(method):
        return predict(config, method, 400, 9, hardware=machine).seconds

    [[one, same], [other, _]] = shares_on_paper(config, method, [400, 400], [9, 2], machine)
    assert one == same == pytest.approx(seconds(method) / seconds("fullkv")) and one != other
    assert shares_on_paper(config, "fullkv", [400], [9], machine) == [[1.0]]
