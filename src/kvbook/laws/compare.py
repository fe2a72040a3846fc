"""Where two readings of one prompt part first."""

from collections.abc import Iterator

from kvbook.laws.law import Case, CounterExample, same
from kvbook.laws.reading import Reading, heads_of


def after(later: int) -> str:
    """When: after so many of the later inputs."""
    return f"after {later} more input{'s' * (later != 1)}" if later else ""


def differences(
    case: Case, expected: Reading, found: Reading, whose: str, when: str = ""
) -> Iterator[CounterExample]:
    """Where a row holds other positions, or says something else: the earliest first, and of one
    moment the lowest layer, head and position.

    Parameters
    ----------
    expected, found : Reading
        Of one row, after the same inputs.
    whose : str
        Whose reading is expected, such as ``"FullKV"``.
    when : str
        More words on when.
    """
    for layer, (ours, theirs) in enumerate(zip(found.inputs, expected.inputs, strict=True)):
        yield from _parting(case, theirs[0], ours[0], whose, "read", layer, None, when)
        held = zip(expected.held[0][layer][0], found.held[0][layer][0], strict=True)
        for head, (right, ours_held) in enumerate(held):
            yield from _parting(case, right, ours_held, whose, "kept", layer, head, when)
    for step, (logits, right_logits) in enumerate(zip(found.logits, expected.logits, strict=True)):
        at = ", ".join(part for part in (when, after(step)) if part)
        if step:
            pairs = zip(heads_of(expected.held[step]), heads_of(found.held[step]), strict=True)
            for (layer, head, right), (_, _, ours_held) in pairs:
                yield from _parting(case, right, ours_held, whose, "kept", layer, head, at)
        if not same(logits, right_logits):
            gap = float((logits - right_logits).abs().max())
            yield case.broken(f"the logits of {whose}", f"others, by up to {gap:.2g}", when=at)


def _parting(case, right, ours, whose, verb, layer, head, when) -> Iterator[CounterExample]:
    """The lowest position that one of two lists has, and the other has not."""
    where = dict(layer=layer, head=head, when=when)
    apart = sorted(set(right) ^ set(ours))
    if apart:
        yes, no = (verb, "not read" if verb == "read" else "dropped")
        wanted, got = (yes, no) if apart[0] in right else (no, yes)
        yield case.broken(f"{wanted}, as by {whose}", got, position=apart[0], **where)
    elif len(right) != len(ours):
        yield case.broken(f"{len(right)} entries, as by {whose}", str(len(ours)), **where)
