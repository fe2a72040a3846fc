"""What cannot work under an attach, refused by name before anything runs or changes."""

from copy import deepcopy

from torch import Tensor, nn
from transformers import Cache
from transformers.generation import GenerationMode

from kvbook.engine.state import PromptState
from kvbook.errors import UnsupportedError

ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral")
"""Model types whose attention the engine knows: RoPE in the half-split layout, grouped KV heads."""
DROPPING = ("keep", "evict", "pass_on", "choose")
"""The hooks of a method through which entries go."""


def check_model(model: nn.Module) -> None:
    """Refuse a model that the engine would read wrongly.

    Raises
    ------
    UnsupportedError
        Another architecture than `ARCHITECTURES`, or sliding-window layers.
    """
    config = getattr(model, "config", None)
    kind = getattr(config, "model_type", type(model).__name__)
    if kind not in ARCHITECTURES:
        raise UnsupportedError(
            f"architecture {kind!r} is not supported; supported are {', '.join(ARCHITECTURES)}"
        )
    layer_types = getattr(config, "layer_types", None)
    sliding = (
        getattr(config, "sliding_window", None)
        if layer_types is None
        else "sliding_attention" in layer_types
    )
    if sliding:
        raise UnsupportedError(
            f"this {kind} model has sliding-window layers (sliding_window={config.sliding_window}), which already drop "
            "entries by themselves; load it with sliding_window=None if its weights allow full attention"
        )


def check_generate(method, model: nn.Module, kwargs: dict) -> None:
    """Refuse ways of generating that a method cannot follow.

    Parameters
    ----------
    kwargs : dict
        What ``generate`` was called with.

    Raises
    ------
    UnsupportedError
        Beams over a cache from which entries go, assisted generation, another cache, or a
        chunked prefill.
    """
    config = deepcopy(kwargs.get("generation_config") or model.generation_config)
    config.update(**{name: value for name, value in kwargs.items() if hasattr(config, name)})
    for name in ("num_beams", "num_return_sequences"):
        if getattr(config, name, None) is None:
            setattr(config, name, 1)
    mode = config.get_generation_mode(kwargs.get("assistant_model"))
    allowed = [GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE]
    if not any(hasattr(method, hook) for hook in DROPPING):
        allowed += [GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE]
    if mode not in allowed:
        raise UnsupportedError(
            f"{mode.value} does not work with {method.name}: it rewinds or reorders a cache from which entries "
            f"are gone; use {' or '.join(one.value for one in allowed)}"
        )
    if config.cache_implementation not in (None, "dynamic"):
        raise UnsupportedError(
            f"cache_implementation={config.cache_implementation!r}: the method brings its own cache; leave it out"
        )
    if config.prefill_chunk_size is not None:
        raise UnsupportedError(
            "prefill_chunk_size is not supported under attach; StreamingLLM has `chunk`"
        )


def check_call(kwargs: dict) -> None:
    """Refuse arguments of a forward that the engine would ignore or read wrongly.

    Raises
    ------
    UnsupportedError
        No cache, the attention matrix asked for, a mask that is not ``[batch, tokens]``, or a
        cache of another kind.
    """
    if kwargs.get("use_cache") is False:
        raise UnsupportedError(
            "use_cache=False: a method lives in the KV cache; leave use_cache at its default"
        )
    if kwargs.get("output_attentions"):
        raise UnsupportedError(
            "output_attentions=True: the attention matrix is never built whole under attach"
        )
    mask = kwargs.get("attention_mask")
    if mask is not None and (not isinstance(mask, Tensor) or mask.ndim != 2):
        raise UnsupportedError(
            "attention_mask must be [batch, tokens] with 1 for tokens and 0 for padding"
        )
    cache = kwargs.get("past_key_values")
    if cache is not None and not isinstance(cache, Cache):
        raise UnsupportedError(
            f"past_key_values is a {type(cache).__name__}: give `run.cache`, another Cache of "
            "transformers that is empty, or none"
        )


def check_cache(cache: Cache | None, state: PromptState) -> None:
    """Refuse to go on with a cache that belongs to another prompt.

    Raises
    ------
    UnsupportedError
        Its words: what to give instead.
    """
    if cache is not state.cache and cache is not state.given:
        raise UnsupportedError(
            "this past_key_values was not made by the latest prompt under this attach; "
            "pass `run.cache`, or none to start anew"
        )


def check_one_conversation(method, name: str, batch: int) -> None:
    """Refuse a batch, or embeddings, for a method that looks back at the words that were read.

    Parameters
    ----------
    name : {"input_ids", "inputs_embeds"}
        What was given.

    Raises
    ------
    UnsupportedError
        The method has ``after_forward``, and there is more than one row, or there are no ids.
    """
    if hasattr(method, "after_forward") and (batch > 1 or name != "input_ids"):
        raise UnsupportedError(
            f"{method.name} looks back at the words of one conversation: give it one "
            f"sequence of input_ids at a time, not {batch}"
            + (" of inputs_embeds" if name != "input_ids" else "")
        )


def check_prompt(lengths: list[int], position_ids: Tensor | None, real: Tensor | None) -> None:
    """Refuse a prompt with an empty row, or with positions of its own: those belong to the engine.

    Raises
    ------
    UnsupportedError
        One of the two.
    """
    if min(lengths) == 0:
        raise UnsupportedError("a prompt of the batch is empty: give every row at least one token")
    if position_ids is None:
        return
    gaps = position_ids[..., 1:] - position_ids[..., :-1] != 1
    if (gaps if real is None else gaps & real[:, :-1]).any():
        raise UnsupportedError(
            "position_ids of your own are not supported under attach: leave them out"
        )
