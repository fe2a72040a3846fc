"""The report's latencies and memory beside those of a GPU, and beside the cost model's for that GPU."""

from collections.abc import Sequence

from IPython.display import HTML
from markupsafe import Markup

from kvbook.show.said import Said, bullets, say
from kvbook.show.tables import Cell, Kind, table, tag

COSTS = {"prefill": "prefill, s", "e2e": "end to end, s", "memory": "peak memory, GiB"}
KINDS: tuple[Kind, ...] = ("report", "measured", "computed")


def beside_gpu(report, gpu, context: int, caption: str, cells: Sequence[Cell] = (str, str)) -> HTML:
    """One context: of every method and cost the report's number, the GPU's, and that on paper.

    Parameters
    ----------
    report : kvbook.profiling.reported.SystemReport
        Its gigabytes are read as GiB; its memory is that of the whole answer.
    gpu : kvbook.profiling.gpu.GpuReport
        Its memory has the weights in it, as the report's.
    cells : pair of callable
        Make a number lead to where it is from: the report's, and the others.
    """
    theirs, ours = cells
    rows = []
    for method, costs in gpu.costs(context).items():
        row = {"method": method}
        stages = report.rows.get(method, {})
        nothing = "OOM" if costs["prefill"].measured is None else "–"
        for cost, head in COSTS.items():
            given = stages.get("e2e" if cost == "memory" else cost, {})
            one, (measured, paper) = given.get(context), costs[cost]
            numbers = {
                "report": theirs(f"{one.gigabytes if cost == 'memory' else one.seconds:.2f}")
                if one
                else theirs("OOM")
                if context in given
                else "–",
                "measured": ours(nothing if measured is None else f"{measured:.2f}"),
                "computed": ours(f"{paper:.2f}"),
            }
            row |= {Markup("{}<br>{}").format(head, tag(kind)): numbers[kind] for kind in KINDS}
        rows.append(row)
    return table(rows, None, caption)


def gpu_sentences(report, gpu, context: int) -> Said:
    """What `beside_gpu` shows: what ran out of memory in one of the two only, and how our costs compare
    with the report's and with those on paper."""
    told, ours = [], gpu.costs(context)
    both = {m: c for m, c in ours.items() if context in report.rows.get(m, {}).get("e2e", {})}
    theirs = {m: report.rows[m]["e2e"][context] for m in both}
    for template, failed in (
        (
            "Out of memory in the report, not here: {failed}.",
            [m for m in both if not theirs[m] and both[m]["prefill"].measured],
        ),
        (
            "Out of memory here, not in the report: {failed}.",
            [m for m in both if theirs[m] and not both[m]["prefill"].measured],
        ),
    ):
        if failed:
            told.append(say(template, failed=", ".join(failed)))
    for cost, head in COSTS.items():
        stage, field = ("e2e", "gigabytes") if cost == "memory" else (cost, "seconds")
        measured = {m: c[cost] for m, c in ours.items() if c[cost].measured}
        beside = [
            one.measured / getattr(report.rows[m][stage][context], field)
            for m, one in measured.items()
            if theirs.get(m)
        ]
        paper = [one.measured / one.paper for one in measured.values()]
        if beside:
            told.append(
                say(
                    "{cost}: {least:.2f} to {most:.2f} times the report's, by method, and {low:.2f} to {high:.2f} "
                    "times what the cost model says.",
                    cost=say(f"{head[:1].upper()}{head[1:]}"),
                    least=min(beside),
                    most=max(beside),
                    low=min(paper),
                    high=max(paper),
                )
            )
    return bullets(told)


def gpu_machine(gpu, caption: str) -> HTML:
    """The GPU as the cost model sees it, and how far it agrees with the CPU.

    Parameters
    ----------
    gpu : kvbook.profiling.gpu.GpuReport
        What `kvbook gpu-report` left.
    """
    device, hardware = gpu.header["device"], gpu.hardware
    row = {
        "GPU": hardware.name,
        "memory, GiB": f"{hardware.memory / 2**30:.0f}",
        "CUDA": device.get("cuda") or "–",
        "driver": device.get("driver") or "–",
        "TFLOP/s": f"{hardware.flops / 1e12:,.1f}",
        "GB/s": f"{hardware.bandwidth / 1e9:,.0f}",
        "a layer's start": f"{1000 * hardware.layer_seconds:.2f} ms",
        "kept entries as on the CPU": f"{min(one['kept'] for one in gpu.agreement.values()):.2%}",
    }
    return table([row], "measured", caption)
