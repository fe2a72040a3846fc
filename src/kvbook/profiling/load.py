"""What else the machine did while something was measured on it."""

import time
from dataclasses import dataclass

import psutil

BUSY = 0.1
"""From this share of the CPU time on, other processes make times longer than they are."""


@dataclass(frozen=True)
class Load:
    """CPU time of a stretch of measuring.

    Attributes
    ----------
    seconds : float
        By the clock.
    cores : int
        Of the machine.
    ours, others : float
        CPU seconds of this process and of those that it started; and of all others.
    """

    seconds: float
    cores: int
    ours: float
    others: float

    @property
    def share(self) -> float:
        """What the others used of all that the machine has."""
        return self.others / (self.seconds * self.cores)

    @property
    def busy(self) -> bool:
        """Whether they used enough to be felt."""
        return self.share > BUSY


class Watch:
    """Looks at the clock and at the CPU's, from its making on."""

    def __init__(self):
        self._started, self._all, self._ours = time.perf_counter(), _used(), _used_by_us()

    def read(self) -> Load:
        """What was used since then."""
        seconds, ours = time.perf_counter() - self._started, _used_by_us() - self._ours
        others = max(0.0, _used() - self._all - ours)
        return Load(seconds, psutil.cpu_count() or 1, ours, others)


def _used() -> float:
    """CPU seconds of all processes since the machine started; what a host took away counts, too."""
    now = psutil.cpu_times()
    return sum(
        getattr(now, what, 0.0) for what in ("user", "nice", "system", "irq", "softirq", "steal")
    )


def _used_by_us() -> float:
    """Of this process and of those under it, with the ones that have ended."""
    total, us = 0.0, psutil.Process()
    for one in (us, *us.children(recursive=True)):
        try:
            total += sum(one.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # it has just ended, and is its parent's now
    return total
