"""How the threads of one computation wait for each other, in every process that the book starts."""

import os

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
"""A thread that waits looks a thousand times for work, 24 microseconds here, and then sleeps.

One that sleeps takes long to wake. One that goes on looking takes the core from the very thread
that it waits for, as soon as anything else runs. Measured on two cores (AMD EPYC, torch 2.13),
SmolLM2 in float32 with two threads, decoding after 2048 tokens; milliseconds a token, and in
brackets of CPU time:

===============  ============  =================  ===============  =================
looks            sleeps        undisturbed        one busy         a load of eight
                 a token                          process beside
===============  ============  =================  ===============  =================
0                180           48.7 (56)          50.7 (51)        112 (55)
1000             74            46.2 (55)          55.5 (56)        123 (60)
3000             31            45.9 (56)          63.3 (63)        139 (70)
10,000           30            46.2 (61)          63.0 (67)        217 (102)
300,000, GNU's   not counted   44.9 (90)          105 (154)        1488 (729)
===============  ============  =================  ===============  =================

Undisturbed means before all other processes, so the cores were never idle; where they are, waking
takes longer, and each sleep that is spared counts for more. ``GOMP_SPINCOUNT`` is what torch's
OpenMP, GNU's, goes by; the policy is for others, and without it the times are the same.
"""


def waiting() -> dict[str, str]:
    """`WAITING`, for the environment of a process before it loads torch; empty where the
    environment already has one of the two variables."""
    return {} if WAITING.keys() & os.environ.keys() else WAITING
