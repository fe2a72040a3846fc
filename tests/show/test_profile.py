"""The profiling chapter's tables and pictures, on numbers made by hand."""

from types import SimpleNamespace

from tables import cells

from kvbook import show
from kvbook.profiling.hardware import Hardware
from kvbook.profiling.load import Load
from kvbook.profiling.prediction import Cost
from kvbook.profiling.profile import Shares
from kvbook.profiling.promises import Measured
from kvbook.profiling.timing import Measurement
from kvbook.stats import Spread

MiB = 2**20


def measured(method="fullkv", context=100, seconds=2.0, peak=3 * MiB):
    return Measurement(
        method, context, 4, prefill=(seconds,), decode=(0.5,), end_to_end=(3.0,), peak_bytes=peak
    )


def paper(seconds=1.0, run_bytes=2 * MiB):
    return SimpleNamespace(
        prefill_seconds=seconds, decode_seconds=0.25, run_bytes=run_bytes, frame_bytes=MiB
    )


def test_costs_on_paper_stand_part_by_part_for_both_phases():
    phase = SimpleNamespace(parts={"mlp": Cost(2e12, 3e9)})
    table = show.parts_on_paper(SimpleNamespace(prefill=phase, decode=phase), "")
    assert cells(table)[1] == ["mlp", "2.00", "3.0", "2.000", "3.0"]
    assert 'class="kv-computed"' in table.data


def test_shares_without_a_measured_memory_have_a_dash():
    one = Spread(0.5, 0.25, 0.75)
    m = SimpleNamespace(name="m")
    rows = cells(show.shares_of_full([Shares(m, one, one, one, None)], 1024, ""))
    assert rows[0][-1] == "memory above the weights, 1,024 tokens"
    assert rows[1] == ["m", *["0.50 (0.25 to 0.75)"] * 3, "–"]
    rows = cells(show.shares_of_full([Shares(m, one, one, one, 0.5)], 1024, ""))
    assert rows[1][-1] == "0.50"


def test_the_machine_is_its_three_numbers():
    table = show.machine(Hardware("two cores", 1.5e12, 20e9, 0, 0.002))
    assert cells(table)[1] == ["two cores", "1,500", "20.0", "2.00 ms"]


def test_every_measurement_has_its_paper_beside_it():
    pairs = [(measured(), paper()), (measured(peak=None), paper())]
    rows = cells(show.measured_and_paper(pairs, [True, False], ""))
    assert rows[1] == ["fullkv", "100", "2.00", "1.00", "500", "250", "3", "2", "3", "yes"]
    assert rows[2][6:] == ["–", "2", "3", "no"]


def test_a_mark_stands_at_its_paper_and_its_measurement():
    pairs = [(measured(), paper()), (measured(context=50, seconds=1.0, peak=None), paper(0.5))]
    prefill, memory = show.measured_over_paper(pairs).axes
    marks = [(*line.get_xdata(), *line.get_ydata()) for line in prefill.lines[:2]]
    assert marks == [(1.0, 2.0), (0.5, 1.0)]
    assert [text.get_text() for text in prefill.figure.legends[0].texts] == ["fullkv"]
    assert len(memory.lines) == 2  # one mark, and the line of equals
    assert memory.lines[0].get_xdata()[0] == 2 and memory.lines[0].get_ydata()[0] == 3


def test_two_runs_of_a_process_stand_beside_the_paper():
    table = show.first_and_second_run({"h2o": (9 * MiB, 4 * MiB)}, {"h2o": paper()}, "")
    assert cells(table)[1] == ["h2o", "9 MiB", "4 MiB", "3 MiB"]


def test_seconds_by_part_have_their_sum():
    table = show.seconds_by_part({"fullkv": {"mlp": 1.0, "norms": 0.5}}, "")
    assert cells(table) == [
        ["method", "mlp", "norms", "sum"],
        ["fullkv", "1.00 s", "0.50 s", "1.50 s"],
    ]


def test_speed_is_operations_over_seconds_and_a_share_of_the_products():
    names = ("projections", "attention", "mlp")
    table = show.speed_by_part(
        dict.fromkeys(names, 2.0), dict.fromkeys(names, Cost(40e9)), products=80e9
    )
    assert cells(table)[2] == ["attention", "40", "20", "25%"]


def test_parts_without_counted_operations_have_a_dash():
    data = {
        "parts": {"mlp": 3.0, "norms": 1.0},
        "parts_flops": {"mlp": 10e9},
        "hardware": {"flops": 5e9},
    }
    rows = cells(show.bench_parts(data, ""))
    assert rows[1:] == [["mlp", "3.00", "75%", "2.00"], ["norms", "1.00", "25%", "–"]]


def token(context=100, kv_bytes=1_000_000):
    return Measurement(
        "fullkv", context, 4, decode=(0.2, 0.1, 0.4), kv_bytes=kv_bytes, weight_bytes=9_000_000
    )


def test_a_token_stands_beside_what_the_memory_allows():
    rows = cells(show.token_times([token(), token(2000, 11_000_000)], 100e6, ""))
    assert rows[1] == ["100", "9", "1", "100", "200 (100 to 400)", "2.0"]
    assert rows[2] == ["2,000", "9", "11", "200", "200 (100 to 400)", "1.0"]


def test_the_bars_of_a_token_are_as_long_as_its_floor_and_its_parts():
    figure = show.token_bars(token(), 100e6, {"products": 0.1, "between": 0.05})
    [axes] = figure.axes
    bars = [(round(bar.get_x(), 6), round(bar.get_width(), 6)) for bar in axes.patches]
    assert bars == [(0, 90), (90, 10), (0, 100), (100, 50)]
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels == ["weights", "cache", "products", "between"]


PROMISES = [
    Measured("snapkv, 512: decode", "FullKV", 0.6, "AMD", Spread(0.5, 0.4, 0.7)),
    Measured("h2o, 512: decode", "kvpress", 0.3, "AMD", Spread(0.5, 0.4, 0.7)),
    Measured("chapter h2o", "1 of 2 cores", 90, "AMD", Spread.of([120]), "s"),
]


def test_broken_promises_are_named_and_kept_ones_are_not():
    assert str(show.broken_promises(PROMISES)).splitlines() == [
        "In the kept run 1 of 3 promises hold. These do not:",
        "",
        "- **h2o, 512: decode**: 0.50 instead of 0.30 (kvpress).",
        "- **chapter h2o**: 120 s instead of 90 s (1 of 2 cores).",
    ]
    assert str(show.broken_promises(PROMISES[:1])) == "In the kept run all 1 promises hold."


def test_a_busy_machine_is_said_and_how_far_repeats_lie_apart():
    one = Measurement("fullkv", 100, 4, prefill=(2.0, 3.0))
    busy = str(show.load_sentence(Load(10.0, 2, 5.0, 5.0), [one]))
    assert busy.startswith("**This machine was busy") and "used 25% of its CPU time" in busy
    assert "lie up to 50% apart" in busy
    quiet = str(show.load_sentence(Load(10.0, 2, 5.0, 0.2), [one]))
    assert "used 1% of" in quiet and "left alone" in quiet


def test_only_what_holds_in_every_repeat_is_called_quicker():
    def share(name, prefill, decode, memory):
        spreads = (Spread(*one) for one in (prefill, prefill, decode))
        return Shares(SimpleNamespace(name=name), *spreads, memory)

    told = str(
        show.shares_sentence(
            [
                share("fullkv", (1, 1, 1), (1, 1, 1), 1.0),
                share("a", (0.5, 0.4, 0.6), (0.9, 0.8, 1.1), 0.25),
                share("b", (1.2, 1.1, 1.3), (1.0, 0.9, 1.1), 0.5),
            ]
        )
    ).splitlines()
    assert told == [
        "- **Prefill, quicker than FullKV in every repeat**: a (0.50).",
        "- **Prefill, slower in every repeat**: b (1.20).",
        "- **Decoding a token, not told apart from FullKV**: a (0.90), b (1.00).",
        "- **Memory above the weights** lies between 0.25 (a) and 0.50 (b) of FullKV's.",
    ]
    alone = str(show.shares_sentence([share("a", (0.5, 0.4, 0.6), (1, 1, 1), None)]))
    assert "Memory" not in alone


def test_the_distance_to_the_floor_is_said_and_that_it_was_lowered():
    pairs = [(measured(), paper()), (measured(seconds=4.0, peak=None), paper())]
    told = str(show.floor_sentence(pairs, 1.0)).splitlines()
    assert told == [
        "- The prefill takes 2.0 to 4.0 times its floor.",
        "- Decoding takes 2.0 to 2.0 times its floor.",
        "- Memory is 1.5 to 1.5 times what must exist on paper.",
    ]
    lowered = str(show.floor_sentence(pairs[1:], 2.5))
    assert "2.50 times as quick" in lowered and "Memory" not in lowered


def test_the_largest_part_of_a_prefill_is_named_and_what_is_left_of_it():
    told = str(
        show.parts_sentence(
            {"fullkv": {"mlp": 1.0, "attention": 3.0}, "a": {"mlp": 1.0, "attention": 0.6}}
        )
    )
    assert "largest part is attention: 75% of the prefill" in told
    assert "a takes 20% of FullKV's time for attention, and 40% of it for all" in told


def test_a_token_is_told_in_floors_and_by_its_largest_part():
    told = str(
        show.token_sentence(
            [token(), token(2000, 11_000_000)], 100e6, {"small": 1.0, "products": 3.0}
        )
    )
    assert "1.0 to 2.0 times as long" in told and "*products*, 75% of" in told
