"""The report's latencies and memory beside those of a GPU, and beside the cost model's for that GPU."""

from collections.abc import Sequence

from IPython.display import HTML
from markupsafe import Markup

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
