"""The device itself: it computes as the CPU does, refuses and waits as CUDA does."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from second_device.second import Waits

ON_CPU = torch.arange(6)


MIXES = {
    "a sum": lambda ours: ours + ON_CPU,
    "a list of tensors": lambda ours: torch.cat((ours, ON_CPU)),
    "an embedding": lambda ours: F.embedding(ON_CPU, ours[:, None].float()),
    "a gather": lambda ours: ours.gather(0, ON_CPU),
    "a mask": lambda ours: ours.masked_fill(ON_CPU > 3, 0),
    "a generator": lambda ours: ours.float().uniform_(generator=torch.Generator()),
}
WAITS = {
    "item": (1, lambda ours: ours[0].item()),
    "a list": (1, lambda ours: ours.tolist()),
    "a branch": (1, lambda ours: bool(ours.all())),
    "to the CPU": (1, lambda ours: ours.cpu()),
    "from a list": (1, lambda ours: torch.tensor([1, 2], device=ours.device)),
    "nonzero": (1, lambda ours: ours.nonzero()),
    "reading a mask": (1, lambda ours: ours[ours > 3]),
    "writing a mask": (1, lambda ours: ours.index_put_((ours > 3,), ours[:1])),
    "an index on the CPU": (1, lambda ours: ours[ON_CPU]),
    "arithmetic": (0, lambda ours: (ours + 1).sum().clamp(min=2).where(ours > 3, ours)),
    "an index": (0, lambda ours: ours[ours.flip(0)].topk(2).indices),
    "from a size": (0, lambda ours: torch.arange(len(ours), device=ours.device)),
    "to the CPU, later": (0, lambda ours: torch.zeros(6).copy_(ours, non_blocking=True)),
}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_tensors_of_two_devices_are_refused(second, mix):
    with pytest.raises(RuntimeError, match="same device|device type for generator"):
        mix(ON_CPU.to(second))


def test_a_number_on_the_cpu_may_come_to_the_device(second):
    ours = ON_CPU.to(second) * torch.tensor(2)
    assert ours.device == torch.device("second:0") and ours.tolist() == [0, 2, 4, 6, 8, 10]


def test_nobody_gets_the_device_unasked(second):
    assert not torch.accelerator.is_available()
    assert torch.zeros(1).device.type == "cpu"
    with pytest.raises(TypeError, match="copy the tensor to host memory first"):
        ON_CPU.to(second).numpy()


def test_views_copies_and_changes_in_place_are_the_cpus(second):
    ours = torch.zeros(3, 4, device=second)
    ours[1:, ::2].add_(1)
    copied = deepcopy(ours)
    ours.T[0] = 5
    longer = torch.empty(0, dtype=torch.long, device=second)
    torch.arange(3, out=longer)
    assert ours.tolist() == [[5, 0, 0, 0], [5, 0, 1, 0], [5, 0, 1, 0]]
    assert longer.tolist() == [0, 1, 2]
    assert copied.tolist() == [[0, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]]


def test_a_layer_computes_in_inference_mode(second):
    layer = torch.nn.Linear(6, 2).to(second)
    with torch.inference_mode():
        assert layer(ON_CPU.to(second).float()).shape == (2,)


def test_a_seed_draws_what_it_draws_on_the_cpu(second):
    torch.manual_seed(3)
    ours = torch.randn(5, device=second)
    torch.manual_seed(3)
    assert torch.equal(ours.cpu(), torch.randn(5))


@pytest.mark.parametrize(("count", "work"), WAITS.values(), ids=WAITS)
def test_waits_are_counted(second, count, work):
    ours = ON_CPU.to(second)
    with Waits() as waits:
        work(ours)
    assert waits.count == count, waits.places
