"""The report's figure 1, right, and what the cost model says of it."""

from collections.abc import Mapping

from IPython.display import HTML

from kvbook.lm.costs import ModelShape, kv_bytes
from kvbook.show.tables import Cell, table

GiB = 2**30


def reported_costs(report, caption: str, unit: str = "", cell: Cell = str) -> HTML:
    """Seconds and gigabytes by method, stage and context.

    Parameters
    ----------
    report : kvbook.profiling.reported.SystemReport
        The report's table.
    unit : str
        Stands behind a context, where the caption does not say it.
    cell : callable
        Makes a number lead to where it is from.
    """

    def text(one) -> str:
        return f"{one.seconds:.2f} s, {one.gigabytes:.2f} GB" if one else "OOM"

    rows = [
        {"method": method, "stage": stage}
        | {f"{context:,}{unit}": cell(text(one)) for context, one in cells.items()}
        for method, stages in report.rows.items()
        for stage, cells in stages.items()
    ]
    return table(rows, "report", caption)


def reported_decode(report, caption: str) -> HTML:
    """End to end minus prefill: what decoding took."""
    rows = [
        {"method": method}
        | {
            f"{context:,}": f"{stages['e2e'][context].seconds - one.seconds:.2f} s"
            if one
            else "OOM"
            for context, one in stages["prefill"].items()
        }
        for method, stages in report.rows.items()
    ]
    return table(rows, "report", caption)


def memory_lines(lines: Mapping, shortest: int, caption: str) -> HTML:
    """Slopes and starts, and how each line meets the shortest context.

    Parameters
    ----------
    lines : mapping of (str, str) to kvbook.profiling.reported.MemoryLine
        By method and stage.
    """
    rows = [
        {
            "method": method,
            "stage": stage,
            "bytes a token": f"{line.slope:,.0f}",
            "start, GiB": f"{line.start / GiB:.2f}",
            f"{shortest:,}: by the line": f"{line.guessed / GiB:.2f}",
            f"{shortest:,}: the report": f"{line.printed / GiB:.2f}",
        }
        for (method, stage), line in lines.items()
    ]
    return table(rows, "report", caption)


def model_sizes(shapes: Mapping[str, ModelShape]) -> HTML:
    """Weights, and the cache of a token, in bfloat16."""
    rows = [
        {
            "model": name,
            "weights, GiB": f"{2 * one.parameters / GiB:.2f}",
            "KV bytes a token": f"{kv_bytes(one, 1):,}",
        }
        for name, one in shapes.items()
    ]
    return table(rows, "computed", "in bfloat16")


def with_and_without_matrix(peaks: Mapping, report, caption: str) -> HTML:
    """Peaks of the prefill on paper, block by block and with whole score matrices.

    Parameters
    ----------
    peaks : mapping of (str, int) to (int, int)
        Bytes by method and context, without the matrix and with it.
    """
    rows = []
    for (name, context), (blocks, matrix) in peaks.items():
        theirs = report.rows[name]["prefill"][context]
        rows.append(
            {
                "method": name,
                "context": f"{context:,}",
                "block by block (this book)": f"{blocks / GiB:.1f} GiB",
                "whole matrix": f"{matrix / GiB:,.1f} GiB",
                "the report": f"{theirs.gigabytes:.1f} GB" if theirs else "OOM",
            }
        )
    return table(rows, "computed", caption)


def full_memory(papers: Mapping, report, caption: str) -> HTML:
    """FullKV's memory on paper, piece by piece, against the report's.

    Parameters
    ----------
    papers : mapping of int to kvbook.profiling.Prediction
        By context.
    """
    rows = []
    for context, paper in papers.items():
        theirs = report.rows["fullkv"]["prefill"][context].gigabytes
        rows.append(
            {
                "context": f"{context:,}",
                "weights": f"{paper.weight_bytes / GiB:.2f}",
                "cache": f"{paper.kv_bytes / GiB:.2f}",
                "widest step": f"{paper.transient_bytes / GiB:.2f}",
                "sum": f"{paper.peak_bytes / GiB:.2f}",
                "the report": f"{theirs:.2f}",
                "difference": f"{paper.peak_bytes / GiB / theirs - 1:+.0%}",
            }
        )
    return table(rows, "computed", caption)


def roofline_seconds(papers: Mapping, report, caption: str) -> HTML:
    """The least seconds of prefill and decoding, with the report's prefill between.

    Parameters
    ----------
    papers : mapping of (int, str) to kvbook.profiling.Prediction
        By context and method, with hardware.
    """
    rows = [
        {
            "context": f"{context:,}",
            "method": name,
            "prefill, at least": f"{paper.prefill_seconds:.2f} s",
            "the report": f"{report.rows[name]['prefill'][context].seconds:.2f} s",
            "decode, at least": f"{1000 * paper.decode_seconds:.1f} ms a token",
        }
        for (context, name), paper in papers.items()
    ]
    return table(rows, "computed", caption)
