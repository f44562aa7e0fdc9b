"""What is told of an ablation study: means and deviations, a table, plots and one page.

The page holds everything and asks the network for nothing.
"""

from __future__ import annotations

import html
import io
import re
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from polyglyph.base.files import write_bytes
from polyglyph.measure.page_parts import PAGE, embedded_png, html_table

__all__ = ["page", "summary", "table", "write_plots"]

LESS_IS_BETTER = re.compile(r"FID|FD-|KID|KD-|MMD|1-NNA|JSD")
"""The numbers that are good when small; precision, recall and COV are good when large."""


def summary(runs: list[dict[str, Any]], changes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Each cell of `changes` (settings by name of cell): its runs' number, mean and deviation by metric.

    The deviation is that of a sample (n - 1), and None for a single run; runs that diverged are counted, and
    give no numbers.
    """
    cells = []
    for name, changed in changes.items():
        own = [run for run in runs if run["cell"] == name]
        found = [run["numbers"] for run in own if run["numbers"]]
        numbers = {}
        for metric in found[0] if found else {}:
            values = [one[metric] for one in found]
            deviation = statistics.stdev(values) if len(values) > 1 else None
            numbers[metric] = {"mean": statistics.fmean(values), "deviation": deviation, "runs": len(values)}
        diverged = sum("diverged" in run for run in own)
        told = {"cell": name, "changes": changed, "runs": len(own) - diverged, "diverged": diverged}
        cells.append(told | {"numbers": numbers})
    return cells


def _metrics(result: dict[str, Any]) -> list[str]:
    """All metrics of a study, in the order of their first cell."""
    return list(dict.fromkeys(metric for cell in result["cells"] for metric in cell["numbers"]))


def _settings(result: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for cell in result["cells"] for name in cell["changes"]))


def _with_deviation(number: dict[str, Any]) -> str:
    """`12.3 ± 0.4`, or `12.3` of a single run."""
    deviation = "" if number["deviation"] is None else f" ± {number['deviation']:.2g}"
    return f"{number['mean']:.4g}{deviation}"


def rows(result: dict[str, Any]) -> list[list[str]]:
    """The table's rows, the first of them its head."""
    settings, metrics = _settings(result), _metrics(result)
    found = [[*settings, "runs", *metrics]]
    for cell in result["cells"]:
        held, note = cell["numbers"], str(cell["runs"])
        if cell["diverged"]:
            note += f", {cell['diverged']} diverged"
        cells = [_with_deviation(held[metric]) if metric in held else "" for metric in metrics]
        found.append([*(_plain(cell["changes"][name]) for name in settings), note, *cells])
    if result["held_out"]:
        reference = [
            f"{result['held_out'][metric]:.4g}" if metric in result["held_out"] else "" for metric in metrics
        ]
        found.append([*["held-out renders" if n == 0 else "" for n in range(len(settings))], "", *reference])
    return found


def _plain(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def table(result: dict[str, Any]) -> str:
    """The table in Markdown."""
    head, *body = rows(result)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def effects(result: dict[str, Any]) -> list[list[str]]:
    """The mean over all cells that share one value of one setting, a row for each; with a head."""
    metrics = _metrics(result)
    found = [["setting", "value", "cells", *metrics]]
    for name in _settings(result):
        values = list(dict.fromkeys(_plain(cell["changes"][name]) for cell in result["cells"]))
        for value in values if len(values) > 1 else []:
            held = [
                cell["numbers"]
                for cell in result["cells"]
                if _plain(cell["changes"][name]) == value and cell["numbers"]
            ]
            means = [
                f"{statistics.fmean(one[metric]['mean'] for one in held):.4g}" if held else ""
                for metric in metrics
            ]
            found.append([name, value, str(len(held)), *means])
    return found


def write_plots(result: dict[str, Any], folder: Path) -> dict[str, bytes]:
    """One PNG for each metric: cells beside each other, every run a dot, means with deviations."""
    plots = {}
    for metric in _metrics(result):
        png = _plot(result, metric)
        name = re.sub(r"[^\w.-]", "-", metric)
        write_bytes(folder / f"{name}.png", png)
        plots[metric] = png
    return plots


def _plot(result: dict[str, Any], metric: str) -> bytes:
    cells = result["cells"]
    figure = Figure(figsize=(max(4.0, 1.1 * len(cells) + 1.5), 3.4), dpi=110)
    axes = figure.subplots()
    for place, cell in enumerate(cells):
        values = [
            run["numbers"][metric] for run in result["runs"] if run["cell"] == cell["cell"] and run["numbers"]
        ]
        axes.plot([place] * len(values), values, "o", markersize=4, color="#4878a8")
        if metric in cell["numbers"]:
            number = cell["numbers"][metric]
            axes.errorbar(
                place + 0.12, number["mean"], number["deviation"] or 0, fmt="_", color="#222222", capsize=3
            )
    if metric in result["held_out"]:
        axes.axhline(result["held_out"][metric], color="#a84848", linewidth=1, label="held-out renders")
        axes.legend(frameon=False, fontsize=8)
    labels = [
        "\n".join(f"{k.rpartition('.')[2]} {_plain(v)}" for k, v in cell["changes"].items()) for cell in cells
    ]
    axes.set_xticks(range(len(cells)), labels, fontsize=8)
    axes.set_xlim(-0.6, len(cells) - 0.4)
    better = "small is good" if LESS_IS_BETTER.search(metric) else "large is good"
    axes.set_ylabel(f"{metric} ({better})", fontsize=8)
    if not LESS_IS_BETTER.search(metric):
        axes.set_ylim(bottom=0)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def page(result: dict[str, Any], plots: dict[str, bytes], previews: dict[str, bytes]) -> str:
    """The whole page as text. `previews` are PNGs of uncurated samples by run."""
    title = result["study"]["title"]
    seeds = ", ".join(map(str, result["study"]["seeds"]))
    sections = [f"<p>Seeds {seeds}; mean ± deviation over them.</p>", _table(rows(result))]
    if result["missing"]:
        sections.append(f"<p>Not finished: {html.escape('; '.join(result['missing']))}.</p>")
    if len(effects(result)) > 1:
        sections.append("<h2>Mean of all cells with one value</h2>" + _table(effects(result)))
    figures = "".join(f"<figure>{embedded_png(png, metric)}</figure>" for metric, png in plots.items())
    sections.append(f'<h2>Every run</h2><div class="wide">{figures}</div>')
    for name, png in previews.items():
        sections.append(f"<h2>{html.escape(name)}: uncurated samples</h2>{embedded_png(png, name)}")
    if result["protocol"]:
        sections.append("<h2>How pictures are compared</h2>" + html_table(result["protocol"]))
    shared = {"data set": result["study"]["dataset"], "preset": result["study"]["preset"]}
    sections.append("<h2>In every cell</h2>" + html_table(shared | result["study"]["set"]))
    return PAGE.format(title=html.escape(title), body="\n".join(sections))


def _table(lines: list[list[str]]) -> str:
    head, *body = lines
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    rest = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in body
    )
    return f'<div class="scroll"><table><tr>{cells}</tr>{rest}</table></div>'
