"""llama.cpp in a process of its own: an assertion in it ends this process, and nobody else's.

``python peer/__main__.py <model.gguf>``: prints a line of JSON when the model is there; then answers every line of
JSON on standard input, ``{"do": name, ...}``, by a line of JSON, ``{"ok": ..., "bytes": n}`` or
``{"error": why}``, and by n bytes after it. What can be done is `Peer`'s public methods. Imports
nothing of ours but what lies beside it.
"""

import ctypes
import json
import os
import sys
import time

import capi
from status import forget_peak, status


class Peer:
    """A model, and the contexts that were opened on it, by number."""

    def __init__(self, gguf: str):
        self.api = capi.load()
        params = self.api.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = self.api.llama_model_load_from_file(os.fsencode(gguf), params)
        if not self.model:
            raise capi.UnusableError(f"llama.cpp cannot read {gguf}: it is no whole GGUF file")
        self.vocab = self.api.llama_model_get_vocab(self.model)
        self.vocabulary = self.api.llama_vocab_n_tokens(self.vocab)
        self.contexts: dict[int, Context] = {}

    def facts(self):
        """What there is to know of the model."""
        return {
            "version": capi.VERSION,
            "vocabulary": self.vocabulary,
            "weights_bytes": self.api.llama_model_size(self.model),
            "context_length": self.api.llama_model_n_ctx_train(self.model),
            "ends": [
                i for i in range(self.vocabulary) if self.api.llama_vocab_is_eog(self.vocab, i)
            ],
        }

    def tokenize(self, text, special):
        """Token ids of a text; ``special``: whether ``<|im_end|>`` in it is a token."""
        data = text.encode()
        room = (ctypes.c_int32 * (len(data) + 16))()
        count = self.api.llama_tokenize(
            self.vocab, data, len(data), room, len(room), False, special
        )
        return room[:count]

    def pieces(self, ids, special):
        """The bytes of each token, as text in latin-1: a token may be half a character."""
        found = []
        for i in ids:
            room = ctypes.create_string_buffer(512)
            count = self.api.llama_token_to_piece(self.vocab, i, room, len(room), 0, special)
            found.append(room.raw[: max(0, count)].decode("latin-1"))
        return found

    def open(self, **settings):
        """A new context; its number."""
        number = max(self.contexts, default=-1) + 1
        self.contexts[number] = Context(self, **settings)
        return number

    def close(self, context):
        """Free a context and its cache."""
        self.contexts.pop(context).close()

    def memory(self, forget=False):
        """Bytes of this process now, and the most since it began or since ``forget``."""
        found = {"now": status("VmRSS"), "most": status("VmHWM")}
        if forget:
            forget_peak()
        return found


class Context:
    """A cache, and the buffers to compute with it. Sequence 0 is the conversation; sequence 1 is
    where something can be read that goes between entries."""

    def __init__(self, peer, entries, batch, keys, values, flash, threads):
        self.api, self.vocabulary = peer.api, peer.vocabulary
        params = self.api.llama_context_default_params()
        params.n_ctx, params.n_batch = entries, batch
        params.n_seq_max, params.kv_unified = 2, True
        params.n_threads = params.n_threads_batch = threads
        params.type_k, params.type_v = capi.CACHE_TYPES[keys], capi.CACHE_TYPES[values]
        params.flash_attn_type = capi.FLASH[flash]
        self.context = self.api.llama_init_from_model(peer.model, params)
        if not self.context:
            raise ValueError(
                f"llama.cpp refuses a context of {entries} entries, keys {keys}, values {values}, flash "
                f"attention {flash}: quantised values need flash attention"
            )
        self.entries = self.api.llama_n_ctx(self.context)
        self.batch_size = min(batch, self.entries)  # a larger batch would be an assertion
        self.batch = self.api.llama_batch_init(self.batch_size, 0, 1)
        self.cache = self.api.llama_get_memory(self.context)

    def close(self):
        self.api.llama_batch_free(self.batch)
        self.api.llama_free(self.context)

    def read(self, ids, start, sequence, logits):
        """Tokens at ``start`` and after: seconds, of the clock and of the CPU, and the logits
        (float32) of the last, of all, or of none."""
        found, batch = [], self.batch
        clock, cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(ids), self.batch_size):
            part = ids[first : first + self.batch_size]
            batch.n_tokens = len(part)
            for i, token in enumerate(part):
                batch.token[i], batch.pos[i] = token, start + first + i
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
                last = first + i == len(ids) - 1
                batch.logits[i] = logits == "all" or (logits == "last" and last)
            code = self.api.llama_decode(self.context, batch)
            if code:
                why = "no room in the cache" if code == 1 else "positions must go on from the last"
                raise ValueError(f"llama_decode gives {code} ({why})")
            wanted = {"all": range(len(part)), "last": [-1], "none": []}[logits]
            if logits == "last" and first + len(part) < len(ids):
                wanted = []
            for i in wanted:
                row = self.api.llama_get_logits_ith(self.context, i)
                found.append(ctypes.string_at(row, 4 * self.vocabulary))
        spent = {"seconds": time.perf_counter() - clock, "cpu": time.process_time() - cpu}
        return spent, b"".join(found)

    def remove(self, start, stop, sequence):
        """Take entries at ``start`` to before ``stop`` out (-1: to the end)."""
        return self.api.llama_memory_seq_rm(self.cache, sequence, start, stop)

    def shift(self, start, stop, steps):
        """Move entries of the conversation by ``steps`` positions, when something is read next."""
        if not self.api.llama_memory_can_shift(self.cache):
            raise ValueError("llama.cpp cannot shift this model's cache")
        self.api.llama_memory_seq_add(self.cache, 0, start, stop, steps)

    def copy(self, source, target, start, stop):
        """Let entries of one sequence be of another, too."""
        self.api.llama_memory_seq_cp(self.cache, source, target, start, stop)

    def clear(self):
        """Forget all."""
        self.api.llama_memory_clear(self.cache, True)

    def span(self):
        """The least and the greatest position of the conversation; -1 where there is none."""
        least = self.api.llama_memory_seq_pos_min(self.cache, 0)
        return [least, self.api.llama_memory_seq_pos_max(self.cache, 0)]

    def state_bytes(self):
        """Of the conversation's entries, with llama.cpp's few words about them."""
        return self.api.llama_state_seq_get_size(self.context, 0)

    def state(self):
        """The conversation's entries."""
        room = ctypes.create_string_buffer(self.state_bytes())
        count = self.api.llama_state_seq_get_data(self.context, room, len(room), 0)
        return count, room.raw[:count]

    def set_state(self, data):
        """Put entries back that `state` gave; how many bytes were taken, 0 if they do not fit."""
        self.clear()
        return self.api.llama_state_seq_set_data(self.context, data, len(data), 0)


def answer(peer, job):
    """What one line asks for, and bytes that go with it."""
    do, number = job.pop("do"), job.pop("context", None)
    if number is None or do == "close":
        job |= {} if number is None else {"context": number}
        return getattr(peer, do)(**job), b""
    found = getattr(peer.contexts[number], do)(**job)
    return found if isinstance(found, tuple) else (found, b"")


def main(gguf):
    """Load once, then answer until standard input ends."""
    replies, requests = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)  # what llama.cpp prints is not an answer

    def reply(words, data=b""):
        replies.write(json.dumps(words | {"bytes": len(data)}).encode() + b"\n" + data)
        replies.flush()

    try:
        peer = Peer(gguf)
    except capi.UnusableError as error:
        return reply({"error": str(error)})
    reply({"ok": peer.facts()})
    for line in requests:
        job = json.loads(line)
        if size := job.pop("bytes", 0):
            job["data"] = requests.read(size)
        try:
            found, data = answer(peer, job)
        except ValueError as error:
            reply({"error": str(error)})
        else:
            reply({"ok": found}, data)


if __name__ == "__main__":
    main(sys.argv[1])
