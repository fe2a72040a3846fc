"""The embedded encoder, and one of two layers that is made on the spot."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from kvbook.finetune.score import choose_encoder


@pytest.fixture(scope="session")
def e5():
    return choose_encoder()


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def small(folder):
    return choose_encoder(folder, layer=2, baseline=folder / "baseline.csv")
