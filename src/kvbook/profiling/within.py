"""Methods measured within a given time: the longest contexts last, and nothing is lost by a cut."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from torch import Tensor
from tqdm import tqdm

from kvbook.lm.models import LoadedModel, check_loaded
from kvbook.methods.base import Method, as_methods
from kvbook.profiling.hardware import Hardware
from kvbook.profiling.memory import FreshProcesses, fresh_processes
from kvbook.profiling.one_run import run_once
from kvbook.profiling.prediction import Prediction, predict
from kvbook.profiling.timing import Measurement, collect, read_text, turns, warm_up

NO_TIME, NOT_YET = "no time", "not yet measured"


@dataclass(frozen=True)
class LeftOut:
    """A method that was not measured as often as was asked for.

    Attributes
    ----------
    method, context_length : str, int
        What.
    repeats : int
        Runs that are missing.
    why : str
        `NO_TIME`, the error that ended a run, or `NOT_YET` where a cut may still come.
    """

    method: str
    context_length: int
    repeats: int
    why: str

    def __str__(self) -> str:
        runs = f"{self.repeats} run{'s' * (self.repeats > 1)}"
        return f"{self.method} at {self.context_length:,} tokens: {runs} left out ({self.why})"


class Within:
    """What was measured, and what the next run may take.

    Parameters
    ----------
    lm, methods, new_tokens
        As for `kvbook.profiling.measure_all`; the methods are also those of ``done``.
    hardware : Hardware
        What predictions are of.
    done : sequence of Measurement
        What an earlier session measured.
    """

    def __init__(
        self,
        lm: LoadedModel,
        methods: Mapping[str, Method],
        new_tokens: int,
        hardware: Hardware,
        done: Sequence[Measurement] = (),
    ):
        check_loaded(lm)
        self.lm, self.methods = lm, as_methods(methods)
        self.new_tokens, self.hardware = new_tokens, hardware
        self.found = {(one.context_length, one.method): one for one in done}
        self.left_out: list[LeftOut] = []
        self._papers: dict[tuple[int, str], Prediction] = {}

    @property
    def measurements(self) -> list[Measurement]:
        """Context by context."""
        return [self.found[at] for at in sorted(self.found, key=lambda at: at[0])]

    @property
    def predictions(self) -> list[Prediction]:
        """Of the same, in the same order."""
        return [self.paper(one.context_length, one.method) for one in self.measurements]

    def paper(self, context: int, name: str) -> Prediction:
        """What the cost model says of a method at a context."""
        if (context, name) not in self._papers:
            model = self.lm.model
            self._papers[context, name] = predict(
                model.config,
                self.methods[name],
                context,
                self.new_tokens,
                dtype=model.dtype,
                hardware=self.hardware,
            )
        return self._papers[context, name]

    def estimate(self, context: int, name: str) -> float:
        """Seconds that one run will probably take: the predicted seconds, times a factor.

        The factor says how many times as long as predicted measured runs took: this method's runs
        at its longest measured context; without any, the slowest of all methods; 1 before the
        first run.
        """
        measured = [one for one in self.measurements if one.end_to_end]
        own = [one for one in measured if one.method == name][-1:]
        above = [
            max(one.end_to_end) / self.paper(one.context_length, one.method).seconds
            for one in own or measured
        ]
        return self.paper(context, name).seconds * max(above, default=1.0)

    def missing(self, context: int, name: str, repeats: int) -> int:
        """How many of ``repeats`` runs are not measured; none where memory was not enough."""
        one = self.found.get((context, name))
        if one and one.out_of_memory:
            return 0
        return max(0, repeats - (len(one.end_to_end) if one else 0))

    def measure(
        self,
        names: Sequence[str],
        contexts: Sequence[int],
        repeats: int,
        until: float,
        keep: Callable[[], None],
        progress: bool = True,
    ) -> None:
        """Measure what is missing, from the shortest context on, the methods in turns.

        A method whose next run would end too late, or whose run failed, has no more runs, here and
        at longer contexts: so its repeats are always the first ones, and pair with those of
        others.

        Parameters
        ----------
        names : sequence of str
            Which of the methods.
        contexts : sequence of int
            Prompt lengths.
        repeats : int
            Runs of each method at each.
        until : float
            When all must be done, on the clock of `time.monotonic`.
        keep : callable
            Called after every run that did not fail, and at the end.
        progress : bool
            Show a line with what is being measured.
        """
        contexts = sorted(set(contexts))
        steps = [
            (context, repeat, name)
            for context in contexts
            for repeat, name in turns(names, repeats)
            if repeats - self.missing(context, name, repeats) <= repeat
        ]
        ended: dict[str, str] = {}

        def look() -> None:
            self.left_out = [
                LeftOut(name, context, missing, ended.get(name, NOT_YET))
                for context in contexts
                for name in names
                if (missing := self.missing(context, name, repeats))
            ]
            keep()

        ids: dict[int, Tensor] = {}
        with ExitStack() as stack:
            line = stack.enter_context(tqdm(total=len(steps), disable=not progress, unit="run"))
            fresh = stack.enter_context(fresh_processes(self.lm)) if steps else None
            warm_up(self.lm, [self.methods[name] for name in names] if steps else ())
            gc.freeze()  # every run begins with a collection, which need not look at libraries again
            stack.callback(gc.unfreeze)
            for context, _, name in steps:
                line.set_description(f"{context} tokens: {name}"[:60])
                runs = 1 + (fresh is not None and (context, name) not in self.found)
                if name not in ended and self.missing(context, name, repeats):
                    if time.monotonic() + runs * self.estimate(context, name) > until:
                        ended[name] = NO_TIME
                    else:
                        if context not in ids:
                            ids = {context: read_text(self.lm, context)}
                        try:
                            self._run(name, ids[context], fresh)
                        except Exception as error:  # the others are still worth measuring
                            said = (str(error).splitlines() or [""])[0]
                            ended[name] = f"{type(error).__name__}: {said}"
                        else:
                            look()
                line.update()
        look()

    def _run(self, name: str, ids: Tensor, fresh: FreshProcesses | None) -> None:
        """One more run; on the CPU the first one also in a process of its own, for its memory."""
        method, context = self.methods[name], ids.shape[1]
        before = self.found.get((context, name))
        peak, sample = None, None
        peaks = fresh.peaks(method, ids, self.new_tokens) if fresh and not before else ()
        if peaks is not None:
            peak = next(iter(peaks), None)
            sample = run_once(self.lm, method, ids, self.new_tokens)
        weights = sum(parameter.nbytes for parameter in self.lm.model.parameters())
        one = collect(
            name, context, self.new_tokens, weights, [sample] if sample else [], peak, not sample
        )
        self.found[context, name] = before.join(one) if before else one
