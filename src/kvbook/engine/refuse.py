"""What cannot work under an attach is refused here, before anything runs or changes, by an error
that names it."""

from collections.abc import Sequence
from copy import deepcopy

from torch import Tensor, nn
from transformers import Cache
from transformers.generation import GenerationMode

from kvbook.errors import UnsupportedError, wanted

ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral")
"""Model types whose attention the engine knows: RoPE in the half-split layout, grouped KV heads."""
PACKED = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")
"""Arguments of a forward over packed sequences."""
DROPPING = ("keep", "evict", "pass_on", "choose")
"""The hooks by which a method drops entries, or tokens before they become entries."""
RESHAPING = ("pass_on", "first_pass")
"""The hooks of a method whose prefill gives hidden states of fewer tokens than the prompt has."""


def check_method(method) -> None:
    """Refuse what is no method: a name has no hooks, and would keep everything.

    Raises
    ------
    ParameterError
        With what to give instead.
    """
    if method is None or isinstance(method, str | type | nn.Module):
        raise wanted("a method", method, "create_method('snapkv', budget=256), for example")


def check_all(methods: Sequence, model) -> nn.Module:
    """Refuse what no method, or none of several, can be attached to.

    Returns
    -------
    nn.Module
        The model itself, out of peft's wrapper.

    Raises
    ------
    ParameterError, UnsupportedError
        No method, no model of PyTorch, or as of `unwrapped`, `check_model` and the methods' own
        ``check_model``.
    """
    for method in methods:
        check_method(method)
    if not isinstance(model, nn.Module):
        raise wanted("a model of PyTorch", model, "lm.model of lm = load_model(...)")
    model = unwrapped(model)
    check_model(model)
    for method in methods:
        if hasattr(method, "check_model"):
            method.check_model(model)
    return model


def changes_later(method) -> bool:
    """Whether what a method holds changes after the prompt, but for the new entries: it evicts,
    looks back, or packs."""
    hooks = "after_forward", "make_layer"
    return getattr(method, "evict", None) is not None or any(hasattr(method, one) for one in hooks)


def unwrapped(model: nn.Module) -> nn.Module:
    """The transformers model inside peft's wrapper, which runs it; any other model as it is.

    Raises
    ------
    UnsupportedError
        The adapter puts entries of its own into the cache (prompt or prefix tuning).
    """
    if not hasattr(model, "get_base_model") or not hasattr(model, "peft_config"):
        return model
    if any(config.is_prompt_learning for config in model.peft_config.values()):
        raise UnsupportedError(
            "this peft adapter puts entries of its own into the cache (prompt or prefix tuning): "
            "the method would not know them; use an adapter of the weights, such as LoRA"
        )
    return model.get_base_model()


def check_model(model: nn.Module) -> None:
    """Refuse a model that the engine would read wrongly.

    Raises
    ------
    UnsupportedError
        Another architecture than `ARCHITECTURES`, sliding-window layers, a compiled model, or layers
        on several devices.
    """
    compiled = [one for one in model.modules() if getattr(one, "_compiled_call_impl", None)]
    if compiled or hasattr(model, "_orig_mod"):
        raise UnsupportedError(
            "this model is compiled (torch.compile), and would run what was traced before, without "
            "the method: attach to the model as it was loaded"
        )
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
    devices = sorted({str(one.device) for one in model.parameters()} - {"meta"})
    if len(devices) > 1:
        raise UnsupportedError(
            f"this model has layers on several devices ({', '.join(devices)}), and the cache stands on "
            "one: load it without device_map, on a device that holds it"
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
        Beams with a method that drops entries; assisted or speculative generation; a guidance
        scale; a loop of the caller's own; another cache; or a chunked prefill.
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
    if config.guidance_scale not in (None, 1):
        raise UnsupportedError(
            f"guidance_scale={config.guidance_scale} runs the model a second time, on another prompt: "
            "one cache cannot follow both; leave it out"
        )
    if config.is_assistant:
        raise UnsupportedError(
            "this model would be the assistant of another one, which rewinds its cache: attach to "
            "neither of them, or generate without an assistant"
        )
    if config.speculation_type:
        raise UnsupportedError(
            f"speculation_type={config.speculation_type!r} rewinds the cache, from which entries are "
            "gone: leave it out"
        )
    if kwargs.get("custom_generate") is not None:
        raise UnsupportedError(
            "custom_generate: nobody knows what another loop does to the cache; leave it out"
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
        No input or two, no cache, the attention matrix asked for, packed or bidirectional
        inputs, a mask that is not ``[batch, tokens]``, or a cache of another kind.
    """
    if (kwargs.get("input_ids") is None) == (kwargs.get("inputs_embeds") is None):
        raise UnsupportedError("give the model either input_ids or inputs_embeds")
    if kwargs.get("use_cache") is False:
        raise UnsupportedError(
            "use_cache=False: a method lives in the KV cache; leave use_cache at its default"
        )
    if kwargs.get("output_attentions"):
        raise UnsupportedError(
            "output_attentions=True: the attention matrix is never built whole under attach"
        )
    packed = [name for name in PACKED if kwargs.get(name) is not None]
    if packed:
        raise UnsupportedError(
            f"{packed[0]}: several sequences packed into one row are not told apart under attach; "
            "give a row each"
        )
    if kwargs.get("is_causal") is False:
        raise UnsupportedError("is_causal=False: under attach, attention is causal")
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


def check_outputs(method, kwargs: dict) -> None:
    """Refuse to give an output for every token where a method does not read every token at once.

    Parameters
    ----------
    kwargs : dict
        What the whole model was called with.

    Raises
    ------
    UnsupportedError
        A loss, hidden states, or a ``logits_to_keep`` that is a tensor or above 1, with a method
        that cuts the prefill or reads it in chunks.
    """
    cuts = any(hasattr(method, hook) for hook in RESHAPING)
    if not cuts and getattr(method, "chunk", None) is None:
        return
    keep = kwargs.get("logits_to_keep", 0)
    asked = {
        "labels": kwargs.get("labels") is not None,
        "output_hidden_states": kwargs.get("output_hidden_states"),
        "logits_to_keep": isinstance(keep, Tensor) or keep > 1,
    }
    for name in (name for name, given in asked.items() if given):
        raise UnsupportedError(
            f"{name}: {method.name} does not read every token of the prompt through all layers at "
            "once, so there is no output for each of them; ask for the last one only"
        )


def check_training(model: nn.Module) -> None:
    """Refuse a model in training mode where that changes what is read.

    Raises
    ------
    UnsupportedError
        Gradient checkpointing, which runs the layers without their cache, or dropout of
        attention, which the engine does not do.
    """
    if not model.training:
        return
    dropout = model.config.attention_dropout
    checkpoints = any(
        getattr(layer, "gradient_checkpointing", False) for layer in model.base_model.layers
    )
    if checkpoints or dropout:
        what = "gradient checkpointing" if checkpoints else f"attention_dropout={dropout}"
        raise UnsupportedError(
            f"the model is in training mode, with {what}: call model.eval() before, and "
            "model.train() afterwards"
        )


def check_cache(cache: Cache, batch: int, state) -> None:
    """Refuse to go on with a cache that belongs to another prompt, or is not whole.

    Parameters
    ----------
    batch : int
        Rows that come.
    state : PromptState or kvbook.engine.panel.PanelRun
        Its ``cache``, ``given``, ``interrupted`` and ``read_lengths``.

    Raises
    ------
    UnsupportedError
        It is not the run's; it holds another number of rows; or an interrupted call has left its
        layers with different tokens.
    """
    if cache is not state.cache and cache is not state.given:
        raise UnsupportedError(
            "this past_key_values was not made by the latest prompt under this attach; "
            "pass `run.cache`, or none to start anew"
        )
    if state.interrupted:
        raise UnsupportedError(
            "a call over this cache was interrupted, and its layers no longer hold the same tokens: "
            "go back with run.restore(snapshot), or start anew without past_key_values"
        )
    rows = len(state.read_lengths)
    if batch != rows:
        raise UnsupportedError(
            f"this cache holds {rows} sequence{'s' * (rows > 1)}, and {batch} come: several answers "
            "to one later turn start from run.snapshot(), one after the other"
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
        The method has ``after_forward``, and there is more than one row, or there are no ids; or
        it has ``make_layer``, and there is more than one row.
    """
    if hasattr(method, "after_forward") and (batch > 1 or name != "input_ids"):
        raise UnsupportedError(
            f"{method.name} looks back at the words of one conversation: give it one "
            f"sequence of input_ids at a time, not {batch}"
            + (" of inputs_embeds" if name != "input_ids" else "")
        )
    check_unpadded(method, batch > 1)


def check_unpadded(method, padded: bool) -> None:
    """Refuse padding, or several rows that may have some, for a method that packs.

    Raises
    ------
    UnsupportedError
        The method has ``make_layer``.
    """
    if padded and hasattr(method, "make_layer"):
        raise UnsupportedError(
            f"{method.name} packs entries in groups, and padding would be in them: give it one "
            "sequence at a time, without padding, or rows of a Panel"
        )


def check_lengths(lengths: list[int]) -> None:
    """Refuse a prompt with an empty row.

    Raises
    ------
    UnsupportedError
        One of the rows is padding only.
    """
    if min(lengths) == 0:
        raise UnsupportedError("a prompt of the batch is empty: give every row at least one token")


def check_positions(given: Tensor | None, expected: Tensor, *, steps_only: bool) -> None:
    """Refuse positions of the caller's own: they belong to the engine.

    Parameters
    ----------
    given : LongTensor [batch or 1, new] or None
        The caller's.
    expected : LongTensor [batch, new]
        The engine's; -1 for padding.
    steps_only : bool
        Where they begin does not matter: in a prompt, since RoPE is relative, and after a first
        pass, where the engine counts the chosen tokens only.

    Raises
    ------
    UnsupportedError
        They are not the engine's.
    """
    if given is None:
        return
    apart = given.expand_as(expected) - expected
    if steps_only:
        apart = apart - apart[:, -1:]
    if (apart.masked_fill(expected < 0, 0) != 0).any():
        raise UnsupportedError(
            "position_ids of your own are not supported under attach: leave them out"
        )
