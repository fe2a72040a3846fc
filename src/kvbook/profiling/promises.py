"""What this book promises of its speed and memory: each a ratio and what it is at most.

`kvbook.profiling.bench` measures them, and the profiling chapter shows a run that is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from kvbook.stats import Spread

CONTEXT, LONG = 4096, 8000
"""Prompt tokens of most ratios, and of decoding a long context."""
BUDGET, NEW_TOKENS = 512, 16
NEEDLE, ANSWER = 1000, 8
"""Tokens of the prompt that a panel reads, and of each row's answer."""

FULL, ALONE = "FullKV under attach", "transformers alone (sdpa, full cache)"
SNAPKV, OBSERVED = "kvpress SnapKV", "kvpress ObservedAttention"
PANEL = "a panel of 8 methods"
PREFILL, DECODE = f"prefill of {CONTEXT}", f"decode at {CONTEXT}"
DECODE_LONG = f"decode at {LONG}"
PEAK = f"peak memory at {CONTEXT}"
WHOLE = f"end to end, {CONTEXT} + {NEW_TOKENS}"
ONE_NEEDLE = f"a needle, {NEEDLE} + {ANSWER}"

Values = Mapping[str, Mapping[str, Sequence[float]]]
"""By cost and by run: seconds or bytes, one a repeat."""


@dataclass(frozen=True)
class Promise:
    """One cost of one run, as a share of another's.

    Attributes
    ----------
    run, to : str
        What is compared, and with what: a method with its budget, or a constant of this module.
    cost : str
        Which cost of both.
    most : float
        At most so much, on a processor of AMD.
    elsewhere : float, optional
        At most so much on another one, as measured on Intel's; as ``most`` when left out.
        Decoding gains less there: the same step of transformers alone is quicker.
    """

    run: str
    cost: str
    to: str
    most: float
    elsewhere: float | None = None

    def most_on(self, kind: str) -> float:
        """The most that is promised on a machine of this kind, of `kind_of`."""
        return self.most if kind == "AMD" or self.elsewhere is None else self.elsewhere

    def compare(self, values: Values, kind: str) -> "Measured | None":
        """The promise with the ratio that was measured; None where ``run`` or ``to`` was not
        measured.

        Parameters
        ----------
        values : Values
            What was measured.
        kind : str
            The machine's, from `kind_of`.
        """
        of = values.get(self.cost, {})
        if self.run not in of or self.to not in of:
            return None
        ratio = Spread.ratio(of[self.run], of[self.to])
        return Measured(f"{self.run}: {self.cost}", self.to, self.most_on(kind), kind, ratio)


@dataclass(frozen=True)
class Measured:
    """A promise with what was measured of it.

    Attributes
    ----------
    what, to : str
        What was compared, and with what.
    most : float
        The promise, on this kind of machine.
    machine : str
        The kind, of `kind_of`.
    measured : Spread
        The ratio, or a time that was measured once.
    unit : str
        Of a time, ``"s"`` or ``"min"``; a ratio has none.
    """

    what: str
    to: str
    most: float
    machine: str
    measured: Spread
    unit: str = ""

    @classmethod
    def read(cls, data: Mapping) -> "Measured":
        """A promise again, from the plain values that `data` makes of it."""
        fields = {name: value for name, value in data.items() if name != "holds"}
        return cls(**fields | {"measured": Spread(**data["measured"])})

    @property
    def holds(self) -> bool:
        """Whether the measured median keeps the promise."""
        return self.measured.median <= self.most

    def row(self) -> dict[str, str]:
        """For a table."""
        return {
            "what": self.what,
            "to": self.to,
            "machine": self.machine,
            "at most": self.show(self.most),
            "measured": self.show(self.measured.median) if self.unit else self.measured.show(),
            "holds": "yes" if self.holds else "NO",
        }

    def show(self, value: float) -> str:
        """A value of this promise, with its unit."""
        return f"{value:.0f} {self.unit}" if self.unit else f"{value:.2f}"

    def data(self) -> dict:
        """Plain values, for a results file."""
        return asdict(self) | {"holds": self.holds}


def kind_of(machine: Mapping[str, object]) -> str:
    """Whose processor a provenance's machine has, by its name: ``"AMD"``, ``"Intel"`` or
    ``"another"``."""
    return next((kind for kind in ("AMD", "Intel") if kind in str(machine["cpu"])), "another")


PROMISES = (
    Promise("fastkv, 512", PREFILL, FULL, 0.62),
    Promise("gemfilter, 512", PREFILL, FULL, 0.56),
    Promise("pyramidinfer, 0.5", PREFILL, FULL, 0.72),
    Promise("snapkv, 512", PREFILL, FULL, 1.04),
    Promise("streamingllm, 512", PREFILL, FULL, 1.04),
    Promise("h2o, 512", PREFILL, FULL, 1.25),
    Promise(FULL, PREFILL, ALONE, 1.0),
    Promise(FULL, DECODE, ALONE, 0.6, elsewhere=0.7),
    Promise("snapkv, 512", DECODE_LONG, ALONE, 0.3, elsewhere=0.45),
    Promise("streamingllm, 512", DECODE, "snapkv, 512", 1.15),
    Promise("h2o, 512", DECODE, "snapkv, 512", 1.25),
    Promise(PANEL, ONE_NEEDLE, FULL, 1.4),
    Promise("h2o, 512", PEAK, FULL, 1.15),
    Promise("snapkv, 512", WHOLE, SNAPKV, 1.0),
    Promise("h2o, 512", WHOLE, OBSERVED, 0.3),
    Promise("h2o, 512", PEAK, OBSERVED, 0.6),
)
