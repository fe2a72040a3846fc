"""Scores of answers: BERTScore against naive arithmetic, overlap worked out by hand, comparisons."""

import json
import math

import huggingface_hub
import numpy as np
import pytest
import torch
from bert_score import score as bert_score
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from kvbook import load_model
from kvbook.errors import ModelError, ParameterError
from kvbook.finetune import score
from kvbook.finetune.data import Dialogue, encode
from kvbook.finetune.score import (
    baseline_texts,
    bertscore,
    choose_encoder,
    compare,
    digest,
    distinct_n,
    forgetting,
    length_ratio,
    make_baseline,
    overlap,
    read_baseline,
    reference_nll,
    score_answers,
)
from kvbook.places import place

MILK = "多数糖尿病患者可以喝牛奶，纯牛奶升糖较慢。建议每天300毫升左右，选不加糖的品种。"
REWORDED = "糖尿病人一般能喝奶，不加糖的牛奶让血糖升得不快，一天大约三百毫升就行。"
OTHER = "晨起咽干咽痒可能与夜间张口呼吸有关。建议睡前湿化空气、少吃辛辣。"
REFUSED = [
    ([], [], "no answers"),
    (["a"], ["a", "b"], "1 candidates and 2 references"),
    (["a"], ["  "], "reference 0 is empty"),
    ("ab", "ab", "not one text"),
]


@pytest.fixture(scope="module")
def e5():
    return choose_encoder()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random encoder of two layers that reads 16 tokens, and whose tokenizer knows no limit."""
    folder = tmp_path_factory.mktemp("encoder")
    words = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *"abcdefgh0123"])}
    letters = Tokenizer(models.WordLevel(words, "<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    names = dict(pad_token="<pad>", cls_token="<s>", sep_token="</s>", unk_token="<unk>")
    PreTrainedTokenizerFast(tokenizer_object=letters, **names).save_pretrained(folder)
    size = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(vocab_size=len(words), max_position_embeddings=16, **size)
        BertModel(config).save_pretrained(folder)
    (folder / "baseline.csv").write_text("LAYER,P,R,F\n0,.1,.1,.1\n1,.2,.3,.25\n2,.5,.25,.4\n")
    return folder


@pytest.fixture(scope="module")
def small(folder):
    return choose_encoder(folder, layer=2, baseline=folder / "baseline.csv")


def f1(candidates, references, encoder):
    return bertscore(candidates, references, encoder=encoder).raw.f1


# ---- BERTScore ----------------------------------------------------------------------------------


def test_identical_texts_score_one(e5):
    scores = bertscore([MILK, "Drink milk."], [MILK, "Drink milk."], encoder=e5)
    for match in (scores.raw, scores.rescaled):
        for values in (match.precision, match.recall, match.f1):
            assert values == pytest.approx([1, 1], abs=1e-5)


def test_the_same_in_other_words_scores_between_the_same_words_and_another_topic(e5):
    other, reworded, same = f1([OTHER, REWORDED, MILK], [MILK] * 3, e5)
    assert other + 0.1 < reworded < same - 0.1


def test_what_is_wrong_by_a_word_scores_higher_than_what_is_right_in_other_words(e5):
    """The measure's known weakness, which the chapter shows."""
    negated = MILK.replace("可以", "不可以")
    overdosed = MILK.replace("300", "3000")
    reworded, *wrong = f1([REWORDED, negated, overdosed], [MILK] * 3, e5)
    assert min(wrong) > reworded + 0.1


def test_it_is_the_mean_of_the_greatest_cosines_of_the_ninth_layers_states(e5):
    tokenizer = AutoTokenizer.from_pretrained(e5.folder)
    model = AutoModel.from_pretrained(e5.folder)

    def states(text):
        with torch.no_grad():
            out = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        rows = out.hidden_states[9][0, 1:-1]  # without the first and the last token
        return rows / rows.norm(dim=1, keepdim=True)

    cosines = states(REWORDED) @ states(MILK).T
    precision, recall = cosines.max(1).values.mean().item(), cosines.max(0).values.mean().item()
    scores = bertscore([REWORDED], [MILK], encoder=e5).raw
    assert scores.precision == pytest.approx([precision], abs=1e-5)
    assert scores.recall == pytest.approx([recall], abs=1e-5)
    assert scores.f1 == pytest.approx([2 * precision * recall / (precision + recall)], abs=1e-5)


def test_a_score_does_not_depend_on_what_else_is_scored(e5):
    pairs = [(REWORDED, MILK), ("是", OTHER), *((f"{i}" * (i % 40 + 1), OTHER) for i in range(70))]
    candidates, references = map(list, zip(*pairs, strict=True))
    together = f1(candidates, references, e5)
    alone = [f1([ours], [theirs], e5)[0] for ours, theirs in pairs[:4]]
    assert together[:4] == pytest.approx(alone, abs=score.TIE)


def test_empty_answers_score_zero_and_are_counted(small):
    scores = bertscore(["", " \n", "abc"], ["abc"] * 3, encoder=small)
    assert scores.raw.precision[:2] == scores.raw.recall[:2] == scores.raw.f1[:2] == [0, 0]
    assert scores.rescaled.f1[:2] == pytest.approx([-0.4 / 0.6] * 2)
    assert scores.empty == 2 and scores.raw.f1[2] == pytest.approx(1)


def test_answers_may_all_be_empty(small):
    assert f1([""], ["abc"], small) == [0]


def test_rescaled_is_the_distance_from_the_baseline(small):
    scores = bertscore(["abc", "abd"], ["cda", "hgf"], encoder=small)
    for name, b in (("precision", 0.5), ("recall", 0.25), ("f1", 0.4)):
        raw, rescaled = getattr(scores.raw, name), getattr(scores.rescaled, name)
        assert rescaled == pytest.approx([(one - b) / (1 - b) for one in raw])


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_rescaled_is_what_bert_score_rescales(e5):
    ours, theirs = [REWORDED, OTHER], [MILK, MILK]
    encoder = dict(model_type=str(e5.folder), num_layers=9, baseline_path=str(e5.baseline))
    *_, expected = bert_score(ours, theirs, lang="zh", rescale_with_baseline=True, **encoder)
    rescaled = bertscore(ours, theirs, encoder=e5).rescaled
    assert rescaled.f1 == pytest.approx(expected.tolist(), abs=1e-5)


def test_without_a_baseline_nothing_is_rescaled(folder):
    assert bertscore(["a"], ["b"], encoder=choose_encoder(folder, layer=2)).rescaled is None


def test_the_layer_is_the_one_asked_for(folder):
    first, second = (f1(["abc"], ["cde"], choose_encoder(folder, layer=n)) for n in (1, 2))
    assert first != pytest.approx(second, abs=1e-3)


def test_what_is_over_the_encoders_length_is_counted_and_left_out(small):
    fits, over, other_end = "ab" * 7, "ab" * 7 + "a", "ab" * 7 + "h"
    scores = bertscore([fits, over, other_end, fits], [fits, fits, fits, over], encoder=small)
    assert scores.cut == 3
    assert scores.raw.f1 == pytest.approx([1] * 4, abs=1e-5)


@pytest.mark.parametrize("measure", [bertscore, overlap, length_ratio, score_answers])
@pytest.mark.parametrize("candidates, references, says", REFUSED)
def test_what_cannot_be_scored_is_refused(measure, candidates, references, says):
    with pytest.raises(ParameterError, match=says):
        measure(candidates, references)


# ---- encoders -----------------------------------------------------------------------------------


def test_the_embedded_encoder_is_the_default(e5):
    assert (e5.name, e5.layer) == ("multilingual-e5-small", 9)
    assert bertscore(["是"], ["是"]).encoder == e5.name


def test_bert_base_chinese_has_bert_scores_layer_and_baseline(folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    encoder = choose_encoder("bert-base-chinese")
    assert (encoder.folder, encoder.layer) == (folder, 8)
    assert read_baseline(encoder.baseline, 8)[2] == 0.54755783


def test_bert_base_chinese_without_a_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="cannot fetch bert-base-chinese .*layer=8"):
        choose_encoder("bert-base-chinese")


def test_a_folder_needs_a_layer(folder):
    with pytest.raises(ParameterError, match="say which layer"):
        choose_encoder(folder)


def test_an_unknown_encoder_is_refused_with_the_known():
    with pytest.raises(ModelError, match="no encoder 'roberta': give 'multilingual-e5-small'"):
        choose_encoder("roberta")


def test_a_layer_that_the_encoder_has_not_is_refused(folder):
    with pytest.raises(ParameterError, match="layer=3: .*between 0 and 2"):
        bertscore(["a"], ["a"], encoder=choose_encoder(folder, layer=3))


def test_a_folder_without_weights_is_one_message(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="cannot read the encoder in"):
        bertscore(["a"], ["a"], encoder=choose_encoder(tmp_path, layer=1))


# ---- baselines ----------------------------------------------------------------------------------


def test_a_baseline_that_is_not_there_is_refused(folder):
    with pytest.raises(ParameterError, match="there is no baseline"):
        choose_encoder(folder, layer=2, baseline=folder / "none.csv")


@pytest.mark.parametrize(
    "content, says",
    [
        ("LAYER,P,R,F\n0,1,1,1\n", "no baseline of layer 2"),
        ("layer;p\n2;1\n", "is no baseline"),
        ("LAYER,P,R,F\n2,1\n", "is no baseline"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path, content, says):
    path = tmp_path / "baseline.csv"
    path.write_text(content)
    with pytest.raises(ParameterError, match=says):
        read_baseline(path, 2)


def test_a_baseline_is_the_mean_over_texts_that_do_not_belong_together(folder, small, tmp_path):
    texts = ["abc", "dch", "0123", "abc", " "]
    made = make_baseline(texts, small, pairs=6)  # all that there are
    pairs = [(a, b) for a in texts[:3] for b in texts[:3] if a != b]
    for layer in (1, 2):
        encoder = choose_encoder(folder, layer=layer)
        raw = bertscore(*map(list, zip(*pairs, strict=True)), encoder=encoder).raw
        expected = [np.mean(values) for values in (raw.precision, raw.recall, raw.f1)]
        assert made.layers[layer] == pytest.approx(expected, abs=1e-5)


def test_a_baseline_is_written_in_bert_scores_format_with_its_provenance(small, tmp_path):
    made = make_baseline(["abc", "dch", "0123"], small, pairs=3, seed=5)
    made.write(tmp_path / "b.csv")
    assert read_baseline(tmp_path / "b.csv", 2) == pytest.approx(np.array(made.layers[2]), abs=1e-6)
    provenance = json.loads((tmp_path / "b.json").read_text())
    assert provenance == made.provenance
    assert (provenance["pairs"], provenance["seed"], provenance["layer"]) == (3, 5, 2)


def test_the_seed_draws_the_pairs(small):
    texts = ["abc", "dch", "0123", "bbb", "h"]
    first, again, other = (make_baseline(texts, small, pairs=4, seed=s).layers for s in (0, 0, 1))
    assert np.allclose(first, again, atol=1e-6) and not np.allclose(first, other, atol=1e-4)


@pytest.mark.parametrize("texts, pairs", [(["a"], 1), (["a", "b"], 3), (["a", "b"], 0)])
def test_pairs_that_there_are_not_are_refused(texts, pairs, small):
    with pytest.raises(ParameterError, match="different texts make"):
        make_baseline(texts, small, pairs=pairs)


def test_the_embedded_encoders_baseline_is_of_todays_training_data():
    """If not: python -m kvbook.finetune.score"""
    provenance = json.loads((place("data") / "medical/baseline.json").read_text())
    assert provenance["texts"]["sha256"] == digest(baseline_texts())


def test_answers_to_other_questions_score_about_zero_rescaled(e5):
    texts = baseline_texts()[:40]
    scores = bertscore(texts, texts[1:] + texts[:1], encoder=e5)
    assert np.mean(scores.rescaled.f1) == pytest.approx(0, abs=0.08)
    assert np.mean(scores.raw.f1) > 0.5


# ---- wording ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ours, theirs, expected",
    [
        ("多喝温水", "多喝温水", 1),
        ("多 喝温水", "多喝 温水", 1),
        # 3 of 4 characters, 2 of 3 pairs, 1 of 2 triples, none of 1 run of four: half a hit
        ("多喝温茶", "多喝温水", (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4)),
        ("多喝", "多喝温水", math.exp(1 - 4 / 2)),  # all hits, half as long
        ("多喝温水多喝温水", "多喝温水", (4 / 8 * 3 / 7 * 2 / 6 * 1 / 5) ** (1 / 4)),
        ("早睡", "多喝温水", 0),
        ("", "多喝温水", 0),
    ],
)
def test_bleu(ours, theirs, expected):
    assert overlap([ours], [theirs]).bleu == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(
    "ours, theirs, expected",
    [
        ("多喝温水", "多喝温水", 1),
        ("多喝水", "多 喝温水", 2 * 1 * (3 / 4) / (1 + 3 / 4)),
        ("水温喝多", "多喝温水", 1 / 4),  # in order, one
        ("早睡", "多喝温水", 0),
        ("", "多喝温水", 0),
    ],
)
def test_rouge_l(ours, theirs, expected):
    assert overlap([ours], [theirs]).rouge_l == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(
    "texts, n, expected",
    [
        (["多喝水", "多喝茶"], 1, 4 / 6),
        (["多喝水", "多喝茶"], 2, 3 / 4),
        (["水水水"], 1, 1 / 3),
        (["水 水"], 2, 1),
        (["水", ""], 2, 0),
    ],
)
def test_distinct(texts, n, expected):
    assert distinct_n(texts, n) == pytest.approx(expected)


def test_the_length_ratio_is_that_of_all_characters():
    assert length_ratio(["多喝水\n", "早睡"], ["多喝温水", "多喝温水"]) == 5 / 8


# ---- likelihood ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny-random", dtype="float32", device="cpu")


def dialogues(*answers):
    return [
        Dialogue(
            ({"role": "user", "content": "头痛？"}, {"role": "assistant", "content": answer}), line
        )
        for line, answer in enumerate(answers, 1)
    ]


def test_nll_is_the_mean_over_the_answers_tokens(tiny):
    (dialogue,) = dialogues("多休息。")
    encoded = encode(tiny.tokenizer, dialogue)
    with torch.no_grad():
        logits = tiny.model(torch.tensor([encoded.ids])).logits[0]
    first = len(encoded.ids) - encoded.trained
    terms = [
        -math.log(torch.softmax(logits[i - 1], 0)[encoded.ids[i]])
        for i in range(first, len(encoded.ids))
    ]
    assert reference_nll(tiny.model, tiny.tokenizer, [dialogue]) == pytest.approx(
        [sum(terms) / len(terms)], abs=1e-5
    )


def test_nll_does_not_depend_on_the_batch(tiny):
    items = dialogues("好。", "多休息，多喝温水，少熬夜。", "不要紧。", "看医生。", "是")
    one, all_at_once = (
        reference_nll(tiny.model, tiny.tokenizer, items, batch_size=size) for size in (1, 5)
    )
    assert one == pytest.approx(all_at_once, abs=1e-5)
    assert len(set(one)) == 5


def test_nll_leaves_the_model_in_its_mode(tiny):
    tiny.model.train()
    try:
        reference_nll(tiny.model, tiny.tokenizer, dialogues("好。"))
        assert tiny.model.training
    finally:
        tiny.model.eval()


@pytest.mark.parametrize("items, size, says", [([], 4, "no answers"), (["好"], 0, "batch_size=0")])
def test_nll_of_nothing_is_refused(items, size, says, tiny):
    with pytest.raises(ParameterError, match=says):
        reference_nll(tiny.model, tiny.tokenizer, dialogues(*items), batch_size=size)


# ---- before and after ---------------------------------------------------------------------------

BEFORE = [0.5, 0.6, 0.4, 0.7]
AFTER = [0.6, 0.7, 0.4 + 1e-7, 0.6]


def test_a_comparison_counts_items_and_averages_their_gains():
    made = compare(BEFORE, AFTER)
    assert (made.items, made.wins, made.ties, made.losses) == (4, 2, 1, 1)
    assert (made.before, made.after) == pytest.approx((0.55, 0.575))
    assert made.gain == pytest.approx(0.025)
    assert made.win_rate == 2.5 / 4
    assert made.low < 0 < made.high and made.win_low < made.win_rate < made.win_high


def test_a_gain_of_every_item_has_an_interval_above_zero():
    before = np.linspace(0.1, 0.9, 30)
    made = compare(before, before + np.tile([0.01, 0.03], 15))
    assert 0 < made.low < made.gain < made.high
    assert made.win_rate == made.win_high == 1 and made.win_low > 0.8


def test_where_less_is_better_a_fall_is_a_gain():
    made = compare(BEFORE, AFTER, less_is_better=True)
    assert (made.gain, made.wins, made.losses) == (pytest.approx(-0.025), 1, 2)
    assert (made.before, made.after) == pytest.approx((0.55, 0.575))


@pytest.mark.parametrize("before, after", [([], []), ([1.0], [1.0, 2.0])])
def test_a_comparison_needs_the_same_items(before, after):
    with pytest.raises(ParameterError, match="the same items"):
        compare(before, after)


def test_forgetting_is_told_by_language():
    told = forgetting([1.0, 2.0, 3.0], [1.5, 2.5, 2.0], ["zh", "zh", "en"])
    assert {group: one.gain for group, one in told.items()} == {"zh": -0.5, "en": 1.0}


def test_forgetting_needs_a_group_an_item():
    with pytest.raises(ParameterError, match="1 values before, 1 after, 2 groups"):
        forgetting([1.0], [1.0], ["zh", "en"])


# ---- all together -------------------------------------------------------------------------------


def test_all_scores_make_a_row_and_plain_data(small):
    made = score_answers(["abc", ""], ["abc", "abd"], encoder=small, nll=[1.0, 2.0])
    row = made.row(model="base")
    assert row["model"] == "base" and row["empty"] == "1" and row["length ratio"] == "0.50"
    assert row["BERTScore F1, raw"].startswith("0.500 (")
    assert row["NLL of the reference"].startswith("1.500 (")
    data = json.loads(json.dumps(made.data()))
    assert data["bert"]["raw"]["f1"] == pytest.approx([1, 0], abs=1e-5)
    assert data["overlap"]["rouge_l"] == [1, 0] and data["nll"] == [1, 2]


def test_a_comparison_makes_a_row_and_plain_data():
    made = compare(BEFORE, AFTER)
    assert made.row(measure="F1")["gain"].startswith("+0.025 (-0.0")
    assert json.loads(json.dumps(made.data()))["wins"] == 2
