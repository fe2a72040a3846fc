"""Training keys: the file says all, and what is wrong in another one is named."""

import pytest
import yaml

from kvbook.errors import ParameterError
from kvbook.finetune.config import CONFIG, TrainingConfig, read_config, read_keys


def changed(tmp_path, **keys):
    """The file with other values; None: without that key."""
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8")) | keys
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({key: one for key, one in values.items() if one is not None}))
    return path


def test_the_file_says_what_the_report_did():
    config = read_config()
    assert (config.lora_rank, config.lora_alpha, config.lora_target) == (16, 32, "all")
    assert (config.template, config.enable_thinking, config.mask_history) == ("qwen3", False, True)
    assert config.lr_scheduler_type == "cosine" and config.warmup_steps > 0


def test_the_file_has_every_key_and_a_comment_for_it():
    lines = [one for one in CONFIG.read_text(encoding="utf-8").splitlines() if one.strip()]
    keys = [line for line in lines if not line.startswith("#")]
    assert [line.split(":")[0] for line in keys] == [*yaml.safe_load("\n".join(lines))]
    assert {line.split(":")[0] for line in keys} == set(TrainingConfig.model_fields)
    assert all("#" in line for line in keys)


def test_a_key_can_be_set_in_place_of_the_files():
    assert read_config(max_steps=60) == read_config().model_copy(update={"max_steps": 60})


def test_keys_of_a_command_line_are_read_as_those_of_the_file():
    words = ["max_steps=60", "learning_rate=1e-3", "bf16=false", "lora_target=q_proj,v_proj"]
    keys = {"max_steps": 60, "learning_rate": 1e-3, "bf16": False, "lora_target": "q_proj,v_proj"}
    assert read_keys(words) == keys
    assert read_config(**read_keys(words)) == read_config(**keys)


@pytest.mark.parametrize("word", ["max_steps", "max_steps: 60", "lora_target=[q", ""])
def test_words_that_are_no_keys_are_refused(word):
    with pytest.raises(ParameterError, match="give key=value, for example -p max_steps=60"):
        read_keys([word])


def test_another_file_is_read(tmp_path):
    assert read_config(changed(tmp_path, lora_rank=8)).lora_rank == 8


def test_a_number_with_an_exponent_and_no_point_is_a_number(tmp_path):
    path = changed(tmp_path)
    path.write_text(path.read_text().replace("learning_rate: 0.0005", "learning_rate: 5e-4"))
    assert read_config(path) == read_config()


def test_an_unknown_key_is_refused_with_the_nearest_one():
    with pytest.raises(ParameterError, match=r"no key 'lora_rnk'. Did you mean 'lora_rank'\? Keys"):
        read_config(lora_rnk=8)


def test_a_missing_key_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"mine.yaml has no lora_rank, seed: copy the lines"):
        read_config(changed(tmp_path, lora_rank=None, seed=None))


@pytest.mark.parametrize(
    "key, value",
    [
        ("lora_rank", 0),
        ("lora_rank", "16"),
        ("lora_dropout", 1.0),
        ("lora_target", "q_proj, v_proj"),
        ("learning_rate", float("nan")),
        ("max_steps", 0),
        ("enable_thinking", True),
        ("mask_history", False),
        ("finetuning_type", "full"),
        ("bf16", "auto"),
        ("save_total_limit", 1),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_key(key, value):
    with pytest.raises(ParameterError, match=f"^{key}={value!r}: "):
        read_config(**{key: value})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"there is no file .*mine.yaml: copy"):
        read_config(tmp_path / "mine.yaml")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="cannot read"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "content, reason", [(b"a: [", "is not YAML"), (b"\xb8", "is not YAML"), (b"", "holds no keys")]
)
def test_what_is_no_yaml_is_refused(content, reason, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ParameterError, match=reason):
        read_config(path)


def test_a_key_that_stands_there_twice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("lora_rank: 8\nlora_alpha: 16\nlora_rank: 4\n")
    with pytest.raises(ParameterError, match="line 3: the key 'lora_rank' stands there twice"):
        read_config(path)
