"""LoRA as tables and pictures."""

import re
from pathlib import Path

import pytest
import torch
from tables import cells

from kvbook import show
from kvbook.finetune.train import Trained

TRAINED = Trained(
    adapter=Path("run"),
    train_losses=[(1, 3.0), (2, 2.0)],
    held_out_losses=[(0, 4.0), (2, 1.5)],
    trainable=1000,
    parameters=20_000,
    seconds=12.4,
    steps=2,
    resumed_from=None,
    notes=[],
)
SIZES = {"q_proj": [0.1, 0.2], "down_proj": [0.5, 0.4]}


def test_the_two_thin_matrices_are_drawn_to_scale():
    axes = show.lora_shapes(60, 90, 4).axes[0]
    assert [(one.get_width(), one.get_height()) for one in axes.patches] == [
        (90, 60),
        (90, 4),
        (4, 60),
    ]
    assert [text.get_text() for text in axes.texts] == [
        "W, frozen\n60 × 90",
        "A: 4 × 90",
        "B: 60 × 4",
    ]
    assert axes.get_aspect() == 1


def test_matrices_of_a_kind_are_one_row():
    layers = {f"layers.{i}.up_proj": torch.nn.Linear(10, 30) for i in range(3)}
    assert cells(show.lora_kinds(layers, 2, "m"))[1:] == [
        ["up_proj", "30 × 10", "3", "300", "80", "26.7%"]
    ]


def test_the_kinds_of_which_lora_is_most_and_least_are_named():
    layers = {"0.up_proj": torch.nn.Linear(10, 30), "0.k_proj": torch.nn.Linear(10, 10)}
    text = str(show.kinds_sentence(layers, 2))
    assert "40.0% as many numbers as the matrix in `k_proj`, and 26.7% in `up_proj`" in text


def test_memory_is_told_of_the_last_model():
    text = str(show.memory_sentence({"s": (10, 1), "m": (2**30, 2**26)}))
    assert text == "Training all of m adds 6 times the memory of its weights; LoRA adds 50% of it."


def test_training_everything_adds_twelve_bytes_a_number_and_lora_sixteen_of_its_own():
    row = cells(show.lora_memory({"m": (2**30, 2**26)}, 16))[1]
    assert row[3:] == ["5.9%", "2.00 GiB", "12.00 GiB", "1.00 GiB"]


def test_a_file_of_settings_is_shown_with_its_name(tmp_path):
    path = tmp_path / "lora.yaml"
    path.write_text("a: 1\n")
    assert show.yaml_file(path).data == f"```yaml\na: 1\n```\n*From* `{tmp_path.name}/lora.yaml`"


def test_a_trainings_sentence_has_its_numbers():
    text = str(show.training_sentence(TRAINED, 8))
    assert text.startswith("2 steps of 8 rows took **12 s**; 1,000 numbers are trained, **5.00%**")


def test_both_losses_are_drawn_over_their_steps():
    lines = show.loss_curves(TRAINED, 5, 8).axes[0].lines
    assert [line.get_xydata().tolist() for line in lines] == [[[1, 3], [2, 2]], [[0, 4], [2, 1.5]]]
    assert [line.get_label() for line in lines] == [
        "training rows, mean of 5 steps",
        "8 test rows, never trained on",
    ]


@pytest.mark.parametrize(
    "losses, says",
    [
        ([(0, 4.0), (2, 1.5)], "still learning when the training stopped."),
        ([(0, 4.0), (2, 1.0), (4, 1.5)], "loss is that of step 2: after it"),
    ],
)
def test_the_held_out_loss_is_told_from_its_start_to_its_end(losses, says):
    text = str(show.held_out_sentence(losses))
    assert "from **4.00** to **1.50** nats" in text and says in text
    assert re.findall(r"\d+\.\d%", text) == ["1.8%", "22.3%"]  # exp(-4), exp(-1.5)


def test_singular_values_stand_at_their_numbers_and_a_line_behind_the_rank():
    values = {"W": torch.tensor([4.0, 2.0]), "ΔW": torch.tensor([1.0, 0.0])}
    whole, change, line = show.singular_values(values, 1, "t").axes[0].lines
    assert whole.get_xydata().tolist() == [[1, 4], [2, 2]]
    assert change.get_ydata().tolist() == pytest.approx([1, 1e-9])  # zero has no logarithm
    assert list(line.get_xdata()) == [1.5, 1.5]


def test_the_map_has_a_row_a_kind_and_a_column_a_layer():
    axes = show.change_map(SIZES).axes[0]
    assert axes.images[0].get_array().tolist() == [[0.1, 0.2], [0.5, 0.4]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["q_proj", "down_proj"]


def test_the_largest_change_is_told_with_its_place():
    text = str(show.change_sentence(SIZES))
    assert "30.0% of the matrix on average" in text
    assert "largest in `down_proj` of layer 0, with 50.0%" in text


def test_a_change_is_told_with_its_size_and_its_dimensions():
    values = {"W": torch.tensor([4.0, 2.0]), "ΔW": torch.tensor([1.0, 0.0])}
    text = str(show.dimensions_sentence(values, 3, 16))
    assert "is 25.0% of the matrix's" in text and "Of the 16 dimensions of the change, 3" in text


def test_the_formula_and_the_layer_are_told_with_their_difference():
    theirs, ours = torch.tensor([1.0, -8.0]), torch.tensor([1.5, -8.0])
    text = str(show.layer_sentence("up_proj", theirs, ours))
    assert "differ by 5.0e-01 at most, in values up to 8.00" in text


@pytest.mark.parametrize("same, says", [(True, "the same losses"), (False, "**other** losses")])
def test_a_finished_training_that_is_called_again_gives_its_losses(same, says):
    assert str(show.again_sentence(0.25, same)).endswith(f"took 0.2 s and gave {says}.")


def test_files_are_told_in_mib():
    assert cells(show.file_sizes({"a": 3 * 2**20}))[1:] == [["a", "3.0"]]


def test_the_adapter_is_told_beside_the_smallest_whole_model():
    text = str(show.sizes_sentence({"large": 2**23, "own": 2**20, "small": 2**22}, "own"))
    assert "is small, with 4.0 MiB. The adapter has 25% of that" in text


def test_answers_with_a_stock_word_are_counted():
    rows = [{"before": "a", "after": "ab", "reference": "b"}] * 2
    text = str(show.stock_phrase_sentence([*rows, dict.fromkeys(rows[0], "b")], "b", "it is"))
    assert text.startswith("The word b (it is) is in 1 of 3 answers before")
    assert "in 3 after it; it is in 3 of the references" in text
