"""The bytes of all tensors alive during a computation, and the most of them at any moment."""

import weakref

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts every storage once, from the operation that made it until it is freed; those of
    ``known`` tensors (the weights) are left out."""

    def __init__(self, known=()):
        super().__init__()
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        self.peak = max(self.peak, self.now)
        return out

    def _add(self, storage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if not size or key in self._known or key in self._sizes:
            return
        self._sizes[key] = size
        self.now += size

        def freed():
            self.now -= self._sizes.pop(key, 0)

        weakref.finalize(storage, freed)
