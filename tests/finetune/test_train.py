"""Training: what is trained, how it goes on after an interruption, and that both backends do the same."""

import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
from filelock import FileLock
from finetune.qwen3 import qwen3_tokenizer
from finetune.rows import chat
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from kvbook import load_model
from kvbook.errors import ParameterError, ResultError
from kvbook.finetune import llamafactory_backend
from kvbook.finetune import train as training
from kvbook.finetune.config import read_config
from kvbook.finetune.data import encode
from kvbook.finetune.merge import merge
from kvbook.finetune.train import CHECKPOINT, train

MODEL = "tiny-random"
QUICK = dict(
    bf16=False,
    max_steps=6,
    logging_steps=1,
    eval_steps=2,
    save_steps=2,
    per_device_train_batch_size=2,
    learning_rate=1e-2,
    lora_dropout=0.1,  # so that a resumed run needs its random numbers, too
    save_total_limit=3,
)


def rows(*questions):
    return [
        chat(question, f"Rest, and drink. {question}", line=line)
        for line, question in enumerate(questions, 1)
    ]


TRAIN = rows("headache", "a cold", "fever for 2 days", "cough", "back pain", "发烧")
HELD_OUT = rows("toothache", "a sore throat and a cough")


def train_quickly(output, *, train_rows=TRAIN, held_out=(), resume=True, **changes):
    config, held_out = read_config(**QUICK | changes), held_out or HELD_OUT
    return train(MODEL, train_rows, held_out, output, config=config, resume=resume, progress=False)


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


def assert_same_weights(a, b):
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-7)


def assert_same_losses(a, b, apart=1e-6):
    for ours, theirs in ((a.train_losses, b.train_losses), (a.held_out_losses, b.held_out_losses)):
        assert dict(ours) == pytest.approx(dict(theirs), rel=0, abs=apart)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_quickly(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copy(trained, tmp_path):
    """The folder of the finished run, to do with it what you like."""
    return shutil.copytree(trained.adapter, tmp_path / "copy")


def unfinish(folder):
    """As it was before the last lines of `train`."""
    for name in ("training.json", "adapter_model.safetensors"):
        path = folder / name
        if path.suffix == ".json":
            text = path.read_text(encoding="utf-8")
            start = text.index('"result"')
            path.write_text(text[:start] + '"result": null\n }\n}', encoding="utf-8")
        else:
            path.unlink()


# ---- what is trained ----------------------------------------------------------------------------


def test_losses_are_those_of_every_step_and_they_fall(trained):
    assert [step for step, _ in trained.train_losses] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in trained.held_out_losses] == [0, 2, 4, 6]
    assert trained.held_out_losses[-1][1] < trained.held_out_losses[0][1] - 0.5
    assert (trained.steps, trained.resumed_from, trained.notes) == (6, None, [])


def test_the_first_held_out_loss_is_the_models_own(trained):
    lm = load_model(MODEL, dtype="float32")
    losses = []
    for dialogue in HELD_OUT:
        encoded = encode(lm.tokenizer, dialogue)
        with torch.no_grad():
            logits = lm.model(torch.tensor([encoded.ids])).logits[0, :-1]
        labels = torch.tensor(encoded.labels[1:])
        losses.append(torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100))
    expected = torch.stack(losses).mean().item()
    assert trained.held_out_losses[0] == (0, pytest.approx(expected, abs=1e-5))


def test_all_linear_layers_are_trained_and_not_the_output_layer(trained):
    lm = load_model(MODEL)
    linear = {name: one for name, one in lm.model.named_modules() if hasattr(one, "in_features")}
    output = linear.pop("lm_head")
    found = {
        name.removeprefix("base_model.model.").rpartition(".lora_")[0]
        for name in weights(trained.adapter)
    }
    assert output is lm.model.get_output_embeddings() and found == set(linear)
    assert trained.trainable == sum(16 * (o.in_features + o.out_features) for o in linear.values())


def test_the_share_is_of_all_numbers(trained):
    own = sum(one.numel() for one in load_model(MODEL).model.parameters())
    assert trained.parameters == own + trained.trainable
    assert trained.share == trained.trainable / trained.parameters


def test_another_seed_is_another_training(trained, tmp_path):
    other = train_quickly(tmp_path / "other", seed=1)
    assert other.train_losses != trained.train_losses


def test_some_layers_by_name(tmp_path):
    train_quickly(tmp_path / "run", lora_target="q_proj,v_proj", max_steps=1)
    assert {name.split(".")[-3] for name in weights(tmp_path / "run")} == {"q_proj", "v_proj"}


def test_rows_that_are_cut_or_left_out_are_noted(tmp_path, capsys):
    more = [*TRAIN, *rows("x" * 500, "y" * 70)]
    trained = train_quickly(tmp_path / "run", train_rows=more, max_steps=1, cutoff_len=150)
    assert trained.notes == [
        "1 training rows left out: their prompt fills cutoff_len=150",
        "1 of 7 training rows cut at cutoff_len=150 tokens",
    ]
    assert capsys.readouterr().err == "".join(f"kvbook: {note}\n" for note in trained.notes)


# ---- interruptions ------------------------------------------------------------------------------


def test_a_finished_run_is_read_and_not_trained_again(trained):
    before = {path: path.stat().st_mtime_ns for path in trained.adapter.rglob("*")}
    assert train_quickly(trained.adapter) == trained
    assert {path: path.stat().st_mtime_ns for path in before if path.name[0] != "."} == {
        path: when for path, when in before.items() if path.name[0] != "."
    }


def test_a_killed_run_goes_on_to_the_same_end(trained, tmp_path):
    folder = tmp_path / "run"
    code = (
        "from pathlib import Path; from finetune.test_train import *;"
        "from transformers import TrainerCallback as slow\n"  # it waits to be killed
        "slow.on_save = lambda self, args, state, *_, **__: state.global_step < 4 or time.sleep(60)\n"
        f"train_quickly(Path({str(folder)!r}))"
    )
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=variables)
    while process.poll() is None and training._damage(folder / "checkpoint-2", CHECKPOINT):
        time.sleep(0.005)
    process.kill()
    assert process.wait() < 0 and not (folder / "adapter_model.safetensors").exists()
    resumed = train_quickly(folder)
    assert resumed.resumed_from in (2, 4, 6)
    assert_same_losses(resumed, trained)
    assert_same_weights(folder, trained.adapter)


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(trained, copy):
    unfinish(copy)
    for step in (4, 6):
        shutil.rmtree(copy / f"checkpoint-{step}")
    resumed = train_quickly(copy)
    assert resumed.resumed_from == 2
    assert_same_losses(resumed, trained)
    assert_same_weights(copy, trained.adapter)


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "optimizer.pt", "trainer_state.json"]
)
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(name, trained, copy):
    unfinish(copy)
    path = copy / "checkpoint-6" / name
    path.write_bytes(path.read_bytes()[:-100])
    resumed = train_quickly(copy)
    assert resumed.resumed_from == 4
    assert resumed.notes == [
        f"checkpoint-6 is damaged ({name}) and now called damaged-checkpoint-6"
    ]
    assert (copy / "damaged-checkpoint-6").is_dir()
    assert_same_weights(copy, trained.adapter)


@pytest.mark.parametrize("content", ["null", "5", "{}", '{"global_step": null, "max_steps": 6}'])
def test_a_state_that_does_not_say_how_far_it_is_is_damaged(content, trained, copy):
    unfinish(copy)
    (copy / "checkpoint-6/trainer_state.json").write_text(content)
    assert train_quickly(copy).resumed_from == 4


def test_without_a_whole_checkpoint_it_begins_anew_and_says_so(trained, copy):
    unfinish(copy)
    for step in (2, 4, 6):
        (copy / f"checkpoint-{step}/scheduler.pt").unlink()
    again = train_quickly(copy)
    assert again.resumed_from is None
    assert again.notes[-1] == "no whole checkpoint before the end is left: training begins anew"
    assert_same_weights(copy, trained.adapter)


def test_a_damaged_adapter_is_made_again_by_the_last_steps(trained, copy):
    """Going on from the very last checkpoint, a trainer would do one step too many."""
    path = copy / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    again = train_quickly(copy)
    assert (again.resumed_from, again.steps) == (4, 6)
    assert_same_losses(again, trained)
    assert_same_weights(copy, trained.adapter)


def test_an_end_in_the_middle_of_an_epoch_is_not_gone_beyond(tmp_path):
    whole = train_quickly(tmp_path / "whole", max_steps=5, save_steps=5)
    copy = shutil.copytree(whole.adapter, tmp_path / "copy")
    (copy / "adapter_model.safetensors").unlink()
    again = train_quickly(copy, max_steps=5, save_steps=5)
    assert (again.resumed_from, again.steps) == (None, 5)
    assert_same_weights(copy, whole.adapter)


def test_a_full_disk_is_one_message_and_the_same_call_goes_on(trained, tmp_path):
    folder = tmp_path / "run"
    code = (
        "from pathlib import Path; from finetune.test_train import *; import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))\n"
        f"try: train_quickly(Path({str(folder)!r}))\n"
        "except ResultError as error: print(error)"
    )
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True
    )
    assert "the same call goes on from there" in done.stdout, done.stderr
    train_quickly(folder)
    assert_same_weights(folder, trained.adapter)


# ---- what is in the folder ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, difference",
    [
        ({"learning_rate": 2e-2}, "learning_rate is 0.01 there, 0.02 asked"),
        ({"train_rows": TRAIN[1:]}, "training rows is '6, sha256 .*' there, '5, sha256 .*' asked"),
        ({"held_out": TRAIN[:1]}, "held-out rows is '2, sha256 .*' there, '1, sha256 .*' asked"),
    ],
)
def test_another_run_in_the_folder_is_refused_with_what_differs(trained, changes, difference):
    with pytest.raises(ParameterError, match=rf"run holds another training \({difference}\): give"):
        train_quickly(trained.adapter, **changes)


def other_base(folder, change):
    lm = load_model(MODEL, dtype="float32", device="cpu")
    change(lm)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return str(folder)


def negate(lm):
    with torch.no_grad():
        lm.model.lm_head.weight[:, 3] *= -1


@pytest.mark.parametrize(
    "change, difference",
    [
        (negate, "weights is '.*' there, '.*' asked"),
        (
            lambda lm: setattr(lm.model.config, "rms_norm_eps", 1e-3),
            "configuration is '.*' there, '.*' asked",
        ),
        (
            lambda lm: setattr(
                lm.tokenizer, "chat_template", lm.tokenizer.chat_template.replace("}}<", "}}.<")
            ),
            "training rows is '.*' there, '.*' asked; held-out rows is '.*' there, '.*' asked",
        ),
    ],
)
def test_another_model_is_another_training(trained, tmp_path, change, difference, monkeypatch):
    monkeypatch.setitem(globals(), "MODEL", other_base(tmp_path, change))
    with pytest.raises(ParameterError, match=rf"holds another training \({difference}\): give"):
        train_quickly(trained.adapter)


def test_the_same_model_elsewhere_is_the_same_training(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "MODEL", other_base(tmp_path, lambda lm: None))
    assert train_quickly(trained.adapter).steps == trained.steps


def test_another_adapter_in_place_of_the_trained_one_is_refused_and_left(copy):
    path = copy / "adapter_model.safetensors"
    save_file({name: -one for name, one in load_file(path).items()}, path, {"format": "pt"})
    before = path.read_bytes()
    with pytest.raises(ParameterError, match="is not the one that its training.json tells of"):
        train_quickly(copy)
    assert path.read_bytes() == before


def test_a_tokenizer_that_cannot_pad_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    def bare(lm):
        words = lm.tokenizer.backend_tokenizer
        template = lm.tokenizer.chat_template
        made = PreTrainedTokenizerFast(tokenizer_object=words, chat_template=template)
        object.__setattr__(lm, "tokenizer", made)

    monkeypatch.setitem(globals(), "MODEL", other_base(tmp_path / "base", bare))
    with pytest.raises(ParameterError, match="neither a padding token nor an end token"):
        train_quickly(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_folder_is_replaced_if_told_to(copy):
    replaced = train_quickly(copy, resume=False, max_steps=2)
    assert replaced.steps == 2 and not (copy / "checkpoint-6").exists()


def test_a_run_of_which_nothing_was_kept_yet_gives_way(copy, trained):
    unfinish(copy)
    for step in (2, 4, 6):
        shutil.rmtree(copy / f"checkpoint-{step}")
    assert train_quickly(copy, max_steps=2).notes == []


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ParameterError, match="not empty and holds no training of kvbook"):
        train_quickly(tmp_path, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_checkpoint_with_one_turned_byte_is_damaged(copy):
    path = copy / "checkpoint-6" / "optimizer.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    assert training._damage(copy / "checkpoint-6", CHECKPOINT) is None
    path.write_bytes(content)
    assert training._damage(copy / "checkpoint-6", CHECKPOINT) == "optimizer.pt"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(ParameterError, match="is a file: give a folder"):
        train_quickly(tmp_path / "run")


def test_a_damaged_record_is_refused(copy):
    (copy / "training.json").write_text("{")
    with pytest.raises(ParameterError, match=r"training.json is damaged: .*give another folder"):
        train_quickly(copy)


def test_two_trainings_in_one_folder_are_refused(copy):
    with FileLock(copy / ".training.lock"):
        with pytest.raises(ParameterError, match="another process is training in"):
            train_quickly(copy)


# ---- what cannot be trained ---------------------------------------------------------------------


def test_no_rows_are_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"no training rows to use \(none given\)"):
        train_quickly(tmp_path / "run", train_rows=[])
    assert not (tmp_path / "run").exists()


def test_rows_of_which_nothing_is_left_to_train_are_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"\(in all 6, the prompt fills cutoff_len=5\)"):
        train_quickly(tmp_path / "run", cutoff_len=5)


def test_an_unknown_layer_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(
        ParameterError, match=r"no linear layer qproj, lm_head; give 'all', or some of q_proj,k"
    ):
        train_quickly(tmp_path / "run", lora_target="qproj,lm_head")


def test_an_unknown_backend_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"unknown backend 'tlr'; backends are: trl, llamaf"):
        train(MODEL, TRAIN, HELD_OUT, tmp_path / "run", backend="tlr")


def test_a_loss_that_is_no_number_any_more_is_refused(tmp_path):
    with pytest.raises(ResultError, match="the loss is nan at step 2: lower learning_rate"):
        train_quickly(tmp_path / "run", learning_rate=1e30, max_steps=2, warmup_steps=0.0)


def test_a_missing_environment_of_llamafactory_is_refused_with_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_LLAMAFACTORY", str(tmp_path / "python"))
    with pytest.raises(ParameterError, match="is not there .*run `make llamafactory`"):
        train(MODEL, TRAIN, HELD_OUT, tmp_path / "run", backend="llamafactory")


# ---- LLaMA-Factory ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    """The folder of a tiny Qwen3 with the real tokenizer."""
    try:
        llamafactory_backend.environment()
    except ParameterError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("qwen3")
    config = Qwen3Config(
        vocab_size=151936,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        initializer_range=0.1,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen3ForCausalLM(config).save_pretrained(folder)
    qwen3_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def both(qwen3, tmp_path_factory):
    """Five steps by each backend."""
    folder = tmp_path_factory.mktemp("both")
    config = read_config(**QUICK | {"max_steps": 5})
    return [
        train(qwen3, TRAIN, HELD_OUT, folder / name, config=config, backend=name, progress=False)
        for name in ("trl", "llamafactory")
    ]


def test_both_backends_have_the_same_losses(both):
    ours, theirs = both
    assert [step for step, _ in theirs.train_losses] == [1, 2, 3, 4, 5]
    assert_same_losses(ours, theirs, 1e-3)
    assert (ours.trainable, ours.parameters) == (theirs.trainable, theirs.parameters)


def test_both_backends_train_the_same_weights(both):
    ours, theirs = (weights(one.adapter) for one in both)
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-4)


def test_llamafactorys_adapter_is_merged(both, tmp_path):
    assert (
        load_model(str(merge(both[1].adapter, tmp_path / "merged"))).model.config.model_type
        == "qwen3"
    )


def test_llamafactory_goes_on_from_a_checkpoint(both, qwen3, tmp_path):
    folder = shutil.copytree(both[1].adapter, tmp_path / "copy")
    unfinish(folder)
    shutil.rmtree(folder / "checkpoint-5")
    config = read_config(**QUICK | {"max_steps": 5})
    resumed = train(
        qwen3, TRAIN, HELD_OUT, folder, config=config, backend="llamafactory", progress=False
    )
    assert resumed.resumed_from == 4
    assert_same_weights(folder, both[1].adapter)


def test_llamafactory_reads_the_models_own_template_if_none_is_named(qwen3, tmp_path):
    config = read_config(**QUICK | {"max_steps": 1, "template": None})
    ours, theirs = (
        train(MODEL, TRAIN, HELD_OUT, tmp_path / name, config=config, backend=name, progress=False)
        for name in ("trl", "llamafactory")
    )
    assert_same_losses(ours, theirs, 1e-3)


def test_a_template_that_is_not_the_models_is_refused(qwen3, tmp_path):
    with pytest.raises(ParameterError, match="template 'qwen3' gives other tokens than the model"):
        train(
            MODEL,
            TRAIN,
            HELD_OUT,
            tmp_path / "run",
            config=read_config(**QUICK),
            backend="llamafactory",
        )
