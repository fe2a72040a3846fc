"""A first pass over the prompt: the shallow layers read all of it, a method chooses, and only the
chosen tokens are read by the whole model. GemFilter works so."""

from functools import partial

from torch import Tensor

from kvbook.engine.attention import measure
from kvbook.engine.padding import attend_apart, stack_left


class Chosen(Exception):
    """Leaves the first pass as soon as its tokens are chosen."""


class FirstPass:
    """The pass while it is under way.

    Parameters
    ----------
    method
        With ``choose(seen)``.
    last : int
        The layer whose queries and keys choose.
    """

    def __init__(self, method, last: int):
        self.method, self.last = method, last
        self.chosen: list[Tensor] = []

    def attention(self, engine, module, query, key, value, scaling) -> tuple[Tensor, None]:
        """Attention without a cache; in the last layer the method chooses instead.

        Raises
        ------
        Chosen
            The rest of the layer is not needed.
        """
        forward = engine.run.state.forward
        if module.layer_idx < self.last:
            how = partial(measure, scaling=scaling, sums=False)
            none = [0] * len(query)
            output, _ = attend_apart(how, query, key, value, none, forward.pads)
            return output.transpose(1, 2), None
        for row, pad in enumerate(forward.pads):
            seen = engine.see(module, row, query, key[row, :, pad:], scaling)
            self.chosen.append(self.method.choose(seen))
        raise Chosen


def choose_inputs(engine, inputs: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Run a first pass, where the method wants one.

    Parameters
    ----------
    engine : kvbook.engine.attach.Engine
        It has begun a prompt.
    inputs, real
        The prompt, and which of its columns are tokens.

    Returns
    -------
    Tensor [batch, chosen] or [batch, chosen, hidden]
        What the model reads of the prompt.
    BoolTensor [batch, chosen] or None
        Which of its columns are tokens.
    """
    method, state, base = engine.run.method, engine.run.state, engine.base
    at = [method.first_pass(len(base.layers), tokens) for tokens in state.prompt_lengths]
    if all(layer is None for layer in at):
        return inputs, real
    scan = FirstPass(method, max(layer for layer in at if layer is not None))
    forward = state.forward
    engine.take(inputs, real)
    hidden = base.embed_tokens(inputs) if inputs.ndim == 2 else inputs
    embeddings = base.rotary_emb(hidden, forward.position_ids)
    forward.first_pass = scan
    try:
        for layer in base.layers[: scan.last + 1]:
            hidden = layer(hidden, position_embeddings=embeddings)
    except Chosen:
        pass
    finally:
        forward.first_pass = None
    state.filter_layers = scan.last + 1
    state.read_lengths, state.read = [0] * len(state.prompt_lengths), None
    chosen, missing = stack_left([one[None] for one in scan.chosen])
    state.chosen = chosen[:, 0]
    starts = state.chosen.new_tensor(forward.pads)[:, None]
    index = (state.chosen + starts).clamp(min=0)
    if inputs.ndim == 3:
        index = index[..., None].expand(-1, -1, inputs.shape[-1])
    return inputs.gather(1, index), state.chosen >= 0 if any(missing) else None
