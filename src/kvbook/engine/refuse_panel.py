"""What cannot work under a panel is refused here, before anything runs or changes, by an error that
names it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kvbook.engine.refuse import RESHAPING, check_method
from kvbook.errors import UnsupportedError, wanted


def reads_its_own_way(method) -> bool:
    """Whether a method changes what the layers read of a prompt, or looks back at it: it cannot
    share a reading."""
    hooks = *RESHAPING, "after_forward"
    return (
        any(hasattr(method, hook) for hook in hooks) or getattr(method, "chunk", None) is not None
    )


def check_methods(methods) -> None:
    """Refuse what cannot be a panel.

    Raises
    ------
    ParameterError
        No sequence of methods.
    """
    example = "Panel([create_method('fullkv'), create_method('snapkv', budget=256)]), for example"
    if isinstance(methods, str) or not isinstance(methods, Sequence) or not methods:
        raise wanted("a sequence of methods", methods, example)
    for method in methods:
        check_method(method)


def check_generate(model: nn.Module, kwargs: dict) -> None:
    """Refuse several answers to one row of a panel: rows belong to methods.

    Raises
    ------
    UnsupportedError
        ``num_return_sequences``, or beams.
    """
    config = kwargs.get("generation_config") or model.generation_config
    for name in ("num_return_sequences", "num_beams"):
        asked = kwargs.get(name, getattr(config, name, None))
        if asked not in (None, 1):
            raise UnsupportedError(
                f"{name}={asked}: every row of a panel belongs to one method; leave it out"
            )


def check_call(kwargs: dict) -> None:
    """Refuse outputs that a panel, which reads one row for several, does not have.

    Raises
    ------
    UnsupportedError
        Hidden states of every layer, or a plain tuple.
    """
    if kwargs.get("output_hidden_states"):
        raise UnsupportedError(
            "output_hidden_states: a panel reads one row for several methods, so there are none for "
            "each; attach a method alone"
        )
    if kwargs.get("return_dict") is False:
        raise UnsupportedError("return_dict=False: leave it out under a panel")


def check_rows(rows: int, methods: Sequence) -> None:
    """Refuse a batch that does not give every method a row of every prompt.

    Raises
    ------
    UnsupportedError
        With the number of rows that a prompt needs.
    """
    if rows == 0 or rows % len(methods):
        raise UnsupportedError(
            f"a panel of {len(methods)} methods takes {len(methods)} rows of every prompt, and {rows} "
            f"came: give ids.repeat({len(methods)}, 1) of one prompt, or repeat_interleave of several"
        )


def check_same_prompts(inputs: Tensor, real: Tensor | None, methods: int) -> None:
    """Refuse rows of one group that are not the same prompt.

    Parameters
    ----------
    inputs : Tensor [rows, columns] or [rows, columns, hidden]
        Token ids, or embeddings.
    real : BoolTensor [rows, columns] or None
        Which columns are tokens.
    methods : int
        Rows of a group.

    Raises
    ------
    UnsupportedError
        With the first two rows that differ.
    """
    mask = inputs.new_ones(inputs.shape[:2], dtype=torch.bool) if real is None else real
    shown = inputs.masked_fill(~mask.view(*mask.shape, *[1] * (inputs.ndim - 2)), 0)
    for start in range(0, len(inputs), methods):
        for row in range(start + 1, start + methods):
            if not (shown[row].equal(shown[start]) and mask[row].equal(mask[start])):
                raise UnsupportedError(
                    f"rows {start} and {row} are not the same prompt: a panel of {methods} methods "
                    f"reads every prompt once, from {methods} equal rows, one after the other"
                )
