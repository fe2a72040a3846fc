"""Fine-tuning data: files of rows, dialogues, tokens, the trainers' own forms, duplicates.

>>> from kvbook.finetune.data import read_dialogues, encode
"""

from kvbook.finetune.data.dialogue import Dialogue
from kvbook.finetune.data.duplicates import Deduplicated, Duplicate, remove_duplicates
from kvbook.finetune.data.rows import Malformed, Read, read_dialogues
from kvbook.finetune.data.tokens import (
    IGNORED,
    Encoded,
    encode,
    encode_prompt,
    length_statistics,
)
from kvbook.finetune.data.trainers import as_prompt_completion, write_llamafactory

__all__ = [
    "IGNORED",
    "Deduplicated",
    "Dialogue",
    "Duplicate",
    "Encoded",
    "Malformed",
    "Read",
    "as_prompt_completion",
    "encode",
    "encode_prompt",
    "length_statistics",
    "read_dialogues",
    "remove_duplicates",
    "write_llamafactory",
]
